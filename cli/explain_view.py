"""Explanations on a terminal. Nothing is computed here."""

from typing import Any

from nnlab.cli.output import Output
from nnlab.explanation import wording
from nnlab.explanation.losses import HingePart, LossPart, SoftmaxPart
from nnlab.explanation.neighbors import NeighborsExplanation
from nnlab.explanation.network import NetworkExplanation
from nnlab.pages.numbers import number, percent

# A terminal shows the best so many classes; the page and the JSON have all.
MOST_CLASSES = 12
# Shades of a picture drawn with two characters a pixel, dark to light.
SHADES = (" ", "\u2591", "\u2592", "\u2593", "\u2588")
WIDEST_PICTURE = 40


def show_network(out: Output, e: NetworkExplanation) -> None:
    """Show the whole way of one image through a network."""
    classes = e.subject.classes
    probability = None
    if isinstance(e.loss, SoftmaxPart):
        probability = float(e.loss.probabilities[e.scores.predicted])
    _heading(out, f"{e.subject.image} through {e.subject.run} ({e.subject.model})")
    out.text(wording.verdict(e.subject, e.scores.predicted, probability))
    for text in wording.inference({layer.kind for layer in e.forward}):
        out.text(text)
    _tensor(out, e)
    standardized = e.standardized
    out.text(f"Standardized: {standardized.formula}")
    out.text(
        f"x lies between {number(standardized.minimum)} and {number(standardized.maximum)}, mean "
        f"{number(standardized.mean)}, standard deviation {number(standardized.deviation)}; the "
        "same stretch: " + ", ".join(number(value, 3) for value in standardized.head)
    )
    _scores(out, e)
    _heading(out, "3. The loss")
    show_loss(out, e.loss, classes)
    penalty = e.penalty
    out.text(
        f"penalty = l2 / 2 * sum(W^2) + l1 * sum(|W|) = {number(penalty.l2)} / 2 * "
        f"{number(penalty.squares)} + {number(penalty.l1)} * {number(penalty.sizes)} = "
        f"{number(penalty.value)}"
    )
    out.text(
        f"total = data loss {number(e.loss.data_loss)} + penalty {number(penalty.value)} = "
        f"{number(e.total_loss)}"
    )
    _forward(out, e)
    _backward(out, e)
    _step(out, e)


def _heading(out: Output, text: str) -> None:
    out.line()
    out.heading(text)


def _tensor(out: Output, e: NetworkExplanation | NeighborsExplanation) -> None:
    tensor = e.tensor
    height, width, channels = tensor.shape
    _heading(out, "1. The image is a tensor")
    out.line(
        f"{height} x {width} x {channels} whole numbers from {tensor.minimum} to {tensor.maximum}, "
        f"mean {number(tensor.mean)}"
    )
    _picture(out, e)
    where = f"from row {tensor.row}, column {tensor.column} on" if tensor.row else "upper left"
    for window in tensor.windows:
        out.table(
            f"{window.name}, {where}; mean of the channel {number(window.mean)}",
            ["", *(str(tensor.column + j) for j in range(window.values.shape[1]))],
            [[tensor.row + i, *row] for i, row in enumerate(window.values.tolist())],
        )
    out.text(
        f"Flattened: 1 x {tensor.length}; from place {tensor.head_start} on: "
        + ", ".join(str(value) for value in tensor.head.tolist())
    )


