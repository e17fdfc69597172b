"""A loss in stages: from the scores of one image to one number, class by class.

The stages are written out here in float64, step by step, as one would on paper; the losses that
train (`nnlab.core.losses`) compute the same for whole batches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.core.losses import Hinge, Loss, SoftmaxCrossEntropy, SquaredHinge
from nnlab.core.penalties import Penalty

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LossPart:
    """The data loss of one image.

    Attributes:
        kind: a name in `nnlab.core.losses.LOSSES`.
        label: the right class.
        scores: (C,).
        value: the loss before the class weight.
        weight: what the class counts for; 1 without class weights.
        data_loss: the loss, class weight included.
        gradient: (C,) of the data loss by the scores.
    """

    kind: str
    label: int
    scores: Floats
    value: float
    weight: float
    data_loss: float
    gradient: Floats


@dataclass(frozen=True)
class SoftmaxPart(LossPart):
    """The softmax loss in its stages, each (C,).

    Attributes:
        largest: the score that is subtracted from all.
        shifted: ``s - max(s)``.
        exponentials: ``exp(shifted)``.
        total: their sum.
        probabilities: ``exponentials / total``.
        label_smoothing: share of the target spread over all classes.
        targets: what the probabilities should be.
        terms: ``-target * log(probability)``; their sum is the loss.
    """

    largest: float
    shifted: Floats
    exponentials: Floats
    total: float
    probabilities: Floats
    label_smoothing: float
    targets: Floats
    terms: Floats


@dataclass(frozen=True)
class HingePart(LossPart):
    """The hinge loss in its stages, each (C,).

    Attributes:
        delta: by how much the right score should lead.
        differences: ``s_j - s_y + delta``; ``delta`` at the right class, which does not count.
        margins: ``max(0, difference)``, 0 at the right class.
        terms: the margins, or their squares; their sum is the loss.
        inside: how many classes are inside the margin.
    """

    delta: float
    differences: Floats
    margins: Floats
    terms: Floats
    inside: int


@dataclass(frozen=True)
class PenaltyPart:
    """The penalty on the weights: no image has a say in it.

    Attributes:
        l2, l1: the factors.
        squares: sum of W^2 over all weight matrices.
        sizes: sum of |W|.
        l2_part: ``l2 / 2 * squares``.
        l1_part: ``l1 * sizes``.
        value: their sum.
    """

    l2: float
    l1: float
    squares: float
    sizes: float
    l2_part: float
    l1_part: float
    value: float


def loss_part(loss: Loss, scores: Floats, label: int) -> LossPart:
    """Write out the loss of one image.

    Args:
        loss: the loss.
        scores: (C,).
        label: the right class.
    """
    weight = 1.0 if loss.class_weights is None else float(loss.class_weights[label])
    loss.allocate(1, len(scores), np.dtype(np.float64), compiled=False)
    _, gradient = loss(scores[None].astype(np.float64), np.array([label]))
    stages = STAGES[loss.kind](loss, scores, label)
    value = float(stages["terms"].sum())
    return (SoftmaxPart if "probabilities" in stages else HingePart)(
        kind=loss.kind, label=label, scores=scores, value=value, weight=weight,
        data_loss=value * weight, gradient=gradient[0].copy(), **stages,
    )  # fmt: skip


def penalty_part(penalty: Penalty, weights: Floats) -> PenaltyPart:
    """Write out the penalty of all penalized weights (P,)."""
    squares, sizes = float(np.square(weights).sum()), float(np.abs(weights).sum())
    l2_part, l1_part = penalty.l2 / 2 * squares, penalty.l1 * sizes
    return PenaltyPart(penalty.l2, penalty.l1, squares, sizes, l2_part, l1_part, l2_part + l1_part)


def _softmax_stages(loss: Any, scores: Floats, label: int) -> dict[str, Any]:
    classes = len(scores)
    shifted = scores - scores.max()
    exponentials = np.exp(shifted)
    total = float(exponentials.sum())
    targets = np.full(classes, loss.label_smoothing / classes)
    targets[label] += 1 - loss.label_smoothing
    return {
        "largest": float(scores.max()),
        "shifted": shifted,
        "exponentials": exponentials,
        "total": total,
        "probabilities": exponentials / total,
        "label_smoothing": loss.label_smoothing,
        "targets": targets,
        # The logarithm of a quotient, taken apart: a probability may be too small to be written.
        "terms": targets * (np.log(total) - shifted),
    }


def _hinge_stages(loss: Any, scores: Floats, label: int) -> dict[str, Any]:
    differences = scores - scores[label] + loss.delta
    margins = np.maximum(0.0, differences)
    margins[label] = 0.0
    return {
        "delta": loss.delta,
        "differences": differences,
        "margins": margins,
        "terms": margins,
        "inside": int(np.count_nonzero(margins)),
    }


def _squared_hinge_stages(loss: Any, scores: Floats, label: int) -> dict[str, Any]:
    stages = _hinge_stages(loss, scores, label)
    return {**stages, "terms": np.square(stages["margins"])}


# One entry a loss.
STAGES: dict[str, Callable[[Any, Floats, int], dict[str, Any]]] = {
    SoftmaxCrossEntropy.kind: _softmax_stages,
    Hinge.kind: _hinge_stages,
    SquaredHinge.kind: _squared_hinge_stages,
}
