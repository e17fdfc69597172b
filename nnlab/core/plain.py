"""Plain networks, linear layers with ReLUs between them, whose whole step is one compiled call.

A softmax or hinge classifier and an MLP without further layers are plain. All others, and whatever
wants to look at the passes of a step, go from layer to layer (`nnlab.core.network`).
"""

import numpy as np

from nnlab.core.activations import ReLU
from nnlab.core.layer import Array
from nnlab.core.linear import Linear
from nnlab.core.losses import Loss
from nnlab.core.network import Network
from nnlab.core.update import Update
from nnlab.core.workers import current
from nnlab.jit import kernels


class PlainNetwork:
    """The plain network of an update, with work arrays of its own.

    Args:
        update: what a step does with the gradient; `is_plain` holds for its network.
        loss: the data loss.
        batch: rows of a step at most.
    """

    def __init__(self, update: Update, loss: Loss, batch: int) -> None:
        network = update.network
        layers = network.layers[::2]
        size, classes = batch * sum(layer.outputs for layer in layers), network.outputs
        compiled = kernels("nnlab.core.plain_kernels")
        assert compiled is not None
        self._update = update
        self._layout = (
            np.array([network.inputs, *(layer.outputs for layer in layers)]),
            np.array([layer.places["W"].start for layer in layers]),
            np.array([layer.places["b"].start for layer in layers]),
            np.empty(size, network.dtype),
            np.empty(size, network.dtype),
            compiled.LOSSES.index(loss.kind),
            np.array(loss.numbers(classes), network.dtype),
        )
        self._losses = np.empty(batch, network.dtype)

    def step(
        self, x: Array, labels: Array, learning_rate: float
    ) -> tuple[float, int, float] | None:
        """Take a step on images x (N, D) of these classes (N,).

        Returns:
            The mean loss, how many images were classified right, and the norm of the gradient with
            its penalty, as `Loss` and `Update.descend` do; None where it cannot be, and then
            nothing has happened.
        """
        if not current().can_multiply(x, x):
            return None
        step = self._update.begin(learning_rate)
        loss, correct = step.take_whole(x, labels, self._layout, self._losses[: len(x)])
        return loss, correct, step.norm()


def is_plain(network: Network, loss: Loss, update: Update) -> bool:
    """Whether that network's step, with this loss and update, is there as one compiled call."""
    compiled = kernels("nnlab.core.plain_kernels")
    kinds = [type(layer) for layer in network.layers]
    return (
        compiled is not None
        and update.at_once
        and loss.kind in compiled.LOSSES
        and loss.class_weights is None
        and kinds == [Linear, *[ReLU, Linear] * (len(kinds) // 2)]
    )
