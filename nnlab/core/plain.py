"""Plain networks, linear layers with ReLUs between them: steps and scores in one compiled call.

A softmax or hinge classifier and an MLP without further layers are plain. All others, and whatever
wants to look at the passes of a step, go from layer to layer (`nnlab.core.network`).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nnlab.core.activations import ReLU
from nnlab.core.layer import Array
from nnlab.core.linear import Linear
from nnlab.core.losses import Loss
from nnlab.core.network import Network
from nnlab.core.update import Update
from nnlab.core.workers import current
from nnlab.jit import kernels

# How many weights of a first layer lie in the second-level cache.
LITTLE = 1 << 17
# Images that are scored together, per thread: behind such a layer few, to lie in that cache with
# it; else enough of them to make reading the weights worth while.
FEW_IMAGES, MANY_IMAGES = 64, 256


@dataclass(frozen=True)
class Gathered:
    """Images that steps gather and standardize, each when its turn comes.

    Attributes:
        pixels: (M, D) uint8.
        places: (S N,) of the images among them; (0,) where `x` holds those of the only step.
        scale, shift: (D,) of the standardization ``pixels * scale + shift``.
        x: (N, D) for the images of a step.
    """

    pixels: Array
    places: Array
    scale: Array
    shift: Array
    x: Array

    @classmethod
    def already(cls, x: Array) -> "Gathered":
        """The images (N, D) of one step, standardized."""
        nothing = np.empty(0, x.dtype)
        return cls(np.empty((0, 0), np.uint8), np.empty(0, np.int64), nothing, nothing, x)


class PlainNetwork:
    """The plain network of an update, with work arrays of its own.

    Args:
        update: what a step does with the gradient; `is_plain` holds for its network.
        loss: the data loss.
        batch: rows of a step at most.
    """

    def __init__(self, update: Update, loss: Loss, batch: int) -> None:
        network = update.network
        compiled = kernels("nnlab.core.plain_kernels")
        assert compiled is not None
        *layers, outputs = _layout(network, batch)
        self._update = update
        self._batch, self._layers = batch, list(pairwise(layers[0].tolist()))
        self._layout = (
            *layers,
            outputs,
            np.empty_like(outputs),
            compiled.LOSSES.index(loss.kind),
            np.array(loss.numbers(network.outputs), network.dtype),
        )
        self._losses = np.empty(batch, network.dtype)

    @property
    def is_ready(self) -> bool:
        """Whether the calling thread is at work with compiled products."""
        return current().plain is not None

    def steps(
        self, images: Gathered, labels: Array, learning_rates: list[float]
    ) -> list[tuple[float, int, float]]:
        """Take one step or several, of as many images each, where `is_ready`.

        Args:
            images: of all of them.
            labels: (S N,) their classes.
            learning_rates: (S) one a step.

        Returns:
            For each step the mean loss, how many images were classified right, and the norm of the
            gradient with its penalty, as `Loss` and `Update.descend` do. The last one may have
            found something that is not finite; those behind it were not taken then.
        """
        before = (
            images.pixels,
            images.places,
            images.scale,
            images.shift,
            images.x,
            labels,
            *self._layout,
            self._losses[: len(images.x)],
        )
        workers = current()
        room = workers.descent.room_to_descend(self._batch, self._layers, workers.threads)
        return self._update.descend_plain(before, room, learning_rates)


class PlainScores:
    """The scores of a plain network, for many images in one call; with work arrays of its own.

    Args:
        network: `has_plain_layers` holds for it.
        images: how many it will score at a time at most.

    It is used while the calling thread is at work with compiled products.
    """

    def __init__(self, network: Network, images: int) -> None:
        self._network, self._images = network, images
        self._make_room(current().threads)

    def _make_room(self, parts: int) -> None:
        network, first = self._network, self._network.layers[0].places["W"]
        together = FEW_IMAGES if first.stop - first.start <= LITTLE else MANY_IMAGES
        rows = max(1, min(-(-self._images // parts), together))
        self._x = np.empty((parts, rows, network.inputs), network.dtype)
        *self._layout, outputs = _layout(network, parts * rows)
        self._outputs = outputs.reshape(parts, -1)

    def write(
        self, pixels: Array, places: Array, scale: Array, shift: Array, scores: Array
    ) -> None:
        """Write scores.

        Args:
            pixels: (M, D) uint8, contiguous.
            places: (N,) of the images among them.
            scale: (D,) the factors of their standardization.
            shift: (D,) what it adds.
            scores: (N, C).
        """
        workers, theta = current(), self._network.theta
        if len(self._x) != workers.threads:
            self._make_room(workers.threads)
        workers.plain.write_scores(
            *workers.how(theta), pixels, places, scale, shift, self._x, *self._layout,
            self._outputs, theta, scores,
        )  # fmt: skip


def has_plain_layers(network: Network) -> bool:
    """Whether that network is plain, and what computes it is there."""
    kinds = [type(layer) for layer in network.layers]
    return (
        kernels("nnlab.core.plain_kernels") is not None
        and kinds == [Linear, *[ReLU, Linear] * (len(kinds) // 2)]
    )  # fmt: skip


def is_plain(network: Network, loss: Loss, update: Update) -> bool:
    """Whether that network's step, with this loss and update, is there as one compiled call."""
    compiled = kernels("nnlab.core.plain_kernels")
    return (
        compiled is not None
        and update.at_once
        and loss.kind in compiled.LOSSES
        and loss.class_weights is None
        and has_plain_layers(network)
    )


def _layout(network: Network, rows: int) -> tuple[Array, Array, Array, Array]:
    """Return what compiled code wants of a network: widths, places of W and b, room for outputs."""
    layers = network.layers[::2]
    return (
        np.array([network.inputs, *(layer.outputs for layer in layers)]),
        np.array([layer.places["W"].start for layer in layers]),
        np.array([layer.places["b"].start for layer in layers]),
        np.empty(rows * sum(layer.outputs for layer in layers), network.dtype),
    )
