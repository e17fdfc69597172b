"""Does the search look at the subject or at the background? Counted on every tested image.

The border is the outer ring that holds about half the pixels; it stands for the background. The
same search runs on the border alone and on the centre alone, and the distance to the neighbour
that decided is split into the two regions. An error goes *through the background* if the
border alone elects the same wrong class; how often the centre alone does so stands beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError
from nnlab.neighbors.baseline import KnnResult, Settings, baseline
from nnlab.neighbors.classifier import training_rows
from nnlab.neighbors.crossvalidation import elect
from nnlab.neighbors.exact_search import Neighbors, Progress, search
from nnlab.neighbors.regions import Regions, halve, pixel_parts

Split = tuple[NDArray[Any], NDArray[np.int64]]
# Pairs of images that are split into pixels at a time: flat memory.
PAIR_BLOCK = 512
MOST_CONFUSED = 5
BIASES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True)
class Confusion:
    """How often images of one class were taken for another through their backgrounds."""

    true: int
    predicted: int
    count: int


@dataclass(frozen=True)
class Background:
    """What border and centre did to one tested split.

    Attributes:
        regions: the cut.
        accuracy: of the search on ``all``, ``centre`` and ``border``.
        border_share_right, border_share_wrong: mean share of the distance to the deciding
            neighbour (the nearest one of the elected class) that lies in the border, over right
            and over wrong answers; None where there are none.
        errors: wrong answers of the whole image.
        repeated_by_border, repeated_by_centre: how many of these errors each region alone makes
            too, with the same wrong class.
        confusions: the most frequent pairs of classes among the errors that the border repeats.
        swapped: accuracy of the three searches on the split whose backgrounds belong to other
            classes; None where the data has no such split.
    """

    regions: Regions
    accuracy: dict[str, float]
    border_share_right: float | None
    border_share_wrong: float | None
    errors: int
    repeated_by_border: int
    repeated_by_centre: int
    confusions: tuple[Confusion, ...]
    swapped: dict[str, float] | None

    def record(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        return {
            "ring_width": self.regions.width,
            "border_pixels": self.regions.border_share,
            "accuracy": self.accuracy,
            "swapped_accuracy": self.swapped,
            "border_distance": {
                "right": self.border_share_right,
                "wrong": self.border_share_wrong,
            },
            "errors": self.errors,
            "errors_repeated": {
                "border": self.repeated_by_border,
                "centre": self.repeated_by_centre,
            },
            "confusions": [
                {"true": classes[c.true], "predicted": classes[c.predicted], "count": c.count}
                for c in self.confusions
            ],
        }


def background(
    train: Split,
    test: Split,
    result: KnnResult,
    swapped: Split | None = None,
    progress: Progress | None = None,
) -> Background:
    """Explain a baseline's answers by border and centre.

    Args:
        train: the images and labels that the baseline searched.
        test: the images and labels that it tested.
        result: what it found.
        swapped: a split like `test` whose backgrounds belong to other classes.
        progress: called with (pairs compared, pairs in all).

    Raises:
        InputError: images too small to be cut.
    """
    height, width, channels = result.image_shape
    regions = halve(height, width)
    columns = regions.columns(channels)
    settings = result.settings
    searches = [(test, name) for name in ("centre", "border")]
    searches += [(swapped, name) for name in columns] if swapped is not None else []
    elected: list[NDArray[np.int64]] = []
    training = len(train[1]) if result.train_rows is None else len(result.train_rows)
    parts = [_limited(split[1], settings) for split, _ in searches]
    pairs = [
        training * (len(split[1]) if rows is None else len(rows))
        for (split, _), rows in zip(searches, parts, strict=True)
    ]
    for number, ((split, name), rows) in enumerate(zip(searches, parts, strict=True)):

        def advance(done: int, _: int, before: int = sum(pairs[:number])) -> None:
            if progress is not None:
                progress(before + done, sum(pairs))

        found = search(
            split[0], train[0], result.k, settings.metric, query_rows=rows,
            training_rows=result.train_rows, columns=columns[name], threads=settings.threads,
            progress=advance,
        )  # fmt: skip
        elected.append(_elected(found, train[1], result))
    centre, border = elected[:2]
    true, predicted = result.labels, result.predicted
    wrong = predicted != true
    blamed = wrong & (border == predicted)
    shares = _border_shares(train, test, result, regions)
    return Background(
        regions=regions,
        accuracy={
            "all": result.metrics.accuracy,
            "centre": float(np.mean(centre == true)),
            "border": float(np.mean(border == true)),
        },
        border_share_right=float(shares[~wrong].mean()) if not wrong.all() else None,
        border_share_wrong=float(shares[wrong].mean()) if wrong.any() else None,
        errors=int(wrong.sum()),
        repeated_by_border=int(blamed.sum()),
        repeated_by_centre=int((wrong & (centre == predicted)).sum()),
        confusions=_confusions(true[blamed], predicted[blamed], result.class_count),
        swapped=_swapped_accuracy(swapped, settings, list(columns), elected[2:]),
    )


def _limited(labels: NDArray[np.int64], settings: Settings) -> NDArray[np.int64] | None:
    return training_rows(labels, settings.limit_test, settings.seed)


def _elected(found: Neighbors, labels: NDArray[np.int64], result: KnnResult) -> NDArray[np.int64]:
    settings = result.settings
    return elect(
        found, labels, result.class_count, settings.metric, settings.weights, result.k
    )[0]  # fmt: skip


def _swapped_accuracy(
    swapped: Split | None, settings: Settings, names: list[str], elected: list[NDArray[np.int64]]
) -> dict[str, float] | None:
    if swapped is None:
        return None
    rows = _limited(swapped[1], settings)
    labels = swapped[1] if rows is None else swapped[1][rows]
    return {
        name: float(np.mean(guess == labels)) for name, guess in zip(names, elected, strict=True)
    }


def deciding_neighbors(result: KnnResult, train_labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (Q,) the training row of each answer's nearest neighbour of the elected class."""
    rows = result.neighbors.indices[:, : result.k]
    votes_for = train_labels[rows] == result.predicted[:, None]
    return np.asarray(np.take_along_axis(rows, votes_for.argmax(axis=1)[:, None], 1)[:, 0])


