"""How well predictions agree with the truth: one measurement, as plain numbers and arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

TOP = 5
CALIBRATION_BINS = 15
BLOCK = 65536
# So many of the most confident mistakes are remembered: enough to look at.
MISTAKES_KEPT = 24


@dataclass(frozen=True, eq=False)
class Reliability:
    """How sure the model was and how often it was right, by bins of its top probability.

    Attributes:
        count: (B,) images of each of B intervals of equal width of [0, 1].
        confidence: (B,) their mean top probability; 0 for an empty bin.
        accuracy: (B,) the share of them that was classified right; 0 for an empty bin.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean over images of |accuracy - confidence|."""
        gap = np.abs(self.accuracy - self.confidence)
        return float(self.count @ gap / self.count.sum())


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The wrong answers that the model was surest of, the surest first.

    Attributes:
        index: (M,) which images of the split.
        label: (M,) their true classes.
        predicted: (M,) the classes given.
        probability: (M,) the probabilities given to those.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probability: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Metrics:
    """What was measured on n images of K classes.

    Attributes:
        n: number of images.
        accuracy: share of the images whose predicted class is the true one.
        loss: mean data loss of the model, without penalties; None if it has none.
        log_loss: mean of -log(probability of the true class), natural logarithm; None without
            probabilities.
        top5_accuracy: share of the images whose true class is among the five most probable, of
            equally probable ones those with the lower index; None without probabilities, and for
            fewer than five classes, where it would always be 1.
        expected_calibration_error: see `reliability`; None without probabilities.
        precision: (K,) share of the images predicted as a class that are of it; 0 for a class
            that is never predicted.
        recall: (K,) share of a class's images that are found; 0 for a class without images.
        f1: (K,) harmonic mean of precision and recall; 0 where both are 0.
        support: (K,) images of each class.
        confusion_matrix: (K, K) counts; rows are true classes, columns predicted ones.
        brier_score: see `brier_score`; None without probabilities.
        hinge_loss: see `hinge_loss`; None without scores.
        reliability: what the calibration error is made of; None without probabilities.
        mistakes: the most confident ones; None without probabilities.
    """

    n: int
    accuracy: float
    loss: float | None
    log_loss: float | None
    top5_accuracy: float | None
    expected_calibration_error: float | None
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]
    confusion_matrix: NDArray[np.int64]
    brier_score: float | None = None
    hinge_loss: float | None = None
    reliability: Reliability | None = None
    mistakes: Mistakes | None = None

    @property
    def correct(self) -> int:
        """How many images were classified right."""
        return int(self.confusion_matrix.diagonal().sum())

    def mean(self, weighted: bool) -> dict[str, float]:
        """Return the means of precision, recall and F1 over the classes.

        Args:
            weighted: every class counts as its images do; else every class that has images or
                was predicted counts the same, as scikit-learn has it.
        """
        if weighted:
            weights = self.support
        else:
            weights = (self.support + self.confusion_matrix.sum(axis=0) > 0).astype(np.int64)
        return {
            name: float(getattr(self, name) @ weights / weights.sum())
            for name in ("precision", "recall", "f1")
        }

    def record(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return the metrics as plain values, by the keys of `nnlab eval --json`.

        Args:
            classes: the K names.
        """
        rows = zip(classes, self.precision, self.recall, self.f1, self.support, strict=True)
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "loss": self.loss,
            "log_loss": self.log_loss,
            "top5_accuracy": self.top5_accuracy,
            "expected_calibration_error": self.expected_calibration_error,
            "brier_score": self.brier_score,
            "hinge_loss": self.hinge_loss,
            "macro": self.mean(weighted=False),
            "weighted": self.mean(weighted=True),
            "per_class": [
                {
                    "class": name,
                    "precision": float(precision),
                    "recall": float(recall),
                    "f1": float(f1),
                    "support": int(support),
                }
                for name, precision, recall, f1, support in rows
            ],
            "confusion_matrix": self.confusion_matrix.tolist(),
            "reliability": _columns(self.reliability),
            "mistakes": None if self.mistakes is None else self._mistakes(classes),
        }

    def _mistakes(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        return [
            {
                "index": index,
                "class": classes[label],
                "predicted": classes[predicted],
                "probability": probability,
            }
            for index, label, predicted, probability in zip(
                *(_columns(self.mistakes) or {}).values(), strict=True
            )
        ]


def _columns(part: Reliability | Mistakes | None) -> dict[str, Any] | None:
    if part is None:
        return None
    return {entry.name: getattr(part, entry.name).tolist() for entry in fields(part)}


def measure(
    labels: ArrayLike,
    predicted: ArrayLike,
    class_count: int,
    probabilities: ArrayLike | None = None,
    loss: float | None = None,
    scores: NDArray[Any] | None = None,
    delta: float = 1.0,
    rows: NDArray[np.int64] | None = None,
) -> Metrics:
    """Compare predictions with the truth.

    Args:
        labels: (N,) true classes, from 0 to `class_count` - 1; N at least 1.
        predicted: (N,) predicted classes.
        class_count: K.
        probabilities: (N, K), each row sums to 1.
        loss: the model's own mean data loss, kept as it is.
        scores: (N, K) what the probabilities were made of, for the hinge loss.
        delta: margin of the hinge loss.
        rows: (N,) which images of the split these are, if not all; mistakes are named by them.

    Raises:
        ValueError: shapes that do not fit, no images, or a class outside the range.
    """
    truth, guess = _classes(labels, class_count), _classes(predicted, class_count)
    if truth.shape != guess.shape:
        raise ValueError(f"{len(truth)} labels for {len(guess)} predictions")
    matrix = np.bincount(truth * class_count + guess, minlength=class_count**2)
    matrix = matrix.reshape(class_count, class_count).astype(np.int64)
    hits, support, chosen = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    chance = None if probabilities is None else np.asarray(probabilities)
    if chance is not None and chance.dtype.kind != "f":
        chance = chance.astype(np.float64)
    if chance is not None and chance.shape != (len(truth), class_count):
        raise ValueError(f"probabilities of shape {chance.shape} for {len(truth)} images")
    bins = None if chance is None else reliability(guess == truth, chance.max(axis=1))
    return Metrics(
        n=len(truth),
        accuracy=float(hits.sum() / len(truth)),
        loss=None if loss is None else float(loss),
        log_loss=None if chance is None else log_loss(truth, chance),
        top5_accuracy=(
            None if chance is None or class_count < TOP else top_accuracy(truth, chance, TOP)
        ),
        expected_calibration_error=None if bins is None else bins.error,
        precision=_ratio(hits, chosen),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, chosen + support),
        support=support,
        confusion_matrix=matrix,
        brier_score=None if chance is None else brier_score(truth, chance),
        hinge_loss=None if scores is None else hinge_loss(truth, scores, delta),
        reliability=bins,
        mistakes=None if chance is None else _surest_mistakes(truth, guess, chance, rows),
    )