def _picture(out: Output, e: NetworkExplanation | NeighborsExplanation) -> None:
    grey = e.tensor.pixels.mean(axis=2)
    step = max(1, -(-grey.shape[1] // WIDEST_PICTURE))
    for row in grey[::step, ::step]:
        shades = [SHADES[min(len(SHADES) - 1, int(value * len(SHADES) / 256))] for value in row]
        out.line("  " + "".join(2 * shade for shade in shades).rstrip())


def _scores(out: Output, e: NetworkExplanation) -> None:
    scores, classes = e.scores, e.subject.classes
    _heading(out, "2. Scores, class by class")
    x = "x" if scores.linear else "h"
    out.line(
        f"score = {x}\u00b7W + b, "
        + (
            f"x with {scores.inputs:,} numbers"
            if scores.linear
            else f"h with the {scores.inputs:,} numbers that the last hidden layer gives"
        )
    )
    out.table(
        "",
        ["class", "", f"{x}\u00b7W", "b", "score"],
        [
            [classes[j], _role(e, j), number(scores.products[j]), number(scores.biases[j]),
             number(scores.scores[j])]
            for j in _shown(e)
        ],
        left=2,
    )  # fmt: skip
    out.text(wording.evidence(e))
    out.table(
        "the strongest pixels: (row, column) value",
        ["class", "speak most for it", "speak most against it"],
        [
            [classes[found.label], _places(found.strongest_for),
             _places(found.strongest_against)]
            for found in scores.evidence
        ],
        left=3, compact=True,
    )  # fmt: skip


def _shown(e: NetworkExplanation) -> list[int]:
    order = sorted(range(len(e.scores.scores)), key=lambda j: -e.scores.scores[j])
    if len(order) <= MOST_CLASSES:
        return list(range(len(order)))
    best = order[:MOST_CLASSES]
    return best if e.subject.label in best else [*best, e.subject.label]


def _role(e: NetworkExplanation, label: int) -> str:
    roles = ["answer"] if label == e.scores.predicted else []
    if label == e.subject.label and e.subject.label_is_known:
        roles.append("right")
    return ", ".join(roles)


def _places(pixels: Any) -> str:
    return "\n".join(f"({p.row}, {p.column}) {number(p.value)}" for p in pixels[:2]) or "none"


def show_loss(out: Output, loss: LossPart, classes: list[str]) -> None:
    """Show a loss in its stages."""
    out.line(wording.loss_formula(loss))
    names = [name + (" (y)" if j == loss.label else "") for j, name in enumerate(classes)]
    shown = sorted(
        sorted(range(len(classes)), key=lambda j: (j != loss.label, -loss.scores[j]))[:MOST_CLASSES]
    )
    if isinstance(loss, SoftmaxPart):
        columns = {
            "score s": loss.scores, "s - max": loss.shifted, "exp": loss.exponentials,
            "p": loss.probabilities, "gradient": loss.gradient,
        }  # fmt: skip
        if loss.label_smoothing:
            columns |= {"target": loss.targets, "-target log p": loss.terms}
        out.table(
            "",
            ["class", *columns],
            [[names[j], *(number(column[j]) for column in columns.values())] for j in shown],
            compact=True,
        )
        out.line(
            f"sum of exp = {number(loss.total)}; loss = "
            + (
                f"-log({number(loss.probabilities[loss.label])}) = {number(loss.value)}"
                if not loss.label_smoothing
                else f"sum of -target log p = {number(loss.value)}"
            )
        )
    else:
        assert isinstance(loss, HingePart)
        rows = [
            [
                names[j],
                number(loss.scores[j]),
                "" if j == loss.label else number(loss.differences[j]),
                "" if j == loss.label else number(loss.terms[j]),
                number(loss.gradient[j]),
            ]
            for j in shown
        ]
        out.table(
            "",
            ["class", "score s", "s - s_y + delta", "adds", "gradient"],
            rows,
            compact=True,
        )
        for j in shown:
            if j != loss.label:
                out.text(f"{names[j]}: {wording.margin_reason(loss, j)}")
        terms = " + ".join(number(loss.terms[j]) for j in range(len(classes)) if j != loss.label)
        if len(classes) <= MOST_CLASSES:
            out.line(f"loss = {terms} = {number(loss.value)}")
        else:
            out.line(f"loss = {number(loss.value)}, {loss.inside} classes inside the margin")
    if loss.weight != 1:
        out.line(
            f"times the class weight {number(loss.weight)}: data loss {number(loss.data_loss)}"
        )


def _forward(out: Output, e: NetworkExplanation) -> None:
    _heading(out, "4. Forward, layer by layer")
    out.table(
        "what goes out of each layer",
        ["layer", "shape", "mean", "std", "smallest", "largest", "off or flat"],
        [
            [layer.name, f"{layer.inputs} -> {layer.outputs}", number(layer.mean),
             number(layer.deviation), number(layer.minimum), number(layer.maximum),
             "" if layer.off is None else percent(layer.off, 1)]
            for layer in e.forward
        ],
        left=2, compact=True,
    )  # fmt: skip
    for layer in e.forward:
        if layer.off is not None:
            units = ", ".join(f"unit {u.unit}: {number(u.value)}" for u in layer.largest)
            out.text(f"{layer.name} answers most strongly with {units}")


def _backward(out: Output, e: NetworkExplanation) -> None:
    _heading(out, "5. Backward: the chain rule in numbers")
    whole = wording.whole_way(e)
    if whole:
        out.text(whole)
    out.table(
        "norms of gradients, from the last layer to the first",
        ["layer", "arrives", "passed on", "dW", "db", "W", "mean f'(x)"],
        [
            [layer.name, number(layer.incoming), number(layer.outgoing),
             *("" if value is None else number(value) for value in (
                 layer.weight_gradient_norm, layer.bias_gradient_norm, layer.weight_norm,
                 layer.slope_mean))]
            for layer in e.backward
        ],
        compact=True,
    )  # fmt: skip
    for layer in e.backward:
        words = wording.passed_on(layer)
        if words:
            out.text(f"{layer.name}: {words}")
    rows = []
    for layer in e.backward:
        for c in layer.changes:
            channel = f" {e.tensor.windows[c.pixel[2]].name}" if c.pixel else ""
            source = f"pixel ({c.pixel[0]}, {c.pixel[1]}){channel}" if c.pixel else f"unit {c.row}"
            last = layer.name == e.backward[0].name
            target = e.subject.classes[c.column] if last else f"unit {c.column}"
            rows.append(
                [layer.name, source, target, number(c.weight), number(c.gradient), number(c.change)]
            )
    out.table(
        "the entries of W that a step would change most (penalty included)",
        ["layer", "from", "to", "W", "gradient", "change"], rows, left=3, compact=True,
    )  # fmt: skip


def _step(out: Output, e: NetworkExplanation) -> None:
    step = e.step
    _heading(out, "6. One step of gradient descent")
    out.text(
        f"W <- W - {number(step.learning_rate)} dW, for this image alone; the gradient's norm over "
        f"all parameters is {number(step.gradient_norm)}"
    )
    if step.optimizer not in {"sgd", ""}:
        out.line(f"(the run itself used {step.optimizer} on whole batches; this is the plain step)")
    out.table(
        "the loss of this image",
        ["", "before", "after"],
        [
            ["data loss", number(step.data_before), number(step.data_after)],
            ["penalty", number(step.penalty_before), number(step.penalty_after)],
            ["total", number(step.total_before), number(step.total_after)],
        ],
    )
    out.text(wording.step(step, e.subject.classes, e.scores.predicted))


def show_neighbors(out: Output, e: NeighborsExplanation) -> None:
    """Show one image and its neighbours."""
    classes = e.subject.classes
    _heading(out, f"{e.subject.image} among the images of {e.subject.run} ({e.subject.model})")
    out.text(wording.verdict(e.subject, e.predicted, None))
    _tensor(out, e)
    _heading(out, "2. The neighbours, their votes, and where they differ")
    out.line(f"{e.metric}: {e.sum_formula}; {e.searched:,} training images compared")
    known = e.subject.label_is_known
    out.table(
        "",
        ["rank", "class", "", "row", "distance", "vote", "border", "centre", "border's share"],
        [
            [n.rank, classes[n.label],
             "" if not known else "right" if n.label == e.subject.label else "another class",
             n.row, number(n.distance), number(n.vote), number(n.border), number(n.centre),
             percent(n.border_share, 1)]
            for n in e.neighbors
        ],
        left=3, compact=True,
    )  # fmt: skip
    out.text(wording.votes(e))
    text = wording.border(e)
    if text:
        out.text(text)
