"""How well predictions agree with the truth: one measurement, as plain numbers and arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

TOP = 5
CALIBRATION_BINS = 15


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
        expected_calibration_error: see `calibration_error`; None without probabilities.
        precision: (K,) share of the images predicted as a class that are of it; 0 for a class
            that is never predicted.
        recall: (K,) share of a class's images that are found; 0 for a class without images.
        f1: (K,) harmonic mean of precision and recall; 0 where both are 0.
        support: (K,) images of each class.
        confusion_matrix: (K, K) counts; rows are true classes, columns predicted ones.
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
        }


def measure(
    labels: ArrayLike,
    predicted: ArrayLike,
    class_count: int,
    probabilities: ArrayLike | None = None,
    loss: float | None = None,
) -> Metrics:
    """Compare predictions with the truth.

    Args:
        labels: (N,) true classes, from 0 to `class_count` - 1; N at least 1.
        predicted: (N,) predicted classes.
        class_count: K.
        probabilities: (N, K), each row sums to 1.
        loss: the model's own mean data loss, kept as it is.

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
    return Metrics(
        n=len(truth),
        accuracy=float(hits.sum() / len(truth)),
        loss=None if loss is None else float(loss),
        log_loss=None if chance is None else log_loss(truth, chance),
        top5_accuracy=(
            None if chance is None or class_count < TOP else top_accuracy(truth, chance, TOP)
        ),
        expected_calibration_error=(
            None if chance is None else calibration_error(guess == truth, chance.max(axis=1))
        ),
        precision=_ratio(hits, chosen),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, chosen + support),
        support=support,
        confusion_matrix=matrix,
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
    of_truth = probabilities[np.arange(len(labels)), labels][:, None]
    lower = np.arange(probabilities.shape[1]) < labels[:, None]
    ahead = (probabilities > of_truth) | ((probabilities == of_truth) & lower)
    return float((ahead.sum(axis=1) < count).mean())


def calibration_error(
    right: NDArray[np.bool_], confidence: NDArray[Any], bins: int = CALIBRATION_BINS
) -> float:
    """Return the expected calibration error: how far confidence is from accuracy.

    The images are sorted into `bins` intervals of equal width, open to the left, by their top
    probability; the error is the mean over images of |accuracy - mean confidence| of their
    interval (Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3).

    Args:
        right: (N,) whether the predicted class is the true one.
        confidence: (N,) top probabilities.
        bins: number of intervals of [0, 1].
    """
    edges = np.arange(1, bins) / bins
    place = np.searchsorted(edges, confidence, side="left")
    gap = np.bincount(place, right.astype(np.float64) - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(right))


def _classes(values: ArrayLike, class_count: int) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"expected a 1-D array of integers, got {array.dtype} {array.shape}")
    if len(array) == 0:
        raise ValueError("there are no images to measure")
    if array.min() < 0 or array.max() >= class_count:
        raise ValueError(f"a class is outside 0 to {class_count - 1}")
    return array.astype(np.int64)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
