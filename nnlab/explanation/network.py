"""The whole way of one image through a network: scores, loss, backward pass, one step.

Everything is computed in float64 from the weights of the run, in inference mode: dropout drops
nothing, batch normalization uses its running statistics.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.core.losses import Loss
from nnlab.core.network import Network
from nnlab.core.penalties import Penalty
from nnlab.explanation.layers import BackwardLayer, ForwardLayer, backward_layer, forward_layer
from nnlab.explanation.losses import LossPart, PenaltyPart, loss_part, penalty_part
from nnlab.explanation.passes import passes, scores, twin
from nnlab.explanation.scores import ScoresPart, scores_part
from nnlab.explanation.subject import Subject
from nnlab.explanation.tensor import (
    StandardizedPart,
    TensorPart,
    standardized_part,
    tensor_part,
)
from nnlab.training.trained import TrainedNetwork

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StepPart:
    """One step of plain gradient descent on this image alone.

    Attributes:
        learning_rate: of the run, before its schedule.
        optimizer: what the run itself used.
        gradient_norm: of the total loss by all parameters.
        expected_change: ``-learning_rate * gradient_norm^2``, right for an endlessly small step.
        data_before, data_after: the data loss.
        penalty_before, penalty_after: the penalty.
        total_before, total_after: their sums.
        scores_after: (C,).
        predicted_after: the class with the largest.
    """

    learning_rate: float
    optimizer: str
    gradient_norm: float
    expected_change: float
    data_before: float
    data_after: float
    penalty_before: float
    penalty_after: float
    total_before: float
    total_after: float
    scores_after: Floats
    predicted_after: int


@dataclass(frozen=True)
class NetworkExplanation:
    """Everything about one image and one network."""

    subject: Subject
    tensor: TensorPart
    standardized: StandardizedPart
    scores: ScoresPart
    loss: LossPart
    penalty: PenaltyPart
    total_loss: float
    forward: list[ForwardLayer]
    backward: list[BackwardLayer]
    step: StepPart


def explain_network(
    model: TrainedNetwork,
    pixels: NDArray[np.uint8],
    label: int | None,
    *,
    config: dict[str, Any],
    run: str = "",
    image: str = "",
) -> NetworkExplanation:
    """Follow one image through a trained network and back.

    Args:
        model: the network, its standardization and its loss.
        pixels: (H, W, C) uint8, of the model's shape.
        label: the right class; None where it is not known: the loss is that of the answer then.
        config: the run's settings: ``model``, ``l2``, ``l1``, ``lr`` and ``optimizer`` are read.
        run: the name of the run.
        image: the name of the image.

    Raises:
        InputError: an image of another shape, or a label that names no class.
    """
    checked = model.checked(pixels[None], None if label is None else np.array([label]))
    network = twin(model.network)
    tensor = tensor_part(checked.images[0])
    standardized = standardized_part(tensor, model.standardization)
    x = standardized.values[None]
    predicted = int(scores(network, x)[0].argmax())
    subject = Subject(
        run, str(config.get("model", "")), image, model.classes,
        predicted if label is None else label, label is not None, config,
    )  # fmt: skip
    found = scores_part(network, x, tensor.shape, subject.label)
    loss = loss_part(model.loss, found.scores, subject.label)
    rule = Penalty(float(config.get("l2") or 0.0), float(config.get("l1") or 0.0))
    penalty = penalty_part(rule, network.theta[: network.penalized])
    visits = passes(network, x, loss.gradient[None])
    rate = float(config.get("lr") or 0.0)
    data_gradient = network.grad.copy()
    rule.add_gradient(
        network.theta[: network.penalized],
        network.grad[: network.penalized],
        np.empty(network.penalized),
    )
    backward = [
        backward_layer(network, index, visit, data_gradient, rate, tensor.shape)
        for index, visit in enumerate(visits)
    ]
    return NetworkExplanation(
        subject=subject,
        tensor=tensor,
        standardized=standardized,
        scores=found,
        loss=loss,
        penalty=penalty,
        total_loss=loss.data_loss + penalty.value,
        forward=[forward_layer(network, index, visit) for index, visit in enumerate(visits)],
        backward=backward[::-1],
        step=_step_part(network, x, model.loss, rule, rate, loss, penalty, config),
    )


def _step_part(
    network: Network,
    x: Floats,
    measure: Loss,
    rule: Penalty,
    rate: float,
    loss: LossPart,
    penalty: PenaltyPart,
    config: dict[str, Any],
) -> StepPart:
    """Take the step that `network.grad` says, and measure again."""
    squared = float(np.dot(network.grad, network.grad))
    network.theta -= rate * network.grad
    after = scores(network, x)[0]
    data_after = loss_part(measure, after, loss.label).data_loss
    penalty_after = penalty_part(rule, network.theta[: network.penalized]).value
    return StepPart(
        learning_rate=rate,
        optimizer=str(config.get("optimizer", "")),
        gradient_norm=squared**0.5,
        expected_change=-rate * squared,
        data_before=loss.data_loss,
        data_after=data_after,
        penalty_before=penalty.value,
        penalty_after=penalty_after,
        total_before=loss.data_loss + penalty.value,
        total_after=data_after + penalty_after,
        scores_after=after,
        predicted_after=int(after.argmax()),
    )
