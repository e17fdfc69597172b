"""Losses: how bad scores are, and in which direction they should change.

Every loss is a function of one image's scores s (C,) and its label y. The data loss of a batch is
the mean over its images; a class weight multiplies an image's loss and gradient before the mean,
which still divides by the number of images (PyTorch divides by the sum of the weights instead).
The penalty on the weights is not part of these classes; see `nnlab.core.penalties`.
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnlab.core.layer import Array
from nnlab.jit import kernels

Labels = NDArray[np.int64]


class Loss:
    """Base of the losses: the mean over a batch, class weights and mixed labels.

    A subclass gives `compute`, one image's loss and gradient, for all rows at once.

    Args:
        class_weights: (C,) what an image of each class counts for; None for 1 each.
    """

    kind: ClassVar[str]

    def __init__(self, class_weights: Array | None = None) -> None:
        self.class_weights = class_weights
        self._key: tuple[int, int, Any] | None = None

    def spec(self) -> dict[str, Any]:
        """Return the arguments that build this loss again."""
        weights = self.class_weights
        given = {} if weights is None else {"class_weights": [float(weight) for weight in weights]}
        return {"kind": self.kind, **self.options(), **given}

    def options(self) -> dict[str, Any]:
        """Return the subclass's own arguments."""
        return {}

    def numbers(self, classes: int) -> tuple[float, ...]:  # noqa: ARG002
        """Return what its compiled loop needs to know of them."""
        return ()

    def allocate(
        self, batch: int, classes: int, dtype: np.dtype[Any], compiled: bool = True
    ) -> None:
        """Make the work arrays for up to `batch` rows; free if they are there already.

        Args:
            batch: rows at most.
            classes: how many.
            dtype: of the scores.
            compiled: load compiled loops, which takes longer than some single losses.
        """
        if self._key == (batch, classes, dtype):
            return
        self._key = (batch, classes, dtype)
        self._kernels = kernels("nnlab.core.kernels") if compiled else None
        self.gradient, self._second, self._work = (
            np.empty((batch, classes), dtype) for _ in range(3)
        )
        self.per_image, self._second_per_image, self._column = (
            np.empty(batch, dtype) for _ in range(3)
        )
        self._range = np.arange(batch)
        self._flat = np.empty(batch, np.int64)
        self._offsets = self._range * classes

    def __call__(
        self,
        scores: Array,
        labels: Labels,
        partners: Labels | None = None,
        share: Array | None = None,
    ) -> tuple[float, Array]:
        """Return the mean loss of a batch and its gradient by the scores.

        Args:
            scores: (N, C); left as they are.
            labels: (N,) the right classes, from 0 to C - 1.
            partners: (N,) second labels of images that are mixtures (mixup), or None.
            share: (N,) how much of each image belongs to its first label, with `partners`.

        Returns:
            The mean loss and the gradient (N, C), a work array that the next call overwrites.
            The losses of the single images, before class weights, are in ``per_image[:N]``.
        """
        rows, classes = scores.shape
        if self._key is None or rows > self._key[0] or (classes, scores.dtype) != self._key[1:]:
            self.allocate(rows, classes, scores.dtype)
        losses, gradient = self.per_image[:rows], self.gradient[:rows]
        self._single(scores, labels, losses, gradient)
        if partners is not None and share is not None:
            others, other_gradient = self._second_per_image[:rows], self._second[:rows]
            self._single(scores, partners, others, other_gradient)
            share = share.astype(scores.dtype)
            losses *= share
            losses += (1 - share) * others
            gradient *= share[:, None]
            gradient += (1 - share)[:, None] * other_gradient
        gradient *= 1.0 / rows
        if self._kernels is not None:
            return self._kernels.mean(losses), gradient
        return float(np.add.reduce(losses, dtype=np.float64)) / rows, gradient

    def _single(self, scores: Array, labels: Labels, losses: Array, gradient: Array) -> None:
        self.compute(scores, labels, losses, gradient)
        if self.class_weights is not None:
            weights = self.class_weights[labels].astype(scores.dtype)
            losses *= weights
            gradient *= weights[:, None]

    def compute(self, scores: Array, labels: Labels, losses: Array, gradient: Array) -> None:
        """Write each image's loss to `losses` (N,) and its gradient to `gradient` (N, C)."""
        raise NotImplementedError

    def _right_entries(self, labels: Labels) -> NDArray[np.int64]:
        # Where each row's right class lies in an (N, C) array seen as one row.
        rows = len(labels)
        return np.add(labels, self._offsets[:rows], out=self._flat[:rows])


