"""Penalties: what keeps weights small.

Penalized are the weight matrices alone. Biases, and the gains and biases of normalizations, only
shift and scale; penalizing them would say that a small mean score is better than a large one.

    L2       l2 / 2 * sum(W^2)      gradient l2 * W
    L1       l1 * sum(|W|)          gradient l1 * sign(W), 0 at 0

The half makes the gradient plain and agrees with PyTorch's `weight_decay` for SGD; scikit-learn
divides its alpha by the number of samples, Keras has no half, and CS231n dropped it in some years.

Max-norm (Srebro et al. 2004; Srivastava et al. 2014) is no term of the loss but a bound: after a
step, the weights into a unit are scaled back to norm `limit` where they exceed it. Decoupled
weight decay (Loshchilov and Hutter 2019) belongs to the optimizer and is no term of the loss.
"""

from dataclasses import dataclass

import numpy as np

from nnlab.core.layer import Array


@dataclass(frozen=True)
class Penalty:
    """The penalty of a model, as a function of its penalized weights.

    Attributes:
        l2: factor of ``sum(W^2) / 2``.
        l1: factor of ``sum(|W|)``.
    """

    l2: float = 0.0
    l1: float = 0.0

    def __bool__(self) -> bool:
        return self.l2 != 0 or self.l1 != 0

    def value(self, weights: Array) -> float:
        """Return the penalty of the penalized weights, of any shape."""
        total = 0.0
        if self.l2:
            flat = weights.reshape(-1)
            total += self.l2 / 2 * float(np.dot(flat, flat))
        if self.l1:
            total += self.l1 * float(np.add.reduce(np.abs(weights), axis=None, dtype=np.float64))
        return total

    def add_gradient(self, weights: Array, gradient: Array, work: Array) -> None:
        """Add the penalty's gradient to `gradient`.

        Args:
            weights: a stretch of the penalized weights.
            gradient: the same stretch of the gradient; changed.
            work: a free array of the same shape and type.
        """
        if self.l2:
            np.multiply(weights, weights.dtype.type(self.l2), out=work)
            gradient += work
        if self.l1:
            np.sign(weights, out=work)
            work *= weights.dtype.type(self.l1)
            gradient += work


def limit_norms(weights: Array, limit: float) -> None:
    """Scale the columns of W (fan_in, fan_out) back to norm `limit` where they are longer."""
    norms = np.sqrt(np.einsum("ij,ij->j", weights, weights))
    scale = np.minimum(1.0, limit / np.maximum(norms, np.finfo(norms.dtype).tiny))
    weights *= scale.astype(weights.dtype)
