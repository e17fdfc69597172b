"""What was measured on a split: numbers, confusion, calibration, mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab import pages
from nnlab.metrics import Metrics, Reliability
from nnlab.pages import SERIES, percent
from nnlab.pages.charts import FAINT
from nnlab.report.verdicts import Finding, calibration, mean_confidence
from nnlab.significance import accuracy_interval

# A confusion matrix of more classes is a picture, not a table.
WIDEST_TABLE = 20
CONFUSIONS_SHOWN = 8
NO_BREAK_PERCENT = "\N{NO-BREAK SPACE}%"


@dataclass(frozen=True)
class Results:
    """One evaluation, ready for the page.

    Attributes:
        title: what it was measured on.
        metrics: the numbers themselves.
        facts: (name, value or text) pairs.
        per_class: rows of class, precision, recall, F1, images.
        confusion: rows of (class, cells of (count, shade from 0 to 1)); empty if there are many.
        confusion_picture: instead of them, for many classes.
        confusions: the most frequent, in words.
        reliability: a chart, or None.
        calibration: what it says, or None.
        mistakes: (picture or None, true class, predicted class, probability) each.
        mistakes_missing: why there are no pictures; empty if there are.
    """

    title: str
    metrics: Metrics
    facts: list[tuple[str, Any]]
    per_class: list[list[Any]]
    confusion: list[tuple[str, list[tuple[int, float]]]]
    confusion_picture: Any
    confusions: list[tuple[int, str, str, float]]
    reliability: Any
    calibration: Finding | None
    mistakes: list[tuple[Any, str, str, float]]
    mistakes_missing: str

    @property
    def mistake_rows(self) -> list[list[str]]:
        """The mistakes without pictures: true class, predicted class, how sure."""
        return [
            [true, taken, percent(probability, 1)] for _, true, taken, probability in self.mistakes
        ]


def results(
    title: str,
    metrics: Metrics,
    classes: Sequence[str],
    images: NDArray[np.uint8] | None,
    missing: str,
    command: str,
) -> Results:
    """Prepare one evaluation.

    Args:
        title: what it was measured on.
        metrics: what was measured.
        classes: the names.
        images: (N, H, W, C) of the split, for the pictures of mistakes; None if not at hand.
        missing: why they are not.
        command: what measures it again.
    """
    matrix = metrics.confusion_matrix
    shares = matrix / np.maximum(metrics.support, 1)[:, None]
    small = len(classes) <= WIDEST_TABLE
    mistakes, no_pictures = _mistakes(metrics, classes, images, missing, command)
    return Results(
        title=title,
        metrics=metrics,
        facts=_facts(metrics),
        per_class=_per_class(metrics, classes),
        confusion=[
            (name, list(zip(counts.tolist(), part.tolist(), strict=True)))
            for name, counts, part in zip(classes, matrix, _shades(shares), strict=True)
        ]
        if small
        else [],
        confusion_picture=None if small else _confusion_picture(shares),
        confusions=_confusions(metrics, classes),
        reliability=None if metrics.reliability is None else _diagram(metrics.reliability),
        calibration=calibration(metrics),
        mistakes=mistakes,
        mistakes_missing=no_pictures,
    )


def _shades(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how strongly to shade each cell: what is right by its share, the rest by the worst."""
    off = ~np.eye(len(shares), dtype=bool)
    worst = float(shares[off].max()) if off.any() else 0.0
    return np.where(off, shares / worst if worst else 0.0, shares)


def _facts(metrics: Metrics) -> list[tuple[str, Any]]:
    interval = accuracy_interval(metrics.correct, metrics.n)
    pairs: list[tuple[str, Any]] = [
        ("accuracy", percent(metrics.accuracy)),
        (
            "95 % interval",
            f"{percent(interval.low)} to {percent(interval.high)}".replace(" %", NO_BREAK_PERCENT),
        ),
        ("images", metrics.n),
    ]
    if metrics.top5_accuracy is not None:
        pairs.append(("top-5 accuracy", percent(metrics.top5_accuracy)))
    for name, title in (
        ("loss", "data loss"),
        ("log_loss", "log loss"),
        ("hinge_loss", "hinge loss"),
        ("brier_score", "Brier score"),
    ):
        if getattr(metrics, name) is not None:
            pairs.append((title, getattr(metrics, name)))
    if metrics.expected_calibration_error is not None:
        pairs.append(("calibration error", percent(metrics.expected_calibration_error)))
    return pairs


