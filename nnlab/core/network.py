"""A network: layers in a row over one flat parameter vector.

`theta` and `grad` hold every parameter and every gradient; what layers call ``params["W"]`` and
``grads["W"]`` are views into them. The penalized parameters (weight matrices) come first, so that
a penalty, a checkpoint, a norm or an all-reduce is one array operation, whatever the layers.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from nnlab.core.activations import ReLU
from nnlab.core.layer import Array, Layer, Step
from nnlab.core.layers import LAYERS
from nnlab.core.linear import Linear
from nnlab.core.memory import zeros
from nnlab.randomness import generator

# Far beyond any perceptron; what a damaged or hostile file asks for has a limit.
MOST_LAYERS = 1_000

# Numbers behind the gradient; see `nnlab.training.exchange`.
TAIL = 4


class Network:
    """Layers in a row: ``scores = network.forward(x)``, ``network.backward(dscores)``.

    Args:
        layers: the layers, each as wide as the one before gives.
        seed: decides the first weights and every random number of a pass.
        dtype: float32, or float64 for checks.

    Attributes:
        theta: (P,) all parameters, the penalized ones first.
        grad: (P,) their gradients after `backward`.
        summed: (P + TAIL,) `grad` and, behind it, what data-parallel processes sum with it.
        penalized: how many of the P are penalized.
        running: (R,) what is tracked but not trained (batch normalization's statistics).

    Raises:
        ValueError: a layer does not fit the one before it.
    """

    def __init__(self, layers: Sequence[Layer], seed: int = 0, dtype: Any = np.float32) -> None:
        for before, layer in pairwise(layers):
            if before.outputs != layer.inputs:
                raise ValueError(
                    f"{layer.kind} takes {layer.inputs} inputs, {before.kind} gives "
                    f"{before.outputs}"
                )
        self.layers = list(layers)
        self.seed = seed
        self.dtype = np.dtype(dtype)
        self.inputs = layers[0].inputs
        self.outputs = layers[-1].outputs
        self._batch = 0
        self._lay_out_parameters()
        self._lay_out_running()
        self._decide_memory()
        self._plan_passes()
        self.initialize()

    @classmethod
    def from_spec(
        cls,
        spec: dict[str, Any],
        seed: int = 0,
        dtype: Any = np.float32,
        most: int | None = None,
    ) -> "Network":
        """Build the network that `spec` described, with fresh weights.

        Args:
            spec: as `spec` returned it.
            seed: as for the class.
            dtype: as for the class.
            most: refuse a network of more parameters, before any memory is taken for them.

        Raises:
            ValueError: an unknown layer or arguments that it does not take, or too many of them.
        """
        layers: list[Layer] = []
        width = int(spec["inputs"])
        if len(spec["layers"]) > MOST_LAYERS:
            raise ValueError(f"it has more than {MOST_LAYERS:,} layers")
        for entry in spec["layers"]:
            arguments = dict(entry)
            kind = arguments.pop("kind")
            if kind not in LAYERS:
                raise ValueError(f"unknown layer {kind!r}; known: {', '.join(LAYERS)}")
            try:
                layer = LAYERS[kind](width, **arguments)
            except TypeError as error:
                raise ValueError(f"layer {kind!r} does not take {arguments}") from error
            layers.append(layer)
            width = layer.outputs
        declared = [parameter for layer in layers for parameter in layer.parameters().values()]
        size = sum(prod(parameter.shape) for parameter in declared)
        if most is not None and size > most:
            raise ValueError(f"it has {size:,} parameters, of which {most:,} are stored")
        return cls(layers, seed, dtype)

    def spec(self) -> dict[str, Any]:
        """Return what `from_spec` builds this network from; plain JSON."""
        return {
            "inputs": self.inputs,
            "layers": [{"kind": layer.kind, **layer.spec()} for layer in self.layers],
        }

    def _lay_out_parameters(self) -> None:
        declared = [
            (index, name, parameter)
            for index, layer in enumerate(self.layers)
            for name, parameter in layer.parameters().items()
        ]
        # Stable: within each of the two parts the order is that of the layers.
        declared.sort(key=lambda entry: not entry[2].penalized)
        size = sum(int(np.prod(parameter.shape)) for _, _, parameter in declared)
        self.penalized = 0
        self._slices: dict[tuple[int, str], slice] = {}
        start = 0
        for index, name, parameter in declared:
            stop = start + int(np.prod(parameter.shape))
            self._slices[index, name] = self.layers[index].places[name] = slice(start, stop)
            if parameter.penalized:
                self.penalized = stop
            start = stop
        self.theta = zeros(size, self.dtype)
        self.lie_in(self.theta, zeros(size + TAIL, self.dtype))

    def lie_in(self, theta: Array, summed: Array) -> None:
        """Put the parameters, as they are, and room for their gradients into other memory.

        Args:
            theta: (P,) where the parameters shall lie.
            summed: (P + TAIL,) where the gradients shall.
        """
        theta[...] = self.theta
        self.theta, self.summed, self.grad = theta, summed, summed[: theta.size]
        for (index, name), where in self._slices.items():
            layer = self.layers[index]
            shape = layer.parameters()[name].shape
            layer.params[name] = self.theta[where].reshape(shape)
            layer.grads[name] = self.grad[where].reshape(shape)

    def _lay_out_running(self) -> None:
        declared = [
            (layer, name, value)
            for layer in self.layers
            for name, value in layer.running_statistics().items()
        ]
        parts = [value for _, _, value in declared]
        self.running = np.concatenate(parts or [np.empty(0)]).astype(self.dtype)
        start = 0
        for layer, name, value in declared:
            layer.buffers[name] = self.running[start : start + value.size]
            start += value.size

    def _decide_memory(self) -> None:
        for index, layer in enumerate(self.layers):
            before = self.layers[index - 1] if index else None
            # Nobody may write over the caller's images, or over an output that is still needed.
            layer.in_place = bool(
                before is not None and layer.works_in_place and not before.needs_output
            )
            # The images do not learn: nothing before the first parameters needs a gradient.
            layer.input_gradient = any(self.layers[i].parameters() for i in range(index))

    def _plan_passes(self) -> None:
        """List what the passes call; a linear layer does the work of the ReLUs beside it as well.

        They work on its numbers while these are in the cache.
        """
        first = next((i for i, layer in enumerate(self.layers) if layer.parameters()), 0)
        self._forwards: list[Callable[[Array, bool], Array]] = []
        self._backwards: list[Callable[[Array], Array]] = []
        self._descents: list[Callable[[Array, Step], Array]] = []
        for index, layer in enumerate(self.layers):
            before, after = (
                self.layers[i] if 0 <= i < len(self.layers) else None
                for i in (index - 1, index + 1)
            )
            if isinstance(layer, Linear) and isinstance(after, ReLU):
                self._forwards.append(partial(layer.forward, relu=after))
            elif not (isinstance(layer, ReLU) and isinstance(before, Linear)):
                self._forwards.append(layer.forward)
            if index < first:
                continue
            if isinstance(layer, Linear) and isinstance(before, ReLU) and index > first:
                self._backwards.append(partial(layer.backward, relu=before))
                self._descents.append(partial(layer.descend, relu=before))
            elif not (isinstance(layer, ReLU) and isinstance(after, Linear)):
                self._backwards.append(layer.backward)
                self._descents.append(layer.descend)
        self._backwards.reverse()
        self._descents.reverse()

    def initialize(self) -> None:
        """Draw the first weights: a function of the seed, layer by layer."""
        for index, layer in enumerate(self.layers):
            rng = generator(self.seed, "weights", index)
            for name, parameter in layer.parameters().items():
                layer.params[name][...] = parameter.initialize(rng)

    def reserve(self, batch: int) -> None:
        """Make the work arrays for up to `batch` images, unless they are there already."""
        if batch > self._batch:
            for layer in self.layers:
                layer.allocate(batch, self.dtype)
            self._batch = batch

    def begin_step(self, epoch: int, step: int, *stream: int) -> None:
        """Fix the random numbers of the passes to come by where they stand in training.

        Every pass until the next call draws the same numbers: a dropout mask can be made again,
        and a numerical gradient sees one function.

        Args:
            epoch: counted from 0.
            step: in the epoch.
            stream: what else distinguishes the images of the passes to come.
        """
        for index, layer in enumerate(self.layers):
            if layer.is_random:
                layer.rng = _Draws(self.seed, index, epoch, step, *stream)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the scores (N, C) of x (N, D).

        Args:
            x: images as the network expects them (standardized), of the network's dtype.
            training: whether dropout drops and batch normalization uses the batch.

        Returns:
            A work array: valid until the next pass.
        """
        self.reserve(len(x))
        for forward in self._forwards:
            x = forward(x, training)
        return x

    def backward(self, dscores: Array) -> Array:
        """Fill `grad` with the gradient of the loss whose gradient by the scores is `dscores`.

        Args:
            dscores: (N, C), as the loss gave it for the last forward pass; overwritten.

        Returns:
            `grad`.
        """
        for backward in self._backwards:
            dscores = backward(dscores)
        return self.grad

    def descend(self, dscores: Array, step: Step) -> None:
        """As `backward`, but every layer's parameters change as soon as their gradient is there.

        Args:
            dscores: as for `backward`.
            step: what a step does with them. `grad` is not filled.
        """
        for descend in self._descents:
            dscores = descend(dscores, step)

    def named_parameters(self, vector: Array | None = None) -> Iterator[tuple[str, Array]]:
        """Yield ``<index>_<layer>/<name>`` and the parameter as a view, in layer order.

        Args:
            vector: (P,) a vector laid out like `theta` (a gradient, an optimizer's state) to
                take the views from instead of `theta`.
        """
        vector = self.theta if vector is None else vector
        for index, layer in enumerate(self.layers):
            for name, parameter in layer.parameters().items():
                view = vector[self._slices[index, name]].reshape(parameter.shape)
                yield f"{index}_{layer.kind}/{name}", view

    def named_running(self, vector: Array | None = None) -> Iterator[tuple[str, Array]]:
        """Yield ``<index>_<layer>/running_<name>`` and the tracked statistic as a view."""
        vector = self.running if vector is None else vector
        start = 0
        for index, layer in enumerate(self.layers):
            for name, value in layer.running_statistics().items():
                yield f"{index}_{layer.kind}/running_{name}", vector[start : start + value.size]
                start += value.size

    def weight_matrices(self) -> list[Array]:
        """Return the penalized parameters as views, in layer order."""
        return [
            layer.params[name]
            for layer in self.layers
            for name, parameter in layer.parameters().items()
            if parameter.penalized
        ]


class _Draws:
    """Gives one layer the same fresh generator at every call within a step."""

    def __init__(self, seed: int, *key: int) -> None:
        self.key = key
        self.seed = seed

    def __call__(self) -> np.random.Generator:
        return generator(self.seed, "dropout", *self.key)
