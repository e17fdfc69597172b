"""Activations: one function of one number, applied to every unit.

Each is one class with its formula and derivative and one entry in `ACTIVATIONS`. Where the
derivative can be written with the output y alone (ReLU, ELU, sigmoid, tanh), the output takes
the input's place in memory. Maxout (Goodfellow et al. 2013) is not among them: it is a function of
several numbers, which changes the width of what follows.
"""

from typing import Any, ClassVar

import numpy as np

from nnlab.core.layer import Array, Layer
from nnlab.core.workers import current


class Activation(Layer):
    """Base of the activations: work arrays and the two passes around `apply` and `derive`.

    Attributes:
        default_initializer: how the weights before this activation are drawn unless told.
        kinks: the inputs at which the derivative jumps; a numerical gradient is wrong there.
        steepest: the largest derivative.
    """

    default_initializer: ClassVar[str] = "xavier_normal"
    kinks: ClassVar[tuple[float, ...]] = ()
    steepest: ClassVar[float] = 1.0

    def allocate(self, batch: int, dtype: np.dtype[Any]) -> None:
        """The output, unless it replaces the input, and one work array of the same shape."""
        shape = (batch, self.inputs)
        self._own = None if self.in_place else np.empty(shape, dtype)
        self._work = np.empty(shape, dtype)

    def forward(self, x: Array, training: bool) -> Array:  # noqa: ARG002
        """Return f(x)."""
        out = x if self._own is None else self._own[: len(x)]
        self._x = x
        self._y = out
        self.apply(x, out, self._work[: len(x)])
        return out

    def backward(self, dout: Array) -> Array:
        """Return dout times f'(x), in dout's place."""
        work = self._work[: len(dout)]
        self.derive(self._x, self._y, work)
        return np.multiply(dout, work, out=dout)

    def slopes(self, rows: int) -> Array:
        """Return f'(x), (rows, units), of the last backward pass; valid until the next pass."""
        return self._work[:rows]

    def apply(self, x: Array, out: Array, work: Array) -> None:
        """Write f(x) to `out`, which may be x itself; `work` is free."""
        raise NotImplementedError

    def derive(self, x: Array, y: Array, slope: Array) -> None:
        """Write f'(x) to `slope`; x holds y where the activation works in place."""
        raise NotImplementedError


class ReLU(Activation):
    """``f(x) = max(0, x)``; the slope at 0 is taken as 0 (Nair and Hinton 2010)."""

    kind = "relu"
    works_in_place = True
    needs_output = True
    default_initializer = "he_normal"
    kinks = (0.0,)

    def backward(self, dout: Array) -> Array:
        """Return dout where the output is positive, else 0."""
        workers = current()
        if workers.kernels is None or not dout.flags.c_contiguous:
            return super().backward(dout)
        output = self._y.reshape(-1)
        workers.kernels.relu_backward(workers.team, workers.threads, output, dout.reshape(-1))
        return dout

    def note(self, output: Array) -> None:
        """Take note of a forward pass that the layer before this one has done in place."""
        self._x = self._y = output

    def slopes(self, rows: int) -> Array:
        """Return 1 where the last output is positive, else 0; the compiled loop keeps neither."""
        slopes = self._work[:rows]
        self.derive(self._x[:rows], self._y[:rows], slopes)
        return slopes

    def apply(self, x: Array, out: Array, work: Array) -> None:  # noqa: ARG002
        """max(0, x)."""
        workers = current()
        if workers.kernels is None or not x.flags.c_contiguous:
            np.maximum(x, 0, out=out)
        else:
            workers.kernels.relu(workers.team, workers.threads, x.reshape(-1), out.reshape(-1))

    def derive(self, x: Array, y: Array, slope: Array) -> None:  # noqa: ARG002
        """1 where the output is positive, else 0."""
        np.greater(y, 0, out=slope, casting="unsafe")


class LeakyReLU(Activation):
    """``f(x) = x`` for x > 0, else ``0.01 x`` (Maas et al. 2013); PyTorch's default slope."""

    kind = "leaky_relu"
    works_in_place = True
    needs_output = True
    default_initializer = "he_normal"
    kinks = (0.0,)
    leak: ClassVar[float] = 0.01

    def apply(self, x: Array, out: Array, work: Array) -> None:
        """max(x, leak x)."""
        np.multiply(x, self.leak, out=work)
        np.maximum(x, work, out=out)

    def derive(self, x: Array, y: Array, slope: Array) -> None:  # noqa: ARG002
        """1 where the output is positive, else the leak."""
        np.greater(y, 0, out=slope, casting="unsafe")
        slope *= 1.0 - self.leak
        slope += self.leak


