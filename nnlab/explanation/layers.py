"""One image at every layer: what went forward, and the chain rule on the way back, in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.core.activations import Activation
from nnlab.core.network import Network
from nnlab.explanation.passes import Visit
from nnlab.training.watch import FLAT

Floats = NDArray[np.float64]
LARGEST = 5


@dataclass(frozen=True)
class UnitValue:
    """One unit's output."""

    unit: int
    value: float


@dataclass(frozen=True)
class ForwardLayer:
    """What one layer made of the image.

    Attributes:
        name: ``<index>_<kind>``.
        kind: of layer.
        inputs, outputs: how many numbers come in and go out.
        parameters: how many are trained.
        mean, deviation, minimum, maximum, norm: of what went out.
        off: share of units whose local derivative is below a tenth of the steepest: switched off
            (ReLU) or saturated (sigmoid, tanh); None for other layers.
        largest: the units with the largest outputs.
    """

    name: str
    kind: str
    inputs: int
    outputs: int
    parameters: int
    mean: float
    deviation: float
    minimum: float
    maximum: float
    norm: float
    off: float | None
    largest: list[UnitValue]


@dataclass(frozen=True)
class WeightChange:
    """What a step of gradient descent does to one entry of W.

    Attributes:
        row, column: of W: input and output.
        pixel: (row, column, channel) of the input, if it is one of the image.
        weight: before the step.
        gradient: of the loss, penalty included.
        change: ``-learning_rate * gradient``.
    """

    row: int
    column: int
    pixel: tuple[int, int, int] | None
    weight: float
    gradient: float
    change: float


@dataclass(frozen=True)
class BackwardLayer:
    """The chain rule at one layer, in numbers.

    Attributes:
        name, kind: of the layer.
        incoming: norm of the gradient by what went out: what arrives from above.
        outgoing: norm of the gradient by what came in: what is passed on below.
        slope_mean, slope_minimum, slope_maximum: the local derivative of an activation.
        flat: share of its units whose local derivative is below a tenth of the steepest.
        steepest: the largest derivative that the activation can have.
        weight_norm: of W.
        weight_gradient_norm, bias_gradient_norm: of the data loss's gradient by W and b.
        changes: the entries of W that a step would change most.
    """

    name: str
    kind: str
    incoming: float
    outgoing: float
    slope_mean: float | None = None
    slope_minimum: float | None = None
    slope_maximum: float | None = None
    flat: float | None = None
    steepest: float | None = None
    weight_norm: float | None = None
    weight_gradient_norm: float | None = None
    bias_gradient_norm: float | None = None
    changes: Sequence[WeightChange] = ()


def _flat_share(layer: Any, slopes: Floats) -> float:
    return float(np.mean(slopes < FLAT * layer.steepest))


def forward_layer(network: Network, index: int, visit: Visit) -> ForwardLayer:
    """Describe what layer `index` made of the image of a visit."""
    layer, y = network.layers[index], visit.y[0]
    best = np.argsort(-y, kind="stable")[:LARGEST]
    return ForwardLayer(
        name=f"{index}_{layer.kind}",
        kind=layer.kind,
        inputs=layer.inputs,
        outputs=layer.outputs,
        parameters=sum(int(np.prod(entry.shape)) for entry in layer.parameters().values()),
        mean=float(y.mean()),
        deviation=float(y.std()),
        minimum=float(y.min()),
        maximum=float(y.max()),
        norm=float(np.linalg.norm(y)),
        off=None if visit.slopes is None else _flat_share(layer, visit.slopes),
        largest=[UnitValue(int(unit), float(y[unit])) for unit in best],
    )


def backward_layer(
    network: Network,
    index: int,
    visit: Visit,
    data_gradient: Floats,
    rate: float,
    shape: tuple[int, int, int],
) -> BackwardLayer:
    """Describe the chain rule at layer `index`.

    Args:
        network: its `grad` holds the gradient of the total loss.
        index: which layer.
        visit: what the passes saw there.
        data_gradient: (P,) of the data loss alone.
        rate: the learning rate of the step that changes W.
        shape: (H, W, C) of the image.
    """
    layer = network.layers[index]
    name = f"{index}_{layer.kind}"
    norms: dict[str, Any] = {
        "name": name, "kind": layer.kind,
        "incoming": float(np.linalg.norm(visit.dy)), "outgoing": float(np.linalg.norm(visit.dx)),
    }  # fmt: skip
    if isinstance(layer, Activation) and visit.slopes is not None:
        slopes = visit.slopes
        return BackwardLayer(
            **norms,
            slope_mean=float(slopes.mean()),
            slope_minimum=float(slopes.min()),
            slope_maximum=float(slopes.max()),
            flat=_flat_share(layer, slopes),
            steepest=layer.steepest,
        )
    if "W" not in layer.params:
        return BackwardLayer(**norms)
    own = dict(network.named_parameters(data_gradient))
    weights, gradient = layer.params["W"], layer.grads["W"]
    order = np.argsort(-np.abs(gradient), axis=None, kind="stable")[:LARGEST]
    changes = []
    for place in order:
        row, column = divmod(int(place), layer.outputs)
        slope = float(gradient[row, column])
        pixel = None
        if index == 0:
            pixel = tuple(int(number) for number in np.unravel_index(row, shape))
        changes.append(
            WeightChange(row, column, pixel, float(weights[row, column]), slope, -rate * slope)  # type: ignore[arg-type]
        )
    return BackwardLayer(
        **norms,
        weight_norm=float(np.linalg.norm(weights)),
        weight_gradient_norm=float(np.linalg.norm(own[f"{name}/W"])),
        bias_gradient_norm=float(np.linalg.norm(own[f"{name}/b"])),
        changes=changes,
    )
