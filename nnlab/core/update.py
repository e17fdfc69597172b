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
from nnlab.core.workers import Workers, current
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
        numbers, shrink, share = self._typed(*self._begin(learning_rate))
        # The average is one of weights within the bound, so it comes after it.
        early_share = self.network.dtype.type(0) if self.max_norm else share
        take = self._take_numpy if self._kernels is None else self._take_compiled
        norm = take(numbers, shrink, early_share)
        if self.max_norm is not None:
            for weights in self.network.weight_matrices():
                limit_norms(weights, self.max_norm)
            for where, _ in self._stretches():
                self._approach(where, share)
        return norm

    def descend(self, dscores: Array, learning_rate: float) -> float:
        """Backward pass and step in one: weights change while their gradient is in the cache.

        The weights become what `backward` and `apply` make of them, to the last bit, and these are
        what happens where a step has to know the whole gradient before the first number changes.

        Args:
            dscores: as for the network's `backward`; its `grad` need not be filled.
            learning_rate: as for `apply`.

        Returns:
            As `apply`; the same to rounding.
        """
        if not self.at_once:
            self.network.backward(dscores)
            return self.apply(learning_rate)
        step = self.begin(learning_rate)
        self.network.descend(dscores, step)
        return step.norm()

    def descend_plain(
        self, before: tuple[Any, ...], room: int, learning_rates: list[float]
    ) -> list[tuple[float, int, float]]:
        """Take the steps of a plain network, whose passes are part of them.

        Args:
            before: the first arguments of `nnlab.core.plain_kernels.take_steps`, from the pixels to
                the losses; the others are known here.
            room: as for `Workers.how`.
            learning_rates: one a step.

        Returns:
            As `PlainNetwork.steps`.
        """
        dtype, workers, optimizer = self.network.dtype, current(), self.optimizer
        begun = [self._begin(rate) for rate in learning_rates]
        numbers, shrinks, shares = (np.array(values, dtype) for values in zip(*begun, strict=True))
        found = np.empty((len(begun), 3))
        taken = workers.plain.take_steps(
            workers.team, workers.how(self.network.theta, room)[-1], *before, self._rule,
            self.network.theta, optimizer.block, numbers, dtype.type(self.penalty.l2),
            dtype.type(self.penalty.l1), shrinks, self._averaged(), shares,
            np.empty(workers.threads), found,
        )  # fmt: skip
        optimizer.steps -= len(begun) - taken
        return [(loss, int(right), norm) for loss, right, norm in found[:taken].tolist()]

    @property
    def is_compiled(self) -> bool:
        """Whether the rule is there as a compiled loop."""
        return self._kernels is not None

    @property
    def at_once(self) -> bool:
        """Whether a gradient may be used up before the rest of it is known."""
        return self.is_compiled and self.clip is None and self.max_norm is None

    def begin(self, learning_rate: float) -> "CompiledStep":
        """Count a step and return it, to be taken with one stretch after another."""
        return self._compiled_step(*self._typed(*self._begin(learning_rate)))

    def _begin(self, learning_rate: float) -> tuple[tuple[float, ...], float, float]:
        """Count a step; return the rule's numbers, what shrinks weights, the average's share."""
        steps = self.optimizer.steps = self.optimizer.steps + 1
        share = 0.0
        if self.average is not None:
            share = 1 - min(self.averaging, (1 + steps) / (10 + steps))
        shrink = 1.0 - learning_rate * self.weight_decay
        return self.optimizer.numbers(learning_rate), shrink, share

    def _typed(
        self, numbers: tuple[float, ...], shrink: float, share: float
    ) -> tuple[Array, Any, Any]:
        dtype = self.network.dtype
        return np.array(numbers, dtype), dtype.type(shrink), dtype.type(share)

    def clipping(self, norm: float) -> Any:
        """Return what a gradient of this norm is multiplied by."""
        assert self.clip is not None
        return self.network.dtype.type(min(1.0, self.clip / norm) if norm > 0 else 1.0)

    def _compiled_step(self, numbers: Array, shrink: Any, share: Any) -> "CompiledStep":
        number = self.network.dtype.type
        return CompiledStep(
            self._kernels,
            current(),
            self.network,
            self._rule,
            self.optimizer.block,
            numbers,
            number(self.penalty.l2),
            number(self.penalty.l1),
            shrink,
            self._averaged(),
            share,
        )

    def _averaged(self) -> Array:
        # Compiled loops want an array even where none is kept.
        return self.network.theta if self.average is None else self.average

    def _take_compiled(self, numbers: Array, shrink: Any, share: Any) -> float:
        step = self._compiled_step(numbers, shrink, share)
        norm = None
        if self.clip is not None:
            # The whole norm has to be known before the first number changes.
            norm = step.measure(slice(0, self.network.theta.size))
            step.scale = self.clipping(norm)
        step.take(slice(0, self.network.theta.size))
        return step.norm() if norm is None else norm

    def _take_numpy(self, numbers: Array, shrink: Any, share: Any) -> float:
        network, scale = self.network, self.network.dtype.type(1)
        norm = None
        if self.clip is not None:
            norm = float(np.sqrt(sum(self._penalize(*entry) for entry in self._stretches())))
            scale = self.clipping(norm)
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