class SoftmaxCrossEntropy(Loss):
    """``-log p_y`` with ``p_j = exp(s_j) / sum_k exp(s_k)``.

    The largest score is subtracted before exp, which changes nothing in exact arithmetic and
    keeps it from overflowing (CS231n, linear classification notes). With label smoothing epsilon
    the target is ``(1 - epsilon) onehot + epsilon / C`` (Szegedy et al. 2016), and the loss
    ``-sum_j target_j log p_j``. The gradient is ``p - target``.
    """

    kind = "softmax"

    def __init__(self, label_smoothing: float = 0.0, class_weights: Array | None = None) -> None:
        super().__init__(class_weights)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label smoothing lies in [0, 1), not {label_smoothing}")
        self.label_smoothing = label_smoothing

    def options(self) -> dict[str, Any]:
        """The smoothing."""
        return {"label_smoothing": self.label_smoothing}

    def numbers(self, classes: int) -> tuple[float, ...]:
        """Of the target: what the right class has beyond the others, and what each has."""
        return 1 - self.label_smoothing, self.label_smoothing / classes

    def compute(self, scores: Array, labels: Labels, losses: Array, gradient: Array) -> None:
        """-log p_y and p - target."""
        rows, classes = scores.shape
        right_share, each = map(scores.dtype.type, self.numbers(classes))
        if self._kernels is not None:
            self._kernels.softmax(scores, labels, right_share, each, losses, gradient)
            return
        column, shifted = self._column[:rows], self._work[:rows]
        right = self._right_entries(labels)
        np.maximum.reduce(scores, axis=1, out=column)
        np.subtract(scores, column[:, None], out=shifted)
        np.take(shifted.reshape(-1), right, out=losses, mode="clip")
        if self.label_smoothing:
            losses *= right_share
            losses += each * np.add.reduce(shifted, axis=1)
        np.exp(shifted, out=gradient)
        np.add.reduce(gradient, axis=1, out=column)
        gradient /= column[:, None]
        gradient -= each
        gradient.reshape(-1)[right] -= right_share
        np.log(column, out=column)
        np.subtract(column, losses, out=losses)


class Hinge(Loss):
    """``sum_{j != y} max(0, s_j - s_y + delta)`` (Weston and Watkins 1999; CS231n).

    Not divided by the number of classes. Where a margin is exactly zero its slope is taken as 0.
    """

    kind = "hinge"

    def __init__(self, delta: float = 1.0, class_weights: Array | None = None) -> None:
        super().__init__(class_weights)
        if not (delta > 0 and np.isfinite(delta)):
            raise ValueError(f"delta is a number above 0, not {delta}")
        self.delta = delta

    def options(self) -> dict[str, Any]:
        """The margin."""
        return {"delta": self.delta}

    def numbers(self, classes: int) -> tuple[float, ...]:  # noqa: ARG002
        """The margin."""
        return (self.delta,)

    def margins(self, scores: Array, labels: Labels) -> Array:
        """Return ``max(0, s_j - s_y + delta)``, (N, C), with 0 at the right class."""
        rows = len(scores)
        right = self._right_entries(labels)
        margins, column = self._work[:rows], self._column[:rows]
        np.take(scores.reshape(-1), right, out=column, mode="clip")
        column -= scores.dtype.type(self.delta)
        np.subtract(scores, column[:, None], out=margins)
        np.maximum(margins, 0, out=margins)
        margins.reshape(-1)[right] = 0
        return margins

    def compute(self, scores: Array, labels: Labels, losses: Array, gradient: Array) -> None:
        """1 for each class inside the margin; minus their number at the right class."""
        if self._kernels is not None:
            delta = scores.dtype.type(self.delta)
            self._kernels.hinge(scores, labels, delta, losses, gradient)
            return
        rows = len(scores)
        margins, column = self.margins(scores, labels), self._column[:rows]
        np.greater(margins, 0, out=gradient, casting="unsafe")
        np.add.reduce(gradient, axis=1, out=column)
        gradient.reshape(-1)[self._flat[:rows]] = -column
        np.add.reduce(margins, axis=1, out=losses)


class SquaredHinge(Hinge):
    """``sum_{j != y} max(0, s_j - s_y + delta)^2``: smooth, and harder on large violations."""

    kind = "squared_hinge"

    def compute(self, scores: Array, labels: Labels, losses: Array, gradient: Array) -> None:
        """Twice each margin; minus their sum at the right class."""
        margins = self.margins(scores, labels)
        np.multiply(margins, 2, out=gradient)
        column = self._column[: len(scores)]
        np.add.reduce(gradient, axis=1, out=column)
        gradient.reshape(-1)[self._flat[: len(scores)]] = -column
        margins *= margins
        np.add.reduce(margins, axis=1, out=losses)


# One entry a loss: the command line, a model's spec and the gradient checks read it.
LOSSES: dict[str, type[Loss]] = {
    cls.kind: cls for cls in (SoftmaxCrossEntropy, Hinge, SquaredHinge)
}


def count_right(scores: Array, labels: Labels) -> int:
    """Return how many rows of scores (N, C) are largest at their label (N,); first of equals."""
    found = kernels("nnlab.core.kernels")
    if found is None:
        return int(np.count_nonzero(scores.argmax(axis=1) == labels))
    return int(found.count_right(scores, labels))


def loss_from_spec(spec: dict[str, Any]) -> Loss:
    """Build the loss that `Loss.spec` described.

    Raises:
        ValueError: an unknown kind or a value outside its range.
    """
    arguments = dict(spec)
    kind = arguments.pop("kind")
    if kind not in LOSSES:
        raise ValueError(f"unknown loss {kind!r}; known: {', '.join(LOSSES)}")
    if arguments.get("class_weights") is not None:
        arguments["class_weights"] = np.asarray(arguments["class_weights"], dtype=np.float64)
    return LOSSES[kind](**arguments)


def balanced_class_weights(labels: Labels, classes: int) -> NDArray[np.float64]:
    """Return ``N / (C n_c)`` for each class: rare ones count more (King and Zeng 2001).

    The mean over the images is 1, so the learning rate keeps its meaning. A class without images
    gets 0.
    """
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    return np.divide(len(labels), present * counts, out=np.zeros(classes), where=counts > 0)


def probabilities(scores: Array) -> NDArray[np.float64]:
    """Return the softmax of each row, in float64, (N, C).

    For a model trained with a hinge loss these are a convenience, not calibrated probabilities.
    """
    shifted = scores.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=1, keepdims=True)
    return shifted
