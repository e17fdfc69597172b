"""One step: everything that happens to a network's parameters after a backward pass.

The vectors are worked through in stretches that stay in the processor's cache, and everything that
a step does with a number happens while its stretch is there: penalty, decay, rule, average.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nnlab.core.layer import Array
from nnlab.core.network import Network
from nnlab.core.optimizers import Optimizer
from nnlab.core.penalties import Penalty, limit_norms
from nnlab.core.workers import current
from nnlab.jit import kernels

# Four or five float32 vectors of this length lie in the second-level cache together.
STRETCH = 32768


@dataclass
class Update:
    """What a step does with the gradient.

    Args:
        network: whose theta and grad are worked on.
        optimizer: the rule; its state is allocated here.
        penalty: added to the gradient of the penalized weights.
        weight_decay: decoupled, on the penalized weights.
        clip: scale the gradient (penalty included) back to this norm where it is longer.
        max_norm: bound on the norm of the weights into each unit.
        averaging: factor of the exponential moving average of theta, 0 for none. Early on
            ``(1 + t) / (10 + t)`` is used where it is smaller, so that the average does not
            remember the first values. Running statistics (batch normalization) are not averaged.
    """

    network: Network
    optimizer: Optimizer
    penalty: Penalty = field(default_factory=Penalty)
    weight_decay: float = 0.0
    clip: float | None = None
    max_norm: float | None = None
    averaging: float = 0.0

    def __post_init__(self) -> None:
        theta = self.network.theta
        self.optimizer.allocate(theta)
        self.average = theta.copy() if self.averaging else None
        self._work = np.empty(min(STRETCH, len(theta)), theta.dtype)
        rule, found = self.optimizer.rule, kernels("nnlab.core.update_kernels")
        self._kernels: Any = found if found and rule in found.RULES else None
        self._rule = found.RULES.index(rule) if found and rule in found.RULES else 0

    def apply(self, learning_rate: float) -> float:
        """Take one step.

        Args:
            learning_rate: of this step.

        Returns:
            The norm of the gradient, penalty included, before clipping. It is not finite where
            the gradient is not, and then theta is spoilt: check it at every step.
        """
        optimizer, dtype = self.optimizer, self.network.dtype
        optimizer.steps += 1
        numbers = np.array(optimizer.numbers(learning_rate), dtype)
        shrink = dtype.type(1.0 - learning_rate * self.weight_decay)
        share = 0.0
        if self.average is not None:
            share = 1 - min(self.averaging, (1 + optimizer.steps) / (10 + optimizer.steps))
        # The average is one of weights within the bound, so it comes after it.
        early_share = dtype.type(0 if self.max_norm else share)
        take = self._take_numpy if self._kernels is None else self._take_compiled
        norm = take(numbers, shrink, early_share)
        if self.max_norm is not None:
            for weights in self.network.weight_matrices():
                limit_norms(weights, self.max_norm)
            for where, _ in self._stretches():
                self._approach(where, dtype.type(share))
        return norm

    def _clipping(self, norm: float) -> Any:
        assert self.clip is not None
        return self.network.dtype.type(min(1.0, self.clip / norm) if norm > 0 else 1.0)

    def _take_compiled(self, numbers: Array, shrink: Any, share: Any) -> float:
        network, workers = self.network, current()
        theta, grad, number = network.theta, network.grad, network.dtype.type
        l2, l1 = number(self.penalty.l2), number(self.penalty.l1)
        average = theta if self.average is None else self.average
        squares = np.empty(workers.threads)
        scale, norm = number(1), None
        if self.clip is not None:
            # The whole norm has to be known before the first number changes.
            norm = self._kernels.measure(
                workers.team, theta, grad, network.penalized, l2, l1, squares
            )
            scale = self._clipping(norm)
            l2 = l1 = number(0)
        found = self._kernels.update(
            workers.team, self._rule, theta, grad, self.optimizer.block, numbers,
            network.penalized, l2, l1, shrink, scale, average, share, squares,
        )  # fmt: skip
        return float(found if norm is None else norm)

    def _take_numpy(self, numbers: Array, shrink: Any, share: Any) -> float:
        network, scale = self.network, self.network.dtype.type(1)
        norm = None
        if self.clip is not None:
            norm = float(np.sqrt(sum(self._penalize(*entry) for entry in self._stretches())))
            scale = self._clipping(norm)
        squared_norm = 0.0
        for where, penalized in self._stretches():
            theta, grad = network.theta[where], network.grad[where]
            if norm is None:
                squared_norm += self._penalize(where, penalized)
            if scale != 1:
                grad *= scale
            if penalized and shrink != 1:
                theta *= shrink
            state = [vector[where] for vector in self.optimizer.block]
            self.optimizer.update(theta, grad, self._work[: len(theta)], state, numbers)
            self._approach(where, share)
        return float(np.sqrt(squared_norm)) if norm is None else norm

    def _stretches(self) -> Iterator[tuple[slice, bool]]:
        # Cut where the penalized weights end, so that each is penalized whole or not at all.
        end, size = self.network.penalized, self.network.theta.size
        for start, stop, penalized in ((0, end, True), (end, size, False)):
            for begin in range(start, stop, STRETCH):
                yield slice(begin, min(begin + STRETCH, stop)), penalized

    def _penalize(self, where: slice, penalized: bool) -> float:
        """Add the penalty to a stretch of the gradient; return its squared norm."""
        grad = self.network.grad[where]
        if penalized and self.penalty:
            work = self._work[: len(grad)]
            self.penalty.add_gradient(self.network.theta[where], grad, work)
        return float(np.dot(grad, grad))

    def _approach(self, where: slice, share: Any) -> None:
        if self.average is not None and share:
            average, theta = self.average[where], self.network.theta[where]
            work = np.subtract(theta, average, out=self._work[: len(theta)])
            work *= share
            average += work