class CompiledStep:
    """One step in compiled loops; a `nnlab.core.layer.Step`.

    Attributes:
        scale: what the gradient is multiplied by.
    """

    def __init__(
        self, kernels: Any, workers: Workers, network: Network, rule: int, state: Array,
        numbers: Array, l2: Any, l1: Any, shrink: Any, average: Array, share: Any,
    ) -> None:  # fmt: skip
        self._kernels, self._workers, self._network = kernels, workers, network
        self._rule, self._state, self._numbers = rule, state, numbers
        self._l2, self._l1, self._shrink = l2, l1, shrink
        self._average, self._share = average, share
        self._squares = np.zeros(workers.threads)
        self.scale = network.dtype.type(1)

    def norm(self) -> float:
        """The norm of the gradient taken so far, penalty included."""
        return float(np.sqrt(self._squares.sum()))

    def measure(self, where: slice) -> float:
        """Add the penalty to a stretch of the gradient, once, and return its norm."""
        network = self._network
        norm = self._kernels.measure(
            self._workers.team, network.theta[where], network.grad[where],
            max(0, network.penalized - where.start), self._l2, self._l1, self._squares,
        )  # fmt: skip
        self._l1 = self._l2 = network.dtype.type(0)
        return float(norm)

    def take(self, where: slice) -> None:
        """Take it with a stretch of theta and its gradient."""
        network = self._network
        self._kernels.update(
            self._workers.team, where.start, where.stop, self._rule, network.theta, network.grad,
            self._state, self._numbers, network.penalized, self._l2, self._l1, self._shrink,
            self.scale, self._average, self._share, self._squares,
        )  # fmt: skip

    def sum_joint(self, kernels: Any, where: slice, mine: int, grads: Array) -> None:
        """Add the gradients of all ranks to that of this one; see `nnlab.core.joint_kernels`."""
        kernels.sum_gradients(
            self._workers.team, self._squares.size, where.start, where.stop, mine, grads
        )

    def take_joint(
        self, kernels: Any, where: slice, mine: int, summed: bool, thetas: Array, grads: Array
    ) -> None:
        """Take it with a stretch of theta for all ranks; see `nnlab.core.joint_kernels`."""
        kernels.update(
            self._workers.team, where.start, where.stop, mine, summed, self._rule, thetas, grads,
            self._state, self._numbers, self._network.penalized, self._l2, self._l1, self._shrink,
            self.scale, self._average, self._share, self._squares,
        )  # fmt: skip

    def take_linear(self, x: Array, dout: Array, weights: slice, bias: slice) -> bool:
        """Take it with a linear layer and compute its gradient on the way, where that is there."""
        workers = self._workers
        if workers.descent is None or not workers.can_multiply(x, dout):
            return False
        layer, threads = (x.shape[1], dout.shape[1]), workers.threads
        room = workers.descent.room_to_descend(len(x), [layer], threads)
        scratch = workers.how(dout, room)[-1]
        workers.descent.descend(
            workers.team, scratch, x, dout, weights.start, bias.start, self._rule,
            self._network.theta, self._state, self._numbers, self._l2, self._l1, self._shrink,
            self._average, self._share, self._squares,
        )  # fmt: skip
        return True