class ELU(Activation):
    """``f(x) = x`` for x > 0, else ``exp(x) - 1`` (Clevert et al. 2016, alpha 1)."""

    kind = "elu"
    works_in_place = True
    needs_output = True
    default_initializer = "he_normal"

    def apply(self, x: Array, out: Array, work: Array) -> None:
        """max(x, 0) + expm1(min(x, 0)): one of the two terms is always zero."""
        np.minimum(x, 0, out=work)
        np.expm1(work, out=work)
        np.maximum(x, 0, out=out)
        out += work

    def derive(self, x: Array, y: Array, slope: Array) -> None:  # noqa: ARG002
        """1 where the output is positive, else y + 1."""
        np.minimum(y, 0, out=slope)
        slope += 1


class GELU(Activation):
    """``f(x) = x Phi(x)`` with the tanh form of Phi (Hendrycks and Gimpel 2016).

    ``Phi(x) = (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2``: PyTorch's ``approximate="tanh"``,
    at most 5e-4 away from the form with erf, which NumPy does not have.
    """

    kind = "gelu"
    default_initializer = "he_normal"
    scale: ClassVar[float] = float(np.sqrt(2.0 / np.pi))
    cubic: ClassVar[float] = 0.044715
    steepest = 1.129

    def allocate(self, batch: int, dtype: np.dtype[Any]) -> None:
        """Besides the base's arrays, one that keeps tanh for the derivative."""
        super().allocate(batch, dtype)
        self._tanh = np.empty((batch, self.inputs), dtype)

    def apply(self, x: Array, out: Array, work: Array) -> None:
        """X (1 + tanh(...)) / 2."""
        tanh = self._tanh[: len(x)]
        np.multiply(x, x, out=work)
        work *= self.cubic
        work += 1
        work *= x
        work *= self.scale
        np.tanh(work, out=tanh)
        np.add(tanh, 1, out=work)
        work *= 0.5
        np.multiply(x, work, out=out)

    def derive(self, x: Array, y: Array, slope: Array) -> None:  # noqa: ARG002
        """(1 + t) / 2 + x (1 - t^2) / 2 * sqrt(2 / pi) (1 + 3 * 0.044715 x^2)."""
        tanh = self._tanh[: len(x)]
        np.multiply(x, x, out=slope)
        slope *= 3 * self.cubic
        slope += 1
        slope *= self.scale
        slope *= x
        # (1 - t^2) (...) + (1 + t) = (1 + t) ((1 - t) (...) + 1)
        tanh *= -1
        tanh += 1
        slope *= tanh
        slope += 1
        tanh -= 2
        slope *= tanh
        slope *= -0.5


class Sigmoid(Activation):
    """``f(x) = 1 / (1 + exp(-x))``, computed as ``(1 + tanh(x / 2)) / 2``: it cannot overflow."""

    kind = "sigmoid"
    works_in_place = True
    needs_output = True
    steepest = 0.25

    def apply(self, x: Array, out: Array, work: Array) -> None:
        """(1 + tanh(x / 2)) / 2."""
        np.multiply(x, 0.5, out=work)
        np.tanh(work, out=out)
        out += 1
        out *= 0.5

    def derive(self, x: Array, y: Array, slope: Array) -> None:  # noqa: ARG002
        """Y (1 - y), at most 1/4: what makes the gradient vanish layer by layer."""
        np.subtract(1, y, out=slope)
        slope *= y


class Tanh(Activation):
    """``f(x) = tanh(x)``."""

    kind = "tanh"
    works_in_place = True
    needs_output = True

    def apply(self, x: Array, out: Array, work: Array) -> None:  # noqa: ARG002
        """tanh(x)."""
        np.tanh(x, out=out)

    def derive(self, x: Array, y: Array, slope: Array) -> None:  # noqa: ARG002
        """1 - y^2."""
        np.multiply(y, y, out=slope)
        np.subtract(1, slope, out=slope)


# One entry an activation; the layer table, the command line and the gradient checks read it.
ACTIVATIONS: dict[str, type[Activation]] = {
    cls.kind: cls for cls in (ReLU, LeakyReLU, ELU, GELU, Sigmoid, Tanh)
}
