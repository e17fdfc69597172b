"""Batch and layer normalization."""

from typing import Any, ClassVar, Protocol

import numpy as np

from nnlab.core.layer import Array, Layer, Parameter


class Joint(Protocol):
    """A batch that several processes hold parts of.

    Attributes:
        rows: of the whole batch.
    """

    rows: int

    def average(self, mean: Array) -> None:
        """Turn a mean over this process's rows into that over all rows, in place."""


class Normalization(Layer):
    """Base: ``y = gain * (x - mean) / sqrt(variance + epsilon) + bias``.

    The two kinds differ in what they average over. The variance divides by the count (not count
    minus one), as both papers and PyTorch have it. With xhat the normalized input and g = gain *
    dout, both have ``dx = (g - mean(g) - xhat * mean(g * xhat)) / sqrt(variance + epsilon)``,
    the means taken over the same axis. Gain and bias are not penalized.
    """

    axis: ClassVar[int]
    epsilon: ClassVar[float] = 1e-5

    def parameters(self) -> dict[str, Parameter]:
        """The gain, which begins at 1, and the bias, at 0; both (inputs,)."""
        return {
            "gain": Parameter((self.inputs,), lambda _: np.ones(self.inputs)),
            "bias": Parameter((self.inputs,), lambda _: np.zeros(self.inputs)),
        }

    def allocate(self, batch: int, dtype: np.dtype[Any]) -> None:
        """Output, normalized input and one work array, each (batch, inputs)."""
        self._out, self._xhat, self._work = (
            np.empty((batch, self.inputs), dtype) for _ in range(3)
        )
        width = self.inputs if self.axis == 0 else batch
        self._mean, self._variance, self._inverse_std = (np.empty(width, dtype) for _ in range(3))

    def _row(self, statistic: Array, rows: int) -> Array:
        # One statistic a column, or one a row: shaped to broadcast against (rows, inputs).
        return statistic[None, :] if self.axis == 0 else statistic[:rows, None]

    def _normalize(self, x: Array) -> Array:
        rows = len(x)
        mean, variance = self._row(self._mean, rows), self._row(self._variance, rows)
        xhat, work = self._xhat[:rows], self._work[:rows]
        self._average(x, mean)
        np.subtract(x, mean, out=xhat)
        np.multiply(xhat, xhat, out=work)
        self._average(work, variance)
        return self._scale(xhat, variance)

    def _average(self, values: Array, mean: Array) -> None:
        np.mean(values, axis=self.axis, keepdims=True, out=mean)

    def _scale(self, xhat: Array, variance: Array) -> Array:
        rows = len(xhat)
        inverse_std = self._row(self._inverse_std, rows)
        np.add(variance, self.epsilon, out=inverse_std)
        np.sqrt(inverse_std, out=inverse_std)
        np.divide(1, inverse_std, out=inverse_std)
        xhat *= inverse_std
        out = self._out[:rows]
        np.multiply(xhat, self.params["gain"], out=out)
        out += self.params["bias"]
        return out

    def backward(self, dout: Array) -> Array:
        """Write the gradients of gain and bias, return dx."""
        rows = len(dout)
        xhat, work = self._xhat[:rows], self._work[:rows]
        np.multiply(dout, xhat, out=work)
        np.add.reduce(work, axis=0, out=self.grads["gain"])
        np.add.reduce(dout, axis=0, out=self.grads["bias"])
        dout *= self.params["gain"]
        np.multiply(dout, xhat, out=work)
        # The forward pass's statistics have been used; their arrays hold the two means now.
        mean = self._row(self._mean, rows)
        projection = self._row(self._variance, rows)
        self._average(dout, mean)
        self._average(work, projection)
        np.multiply(xhat, projection, out=work)
        dout -= mean
        dout -= work
        dout *= self._row(self._inverse_std, rows)
        return dout


class BatchNorm(Normalization):
    """Normalize each unit over the batch (Ioffe and Szegedy 2015, arXiv:1502.03167).

    While training, the batch's own mean and variance are used and tracked:
    ``running = 0.9 * running + 0.1 * batch``, the variance tracked with the factor N / (N - 1) as
    in PyTorch (momentum 0.1). Afterwards the running values are used, so that an image's scores
    do not depend on its neighbours in the batch. A batch of one has no variance: it is normalized
    with the running values and leaves them alone, and its statistics count as constants in the
    backward pass.

    Attributes:
        joint: the whole batch, of which this process has only a part; None where it has all.
    """

    kind = "batch_norm"
    axis = 0
    joint: Joint | None = None
    momentum: ClassVar[float] = 0.1

    def running_statistics(self) -> dict[str, Array]:
        """Mean 0 and variance 1."""
        return {"mean": np.zeros(self.inputs), "variance": np.ones(self.inputs)}

    def forward(self, x: Array, training: bool) -> Array:
        """Normalize with the batch's statistics while training, else with the running ones."""
        rows = len(x) if self.joint is None else self.joint.rows
        self._batch_statistics = training and rows > 1
        running = self.buffers
        if not self._batch_statistics:
            xhat = self._xhat[: len(x)]
            np.subtract(x, running["mean"], out=xhat)
            return self._scale(xhat, running["variance"][None, :])
        out = self._normalize(x)
        running["mean"] *= 1 - self.momentum
        running["mean"] += self.momentum * self._mean
        running["variance"] *= 1 - self.momentum
        running["variance"] += (self.momentum * rows / (rows - 1)) * self._variance
        return out

    def _average(self, values: Array, mean: Array) -> None:
        super()._average(values, mean)
        if self.joint is not None:
            self.joint.average(mean)

    def backward(self, dout: Array) -> Array:
        """Write the gradients of gain and bias, return dx."""
        if self._batch_statistics:
            return super().backward(dout)
        rows = len(dout)
        work = self._work[:rows]
        np.multiply(dout, self._xhat[:rows], out=work)
        np.add.reduce(work, axis=0, out=self.grads["gain"])
        np.add.reduce(dout, axis=0, out=self.grads["bias"])
        dout *= self.params["gain"]
        dout *= self._inverse_std[None, :]
        return dout


class LayerNorm(Normalization):
    """Normalize each image over its units (Ba et al. 2016, arXiv:1607.06450)."""

    kind = "layer_norm"
    axis = 1

    def forward(self, x: Array, training: bool) -> Array:  # noqa: ARG002
        """Normalize each row with its own mean and variance."""
        return self._normalize(x)