def log_loss(labels: NDArray[np.int64], probabilities: NDArray[Any]) -> float:
    """Return the mean of -log(probability of the true class), natural logarithm.

    A probability of 0 counts as the smallest normal number of its type, so that one impossible
    image costs much (87 in float32, 708 in float64) and not everything.

    Args:
        labels: (N,).
        probabilities: (N, K), of a floating-point type.
    """
    of_truth = probabilities[np.arange(len(labels)), labels]
    floor = np.finfo(probabilities.dtype).tiny
    return float(-np.log(np.maximum(of_truth, floor).astype(np.float64)).mean())


def top_accuracy(labels: NDArray[np.int64], probabilities: NDArray[Any], count: int) -> float:
    """Return the share of images whose true class is among the `count` most probable.

    Of equally probable classes those with the lower index come first.

    Args:
        labels: (N,).
        probabilities: (N, K).
        count: how many classes may be named.
    """
    named = np.empty(len(labels), np.bool_)
    for part in _blocks(len(labels)):
        truth, chance = labels[part], probabilities[part]
        of_truth = chance[np.arange(len(truth)), truth][:, None]
        lower = np.arange(chance.shape[1]) < truth[:, None]
        ahead = (chance > of_truth) | ((chance == of_truth) & lower)
        named[part] = ahead.sum(axis=1) < count
    return float(named.mean())


