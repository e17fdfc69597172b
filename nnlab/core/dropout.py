"""Inverted dropout."""

from typing import Any

import numpy as np

from nnlab.core.layer import Array, Layer


class Dropout(Layer):
    """Switch each unit off with probability `rate` while training (Srivastava et al. 2014).

    What stays on is scaled by 1 / (1 - rate), so that the expected output is the input and
    nothing has to change at test time ("inverted" dropout, CS231n). The mask is a function of
    (seed, layer, epoch, step).
    """

    kind = "dropout"
    works_in_place = True
    is_random = True

    def __init__(self, inputs: int, rate: float = 0.5) -> None:
        super().__init__(inputs)
        if not 0 <= rate < 1:
            raise ValueError(f"a dropout rate lies in [0, 1), not {rate}")
        self.rate = rate
        self._drops = False

    def spec(self) -> dict[str, Any]:
        """The rate."""
        return {"rate": self.rate}

    def allocate(self, batch: int, dtype: np.dtype[Any]) -> None:
        """The mask, already scaled, and the numbers it is drawn from."""
        self._draws = np.empty(batch * self.inputs, np.float32)
        self._kept = np.empty((batch, self.inputs), bool)
        self._mask = np.empty((batch, self.inputs), dtype)
        self._out = None if self.in_place else np.empty((batch, self.inputs), dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """Return x times the mask while training, x itself otherwise."""
        self._drops = training
        if not training:
            return x
        rows = len(x)
        kept, mask = self.draw(rows), self._mask[:rows]
        np.multiply(kept, x.dtype.type(1.0 / (1.0 - self.rate)), out=mask)
        return np.multiply(x, mask, out=x if self._out is None else self._out[:rows])

    def draw(self, rows: int) -> Array:
        """Draw the mask of the step that the network has begun.

        Returns:
            (rows, inputs) bool, true for what stays on; a work array.
        """
        kept = self._kept[:rows]
        draws = self._draws[: kept.size]
        self.rng().random(out=draws, dtype=np.float32)
        return np.greater_equal(draws.reshape(kept.shape), self.rate, out=kept)

    def backward(self, dout: Array) -> Array:
        """Return dout times the mask, or dout itself after a pass that dropped nothing."""
        if not self._drops:
            return dout
        return np.multiply(dout, self._mask[: len(dout)], out=dout)
