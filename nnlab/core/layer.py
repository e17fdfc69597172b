"""What every layer is: shapes, parameters, a forward and a backward pass.

    x (N, inputs) -> layer.forward -> (N, outputs)
    dx (N, inputs) <- layer.backward <- dout (N, outputs)

Two rules keep a training step free of allocations, and both are tested:

- Nobody but the network rebinds a view. Parameters and gradients are views into its flat vectors;
  they are written with ``[...] =`` or ``out=``.
- Every `backward` writes each of its gradients exactly once, so there is no zeroing step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Parameter:
    """One array that training changes.

    Attributes:
        shape: its shape.
        initialize: draws its first values from a generator, as float64.
        penalized: whether L1, L2 and weight decay apply: true for weight matrices, false for
            biases and for the gains of normalizations.
    """

    shape: tuple[int, ...]
    initialize: Callable[[np.random.Generator], Array]
    penalized: bool = False


class Layer:
    """Base of the layers.

    A subclass names its parameters in `parameters`, draws its work arrays in `allocate` and
    computes in `forward` and `backward`. `self.params[name]` and `self.grads[name]` are views
    that the network binds before the first pass.

    Attributes:
        kind: the name of the layer in a model's spec.
        works_in_place: `forward` can write its result over its input.
        needs_output: `backward` reads what `forward` returned, so the next layer must not
            write over it.
        is_random: `forward` draws random numbers while training.
        places: where its parameters lie in the network's theta, by name.
    """

    kind: ClassVar[str]
    works_in_place: ClassVar[bool] = False
    needs_output: ClassVar[bool] = False
    is_random: ClassVar[bool] = False

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.outputs = inputs
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.places: dict[str, slice] = {}
        self.buffers: dict[str, Array] = {}
        self.input_gradient = True
        self.in_place = False
        self.rng: Callable[[], np.random.Generator] = _no_generator

    def parameters(self) -> dict[str, Parameter]:
        """Return the parameters by name; none unless the layer says so."""
        return {}

    def running_statistics(self) -> dict[str, Array]:
        """Return the initial values, each (outputs,), of what is tracked but not trained."""
        return {}

    def spec(self) -> dict[str, Any]:
        """Return the arguments, besides `inputs`, that build this layer again."""
        return {}

    def allocate(self, batch: int, dtype: np.dtype[Any]) -> None:
        """Make the work arrays for up to `batch` rows."""

    def forward(self, x: Array, training: bool) -> Array:
        """Return the layer's output (N, outputs) for x (N, inputs).

        The result is a work array: it stays valid until the next forward pass.
        """
        raise NotImplementedError

    def backward(self, dout: Array) -> Array:
        """Write the parameters' gradients and return the input's, (N, inputs).

        Args:
            dout: (N, outputs) the loss's gradient by the output of the last forward pass. It may
                be overwritten.
        """
        raise NotImplementedError

    def descend(self, dout: Array, step: "Step") -> Array:
        """As `backward`, but the parameters change at once; their gradients may be left out.

        Args:
            dout: as for `backward`.
            step: what a step does with them.
        """
        dx = self.backward(dout)
        self._take_all(step)
        return dx

    def _take_all(self, step: "Step") -> None:
        for where in self.places.values():
            step.take(where)


class Step(Protocol):
    """What becomes of parameters in a step of training (`nnlab.core.update`)."""

    def take(self, where: slice) -> None:
        """Take it with a stretch of the network's theta and its gradient."""

    def take_linear(self, x: Array, dout: Array, weights: slice, bias: slice) -> bool:
        """Take it with a linear layer, whose gradient is computed on the way.

        Args:
            x: (N, inputs) what the layer was given.
            dout: (N, outputs) the gradient by what it returned.
            weights: where its W lies.
            bias: where its b lies.

        Returns:
            Whether that was done; where it cannot be, nothing has happened.
        """


def _no_generator() -> np.random.Generator:
    raise RuntimeError("the layer draws random numbers, but the network has not begun a step")