def _per_class(metrics: Metrics, classes: Sequence[str]) -> list[list[Any]]:
    rows: list[list[Any]] = [
        [name, percent(precision), percent(recall), percent(f1), int(images)]
        for name, precision, recall, f1, images in zip(
            classes, metrics.precision, metrics.recall, metrics.f1, metrics.support, strict=True
        )
    ]
    for weighted, title in ((False, "mean of the classes"), (True, "mean of the images")):
        mean = metrics.mean(weighted)
        shares = (percent(mean[name]) for name in ("precision", "recall", "f1"))
        rows.append([title, *shares, metrics.n])
    return rows


def _confusions(metrics: Metrics, classes: Sequence[str]) -> list[tuple[int, str, str, float]]:
    """Return the most frequent: how often, true class, taken for, share of the true class."""
    matrix = metrics.confusion_matrix.copy()
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[:CONFUSIONS_SHOWN]
    found = []
    for place in order.tolist():
        true, taken = divmod(place, len(classes))
        count = int(matrix[true, taken])
        if count:
            share = count / int(metrics.support[true])
            found.append((count, classes[true], classes[taken], share))
    return found


def _confusion_picture(shares: NDArray[np.float64]) -> Any:
    diagonal = float(shares.diagonal().mean())
    return pages.picture(
        pages.heat(shares),
        f"Confusion matrix of {len(shares)} classes, rows true, columns predicted, darker for "
        f"larger shares of a row; {percent(diagonal, 1)} on the diagonal on average.",
    )


def _diagram(bins: Reliability) -> Any:
    filled = bins.count > 0
    count = len(bins.count)
    edges = np.arange(count) / count
    alt = (
        "Reliability diagram: accuracy by confidence. "
        + "; ".join(
            f"at {percent(confidence, 0)} sure, {percent(accuracy, 0)} of {images:,} right"
            for confidence, accuracy, images in zip(
                bins.confidence[filled], bins.accuracy[filled], bins.count[filled], strict=True
            )
        )
        + f". Mean confidence {percent(mean_confidence(bins), 1)}."
    )
    with pages.chart(alt, height=300) as chart:
        above, below = chart.figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]}
        )
        above.set_title("Right, by how sure it was")
        above.plot([0, 100], [0, 100], color=FAINT, linestyle="--", linewidth=1)
        options = {"width": 92 / count, "align": "edge"}
        above.bar(100 * edges[filled], 100 * bins.accuracy[filled], color=SERIES[0], **options)
        above.plot(
            100 * bins.confidence[filled], 100 * bins.accuracy[filled], "o", color=SERIES[1],
            markersize=4,
        )  # fmt: skip
        above.set_ylabel("right, %")
        above.set_ylim(0, 100)
        below.bar(100 * edges[filled], bins.count[filled], color=FAINT, **options)
        below.set_ylabel("images")
        below.set_xlabel("how sure it was, %")
        below.set_xlim(0, 100)
    return chart.svg


def _mistakes(
    metrics: Metrics,
    classes: Sequence[str],
    images: NDArray[np.uint8] | None,
    missing: str,
    command: str,
) -> tuple[list[tuple[Any, str, str, float]], str]:
    kept = metrics.mistakes
    if kept is None:
        return [], f"The evaluation keeps no mistakes; measure it again: {command}"
    fits = images is not None and (not len(kept.index) or kept.index.max() < len(images))
    entries = []
    for index, label, predicted, probability in zip(
        kept.index.tolist(), kept.label.tolist(), kept.predicted.tolist(),
        kept.probability.tolist(), strict=True,
    ):  # fmt: skip
        true, taken = classes[label], classes[predicted]
        picture = None
        if images is not None and fits:
            alt = f"Image {index}: {true}, taken for {taken}, {percent(probability, 0)} sure"
            picture = pages.picture(np.asarray(images[index]), alt)
        entries.append((picture, true, taken, probability))
    if images is not None and not fits:
        missing = "The data has fewer images than were measured."
    return entries, "" if images is not None and fits else missing