def brier_score(labels: NDArray[np.int64], probabilities: NDArray[Any]) -> float:
    """Return the mean over images of ``sum_k (p_k - [k is the true class])^2``, from 0 to 2.

    The definition for any number of classes (Brier 1950, "Verification of forecasts expressed in
    terms of probability"); for two classes it is twice what the binary form gives.

    Args:
        labels: (N,).
        probabilities: (N, K).
    """
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    squares = np.einsum("ij,ij->i", probabilities, probabilities, dtype=np.float64)
    return float((squares - 2 * of_truth + 1).mean())


def hinge_loss(labels: NDArray[np.int64], scores: NDArray[Any], delta: float = 1.0) -> float:
    """Return the mean over images of ``sum_{j != y} max(0, s_j - s_y + delta)``.

    Weston and Watkins' form, not divided by the number of classes, like the loss that SVMs are
    trained with here.

    Args:
        labels: (N,).
        scores: (N, K).
        delta: the margin.
    """
    of_image = np.empty(len(labels))
    for part in _blocks(len(labels)):
        truth, of_class = labels[part], scores[part]
        of_truth = of_class[np.arange(len(truth)), truth].astype(np.float64)
        of_image[part] = np.maximum(of_class - (of_truth - delta)[:, None], 0.0).sum(axis=1)
    # The right class's own term is delta.
    return float(of_image.mean() - delta)


def reliability(
    right: NDArray[np.bool_], confidence: NDArray[Any], bins: int = CALIBRATION_BINS
) -> Reliability:
    """Sort images into bins by their confidence.

    The bins are `bins` intervals of equal width, open to the left; the mean over images of
    |accuracy - mean confidence| of their bin is the expected calibration error (Guo et al. 2017,
    "On Calibration of Modern Neural Networks", equation 3).

    Args:
        right: (N,) whether the predicted class is the true one.
        confidence: (N,) top probabilities.
        bins: number of intervals of [0, 1].
    """
    edges = np.arange(1, bins) / bins
    place = np.searchsorted(edges, confidence, side="left")
    count = np.bincount(place, minlength=bins)
    return Reliability(
        count=count,
        confidence=_ratio(np.bincount(place, confidence, minlength=bins), count),
        accuracy=_ratio(np.bincount(place, right, minlength=bins), count),
    )


def _surest_mistakes(
    truth: NDArray[np.int64],
    guess: NDArray[np.int64],
    chance: NDArray[Any],
    rows: NDArray[np.int64] | None,
) -> Mistakes:
    wrong = np.flatnonzero(guess != truth)
    probability = chance[wrong, guess[wrong]].astype(np.float64)
    # Stable: of equally sure mistakes those with the lower index come first.
    order = np.argsort(-probability, kind="stable")[:MISTAKES_KEPT]
    chosen = wrong[order]
    return Mistakes(
        index=chosen if rows is None else rows[chosen],
        label=truth[chosen],
        predicted=guess[chosen],
        probability=probability[order],
    )


def _classes(values: ArrayLike, class_count: int) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"expected a 1-D array of integers, got {array.dtype} {array.shape}")
    if len(array) == 0:
        raise ValueError("there are no images to measure")
    if array.min() < 0 or array.max() >= class_count:
        raise ValueError(f"a class is outside 0 to {class_count - 1}")
    return array.astype(np.int64)


def _blocks(count: int) -> Iterator[slice]:
    """Cut images into blocks: what is made of each of them takes no more room for more of them."""
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
