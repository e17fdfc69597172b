"""The linear layer: scores = x W + b."""

from typing import Any

import numpy as np

from nnlab.core.activations import ReLU
from nnlab.core.initializers import INITIALIZERS
from nnlab.core.layer import Array, Layer, Parameter, Step
from nnlab.core.workers import current


class Linear(Layer):
    """``y = x W + b`` with W (inputs, outputs) and b (outputs,).

    Backward, with dy the gradient by y: ``dW = x^T dy``, ``db = sum of dy over the rows``,
    ``dx = dy W^T``. dx is left out for the first layer of a network.
    """

    kind = "linear"

    def __init__(self, inputs: int, outputs: int, initializer: str = "he_normal") -> None:
        super().__init__(inputs)
        self.outputs = outputs
        self.initializer = initializer

    def parameters(self) -> dict[str, Parameter]:
        """W, penalized, and b, not."""
        draw = INITIALIZERS[self.initializer]
        return {
            "W": Parameter(
                (self.inputs, self.outputs),
                lambda rng: draw(rng, self.inputs, self.outputs),
                penalized=True,
            ),
            "b": Parameter((self.outputs,), lambda _: np.zeros(self.outputs)),
        }

    def spec(self) -> dict[str, Any]:
        """Width and initializer."""
        return {"outputs": self.outputs, "initializer": self.initializer}

    def allocate(self, batch: int, dtype: np.dtype[Any]) -> None:
        """One array for the output, one for the input's gradient if it is wanted."""
        self._out = np.empty((batch, self.outputs), dtype)
        self._dx = np.empty((batch, self.inputs), dtype) if self.input_gradient else None

    def forward(self, x: Array, training: bool, relu: ReLU | None = None) -> Array:
        """Return x W + b.

        Args:
            x: (N, inputs).
            training: makes no difference.
            relu: the layer behind this one, if its work is to be done as well.
        """
        self._x, out = x, self._out[: len(x)]
        weights, bias = self.params["W"], self.params["b"]
        workers = current()
        if not workers.can_multiply(x, out):
            np.matmul(x, weights, out=out)
            out += bias
            return out if relu is None else relu.forward(out, training)
        workers.products.forward(*workers.how(out), x, weights, bias, out, relu is not None)
        if relu is not None:
            relu.note(out)
        return out

    def backward(self, dout: Array, relu: ReLU | None = None) -> Array:
        """Write dW and db, return dx (or dout itself where dx is not wanted).

        Args:
            dout: (N, outputs).
            relu: the layer before this one, if its work is to be done as well.
        """
        self._weight_gradient(dout)
        return self._input_gradient(dout, relu)

    def descend(self, dout: Array, step: Step, relu: ReLU | None = None) -> Array:
        """As `backward`; where that is compiled, the gradient is used up block by block."""
        dx = self._input_gradient(dout, relu)  # by the weights as they were
        if not step.take_linear(self._x, dout, self.places["W"], self.places["b"]):
            self._weight_gradient(dout)
            self._take_all(step)
        return dx

    def _input_gradient(self, dout: Array, relu: ReLU | None) -> Array:
        if self._dx is None:
            return dout
        workers, x, weights, dx = current(), self._x, self.params["W"], self._dx[: len(dout)]
        if not workers.can_multiply(dout, dx):
            np.matmul(dout, weights.T, out=dx)
            return dx if relu is None else relu.backward(dx)
        workers.products.input_gradient(*workers.how(dout), dout, weights, dx, x, relu is not None)
        return dx

    def _weight_gradient(self, dout: Array) -> None:
        workers, x = current(), self._x
        if workers.can_multiply(x, dout):
            workers.products.weight_gradient(
                *workers.how(dout), x, dout, self.grads["W"], self.grads["b"]
            )
        else:
            np.matmul(x.T, dout, out=self.grads["W"])
            np.add.reduce(dout, axis=0, out=self.grads["b"])
