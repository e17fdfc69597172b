"""Explanations as web pages."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab import pages
from nnlab.explanation import wording
from nnlab.explanation.losses import HingePart, LossPart, SoftmaxPart
from nnlab.explanation.neighbors import NeighborsExplanation
from nnlab.explanation.network import NetworkExplanation
from nnlab.explanation.scores import ClassEvidence
from nnlab.pages.charts import FAINT, INK, PAPER
from nnlab.pages.numbers import number, percent

# A chart of classes has room for so many bars.
MOST_BARS = 16
# The heat maps of all classes share one scale, set by this percentile: single pixels may exceed it.
SCALE_PERCENTILE = 99.5


def write_page(path: Path, explanation: NetworkExplanation | NeighborsExplanation) -> None:
    """Write an explanation as a self-contained HTML file.

    Raises:
        InputError: it cannot be written.
    """
    template, values = page_values(explanation)
    pages.write(path, template, **values)


def page_values(
    explanation: NetworkExplanation | NeighborsExplanation,
) -> tuple[str, dict[str, Any]]:
    """Return the template of an explanation and everything that it shows."""
    if isinstance(explanation, NetworkExplanation):
        return "explain_network.html", _network_values(explanation)
    return "explain_neighbors.html", _neighbors_values(explanation)


def write_scores_page(path: Path, classes: list[str], losses: list[LossPart]) -> None:
    """Write a worked example, the losses of given scores, as a self-contained HTML file.

    Raises:
        InputError: it cannot be written.
    """
    pages.write(
        path, "explain_scores.html", classes=classes, losses=[_loss(loss) for loss in losses],
        charts=[_loss_chart(loss, classes) for loss in losses], wording=wording,
    )  # fmt: skip


def _network_values(e: NetworkExplanation) -> dict[str, Any]:
    classes, label, predicted = e.subject.classes, e.subject.label, e.scores.predicted
    limit = float(np.percentile(np.abs([c.pixels for c in e.scores.evidence]), SCALE_PERCENTILE))
    probability = None
    if isinstance(e.loss, SoftmaxPart):
        probability = float(e.loss.probabilities[predicted])
    return {
        "e": e,
        "wording": wording,
        "verdict": wording.verdict(e.subject, predicted, probability),
        "right": e.subject.label_is_known and predicted == label,
        "image": _image(e.tensor.pixels, f"The image: {e.subject.image}"),
        "channels": _channels(e.tensor.pixels, [window.name for window in e.tensor.windows]),
        "standardized": _image(
            pages.stretched(e.standardized.values.reshape(e.tensor.shape)),
            "The image after standardization, its smallest value black and its largest white",
        ),
        "scores_chart": _bars(
            classes, e.scores.scores, label, predicted, "score",
            f"Scores of the classes; the largest is {number(e.scores.scores.max())} for "
            f"{classes[predicted]}",
        ),
        "evidence": [_evidence(e, found, limit) for found in e.scores.evidence],
        "loss": _loss(e.loss),
        "loss_chart": _loss_chart(e.loss, classes),
        "gradient_chart": _gradient_chart(e),
        "step_chart": _step_chart(e),
        "kinds": wording.inference({layer.kind for layer in e.forward}),
        "passed_on": [
            (layer.name, words) for layer in e.backward if (words := wording.passed_on(layer))
        ],
    }  # fmt: skip


def _image(pixels: NDArray[np.uint8], alt: str) -> Any:
    # Two channels, or five, are no colours that a picture could have.
    shown = pixels if pixels.shape[2] in {1, 3} else pages.stretched(pixels.mean(axis=2))
    return pages.picture(shown, alt)


def _channels(pixels: NDArray[np.uint8], names: list[str]) -> list[tuple[str, Any]]:
    if len(names) == 1:
        return []
    return [
        (name, pages.picture(pixels[:, :, index], f"The {name} channel, white where it is 255"))
        for index, name in enumerate(names)
    ]


def _evidence(e: NetworkExplanation, found: ClassEvidence, limit: float) -> dict[str, Any]:
    name = e.subject.classes[found.label]
    places = [f"row {p.row}, column {p.column}" for p in found.strongest_for[:1]]
    against = [f"row {p.row}, column {p.column}" for p in found.strongest_against[:1]]
    alt = f"What the pixels say about {name}"
    if places:
        alt += f"; {places[0]} speaks most for it"
    if against:
        alt += f"; {against[0]} most against it"
    return {
        "found": found,
        "name": name,
        "role": _role(e, found.label),
        "picture": pages.picture(pages.overlaid(e.tensor.pixels, found.pixels, limit), alt),
    }


def _role(e: NetworkExplanation, label: int) -> str:
    roles = []
    if label == e.scores.predicted:
        roles.append("the answer")
    if label == e.subject.label and e.subject.label_is_known:
        roles.append("right")
    return ", ".join(roles)


def _loss(loss: LossPart) -> dict[str, Any]:
    """Return a loss with its kind of stages, for a template."""
    return {
        "part": loss,
        "is_softmax": isinstance(loss, SoftmaxPart),
        "formula": wording.loss_formula(loss),
    }


def _loss_chart(loss: LossPart, classes: list[str]) -> Any:
    best = int(loss.scores.argmax())
    if isinstance(loss, SoftmaxPart):
        right = percent(loss.probabilities[loss.label])
        return _bars(
            classes, loss.probabilities, loss.label, best, "probability",
            f"Probabilities of the classes; {classes[loss.label]} has {right}",
        )  # fmt: skip
    assert isinstance(loss, HingePart)
    return _bars(
        classes, loss.terms, loss.label, best, "adds to the loss",
        f"What each class adds to the loss; {loss.inside} of {len(classes) - 1} wrong classes "
        "are inside the margin",
    )  # fmt: skip


def _bars(
    classes: list[str], values: NDArray[Any], label: int, predicted: int, title: str, alt: str
) -> Any:
    """Draw one bar a class, the right one and the answer in colours of their own."""
    shown = _shown(values, label)
    colours = [
        pages.SERIES[2] if index == label else pages.SERIES[1] if index == predicted else FAINT
        for index in shown
    ]
    with pages.chart(alt, height=46 + 19 * len(shown)) as drawn:
        axes = drawn.axes()
        axes.barh(np.arange(len(shown)), values[shown], color=colours, height=0.7)
        _name_rows(axes, [classes[index] for index in shown], title)
        # Votes, and the scores of worked examples, are counted in whole numbers.
        axes.locator_params(axis="x", integer=bool((values == np.rint(values)).all()))
    return drawn.svg


def _shown(values: NDArray[Any], label: int) -> list[int]:
    """Return the classes that a chart has room for: all, or the largest and the right one."""
    if len(values) <= MOST_BARS:
        return list(range(len(values)))
    best: list[int] = np.argsort(-values, kind="stable")[:MOST_BARS].tolist()
    return best if label in best else [*best[:-1], label]


def _name_rows(axes: Any, names: list[str], title: str) -> None:
    """Write the names of classes beside the rows of a chart, the first one at the top."""
    axes.set_yticks(np.arange(len(names)), [pages.plain(_short(name)) for name in names])
    axes.set_xlabel(title)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.axvline(0, color=FAINT, linewidth=0.8)
    axes.locator_params(axis="x", nbins=5)


def _step_chart(e: NetworkExplanation) -> Any:
    """Draw every score before and after the step; None where the step changes nothing."""
    if e.step.gradient_norm == 0:
        return None
    classes, label = e.subject.classes, e.subject.label
    before, after = e.scores.scores, e.step.scores_after
    shown = _shown(before, label)
    alt = (
        f"Scores before and after the step: {classes[label]} goes from {number(before[label])} to "
        f"{number(after[label])}"
    )
    with pages.chart(alt, height=68 + 19 * len(shown)) as drawn:
        axes = drawn.axes()
        places = np.arange(len(shown))
        for place, index in zip(places, shown, strict=True):
            colour = pages.SERIES[2] if index == label else FAINT
            axes.plot([before[index], after[index]], [place, place], color=colour, linewidth=3)
        axes.scatter(
            before[shown], places, zorder=3, s=30, facecolors=PAPER, edgecolors=INK, label="before"
        )
        axes.scatter(after[shown], places, zorder=4, s=30, color=INK, label="after")
        if label in shown:
            axes.scatter(after[label], shown.index(label), zorder=5, s=30, color=pages.SERIES[2])
        _name_rows(axes, [classes[index] for index in shown], "score")
        drawn.figure.legend(loc="outside upper right", ncols=2)
    return drawn.svg


def _short(name: str, length: int = 16) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _gradient_chart(e: NetworkExplanation) -> Any:
    """Draw the norm of the gradient on its way down; None where there is no way to go."""
    layers = e.backward
    if len(layers) < 3 or layers[0].incoming == 0:
        return None
    names = [layer.name for layer in layers]
    norms = [layer.incoming for layer in layers]
    alt = (
        f"The gradient's norm layer by layer, on a logarithmic scale: {number(norms[0])} at the "
        f"scores, {number(norms[-1])} after the first layer"
    )
    with pages.chart(alt, height=60 + 19 * len(layers)) as drawn:
        axes = drawn.axes()
        places = np.arange(len(layers))
        positive = [max(norm, 1e-12 * norms[0]) for norm in norms]
        squashing = [layer.slope_mean is not None for layer in layers]
        axes.plot(positive, places, color=FAINT, zorder=1)
        axes.scatter(
            positive, places, zorder=2, s=26,
            color=[pages.SERIES[0] if is_activation else FAINT for is_activation in squashing],
        )  # fmt: skip
        drawn.logarithmic(axes, "x")
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set_xlabel("norm of the gradient")
    return drawn.svg


def _neighbors_values(e: NeighborsExplanation) -> dict[str, Any]:
    classes = e.subject.classes
    limit = max((float(n.parts.max()) for n in e.neighbors), default=0.0)
    return {
        "e": e,
        "wording": wording,
        "verdict": wording.verdict(e.subject, e.predicted, None),
        "right": e.subject.label_is_known and e.predicted == e.subject.label,
        "image": _image(e.tensor.pixels, f"The image: {e.subject.image}"),
        "channels": _channels(e.tensor.pixels, [window.name for window in e.tensor.windows]),
        "votes_chart": _bars(
            classes, e.votes, e.subject.label, e.predicted, "votes",
            f"Votes: {wording.votes(e)}",
        ),
        "neighbors": [
            {
                "n": n,
                "name": classes[n.label],
                "picture": _image(n.pixels, f"Neighbour {n.rank}: {classes[n.label]}"),
                "difference": pages.picture(
                    _difference(n.parts, limit),
                    f"Difference to neighbour {n.rank}, dark where there is none",
                ),
            }
            for n in e.neighbors
        ],
    }  # fmt: skip


def _difference(parts: NDArray[Any], limit: float) -> NDArray[np.uint8]:
    scale = 255.0 / limit if limit > 0 else 0.0
    return np.rint(parts * scale).astype(np.uint8)