def _border_shares(
    train: Split, test: Split, result: KnnResult, regions: Regions
) -> NDArray[np.float64]:
    """Return each answer's share of the deciding distance in the border; 0.5 of nothing."""
    deciding = deciding_neighbors(result, train[1])
    queries = np.arange(len(result.labels)) if result.test_rows is None else result.test_rows
    shares = np.empty(len(queries))
    for start in range(0, len(queries), PAIR_BLOCK):
        block = slice(start, start + PAIR_BLOCK)
        parts = pixel_parts(
            test[0][queries[block]], train[0][deciding[block]], result.settings.metric
        )
        whole = parts.sum(axis=(1, 2))
        inside = parts[:, regions.border].sum(axis=1)
        shares[block] = np.where(whole > 0, inside / np.where(whole > 0, whole, 1), 0.5)
    return shares


def _confusions(
    true: NDArray[np.int64], predicted: NDArray[np.int64], class_count: int
) -> tuple[Confusion, ...]:
    pairs, counts = np.unique(true * class_count + predicted, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_CONFUSED]
    return tuple(
        Confusion(int(pairs[i]) // class_count, int(pairs[i]) % class_count, int(counts[i]))
        for i in order
    )


@dataclass(frozen=True)
class BiasPoint:
    """Accuracies of the same search on data with one background bias."""

    bias: float
    test: float
    swapped: float


def bias_curve(
    make: Callable[[float], Mapping[str, Split]],
    settings: Settings,
    biases: Sequence[float] = BIASES,
    progress: Progress | None = None,
) -> list[BiasPoint]:
    """Measure how accuracy follows the correlation of class and background.

    Args:
        make: returns the splits ``train``, ``test`` and ``test_swapped`` made with a bias.
        settings: of the baseline; k must be settled (one k).
        biases: shares of the images whose background is their class's own.
        progress: called with (points done, points in all).

    Raises:
        InputError: settings with several k.
    """
    if len(settings.ks) != 1:
        raise InputError("a curve over the background bias needs one k.")
    points = []
    for number, bias in enumerate(biases):
        splits = make(bias)
        class_count = 1 + max(int(labels.max()) for _, labels in splits.values())
        accuracy = {
            name: baseline(splits["train"], splits[name], class_count, settings).metrics.accuracy
            for name in ("test", "test_swapped")
        }
        points.append(BiasPoint(bias, accuracy["test"], accuracy["test_swapped"]))
        if progress is not None:
            progress(number + 1, len(biases))
    return points


def in_words(report: Background, classes: Sequence[str]) -> list[str]:
    """Say what the numbers mean, a sentence a line."""
    share = report.regions.border_share
    accuracy = report.accuracy
    lines = [
        f"The border, a ring {report.regions.width} pixels wide, holds {share:.0%} of the pixels. "
        f"On it alone the search is right for {accuracy['border']:.1%}, on the centre alone for "
        f"{accuracy['centre']:.1%}, on both together for {accuracy['all']:.1%}."
    ]
    right, wrong = report.border_share_right, report.border_share_wrong
    if right is not None and wrong is not None:
        lines.append(
            f"Of the distance to the neighbour that decided, {right:.1%} comes from the border "
            f"where the answer is right, {wrong:.1%} where it is wrong."
        )
    if report.errors:
        border, centre = report.repeated_by_border, report.repeated_by_centre
        lines.append(
            f"Of {report.errors:,} errors the border alone makes {border:,} "
            f"({border / report.errors:.0%}) with the same wrong class, the centre alone "
            f"{centre:,} ({centre / report.errors:.0%})."
        )
    if report.confusions:
        pairs = [
            f"{classes[c.true]} taken for {classes[c.predicted]} ({c.count:,})"
            for c in report.confusions
        ]
        lines.append(f"Most confused through their backgrounds: {', '.join(pairs)}.")
    if report.swapped is not None:
        drop = accuracy["all"] - report.swapped["all"]
        lines.append(
            f"With every background taken from another class, accuracy goes from "
            f"{accuracy['all']:.1%} to {report.swapped['all']:.1%} ({-100 * drop:+.1f} points); "
            f"on the border alone from {accuracy['border']:.1%} to "
            f"{report.swapped['border']:.1%}."
        )
    return lines
