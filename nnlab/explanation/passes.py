"""One image through a network, forward and back, with everything on the way kept."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnlab.core.activations import Activation
from nnlab.core.network import Network

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Visit:
    """What a pass saw at one layer.

    Attributes:
        x: (N, inputs) what came in.
        y: (N, outputs) what went out.
        dy: (N, outputs) the gradient by what went out.
        dx: (N, inputs) the gradient by what came in.
        slopes: (N, units) the local derivative of an activation; None for other layers.
    """

    x: Floats
    y: Floats
    dy: Floats
    dx: Floats
    slopes: Floats | None


def twin(network: Network) -> Network:
    """Return a copy in float64 that also gives the gradient by its input.

    Training has no use for that gradient, so networks do not compute it.
    """
    copy = Network.from_spec(network.spec(), dtype=np.float64)
    for layer in copy.layers:
        layer.input_gradient = True
    copy.theta[...] = network.theta
    copy.running[...] = network.running
    return copy


def scores(network: Network, x: Floats) -> Floats:
    """Return the scores (N, C) of x (N, D), in inference mode."""
    return network.forward(x).copy()


def passes(network: Network, x: Floats, dscores: Floats) -> list[Visit]:
    """Run both passes in inference mode and return what each layer saw; fills `network.grad`.

    Args:
        network: made by `twin`.
        x: (N, D).
        dscores: (N, C) the gradient by the scores.
    """
    network.reserve(len(x))
    # Layers write into work arrays, over each other's where they can: copy before going on.
    values = [x.copy()]
    current = x.copy()
    for layer in network.layers:
        current = layer.forward(current, training=False)
        values.append(current.copy())
    gradients = [dscores.copy()]
    current = dscores.copy()
    for layer in reversed(network.layers):
        current = layer.backward(current)
        gradients.append(current.copy())
    gradients.reverse()
    return [
        Visit(
            x=values[index], y=values[index + 1], dx=gradients[index], dy=gradients[index + 1],
            slopes=layer.slopes(len(x)).copy() if isinstance(layer, Activation) else None,
        )
        for index, layer in enumerate(network.layers)
    ]  # fmt: skip
