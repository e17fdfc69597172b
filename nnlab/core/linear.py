"""The linear layer: scores = x W + b."""

from typing import Any

import numpy as np

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

    def forward(self, x: Array, training: bool) -> Array:  # noqa: ARG002
        """Return x W + b."""
        self._x, out = x, self._out[: len(x)]
        weights, bias = self.params["W"], self.params["b"]
        workers = current()
        if workers.can_multiply(x, out):
            workers.products.forward(*workers.how(out), x, weights, bias, out)
        else:
            np.matmul(x, weights, out=out)
            out += bias
        return out

    def backward(self, dout: Array) -> Array:
        """Write dW and db, return dx (or dout itself where dx is not wanted)."""
        self._weight_gradient(dout)
        return self._input_gradient(dout)

    def descend(self, dout: Array, step: Step) -> Array:
        """As `backward`; where that is compiled, the gradient is used up block by block."""
        dx = self._input_gradient(dout)  # by the weights as they were
        if not step.take_linear(self._x, dout, self.places["W"], self.places["b"]):
            self._weight_gradient(dout)
            self._take_all(step)
        return dx

    def _input_gradient(self, dout: Array) -> Array:
        """Return dx, or dout itself where dx is not wanted."""
        if self._dx is None:
            return dout
        workers, weights, dx = current(), self.params["W"], self._dx[: len(dout)]
        if workers.can_multiply(dout, dx):
            workers.products.input_gradient(*workers.how(dout), dout, weights, dx)
            return dx
        return np.matmul(dout, weights.T, out=dx)

    def _weight_gradient(self, dout: Array) -> None:
        workers, x = current(), self._x
        if workers.can_multiply(x, dout):
            workers.products.weight_gradient(
                *workers.how(dout), x, dout, self.grads["W"], self.grads["b"]
            )
        else:
            np.matmul(x.T, dout, out=self.grads["W"])
            np.add.reduce(dout, axis=0, out=self.grads["b"])
