"""Optimizers: what one step does with a gradient.

With parameters theta, gradient g and learning rate lr, and every state vector beginning at 0:

    sgd       v = mu v + g                     theta -= lr v          (mu = 0 unless given)
    momentum  the same with mu = 0.9           Polyak 1964
    nesterov  v = mu v + g                     theta -= lr (g + mu v)     Sutskever et al. 2013
    adagrad   s += g^2                         theta -= lr g / (sqrt(s) + eps)   Duchi et al. 2011
    rmsprop   s = a s + (1 - a) g^2            theta -= lr g / (sqrt(s) + eps)   Hinton 2012
    adam      m = b1 m + (1 - b1) g            theta -= lr mhat / (sqrt(vhat) + eps)
              v = b2 v + (1 - b2) g^2          mhat = m / (1 - b1^t), vhat = v / (1 - b2^t)
                                               Kingma and Ba 2015, arXiv:1412.6980
    adamw     the same with decoupled weight decay 0.01 unless given
                                               Loshchilov and Hutter 2019, arXiv:1711.05101

These are PyTorch's definitions, with PyTorch's constants. Decoupled weight decay works with every
optimizer: before the step the penalized weights are multiplied by ``1 - lr * weight_decay``;
unlike PyTorch's, it leaves biases and gains alone.

The vectors are worked through in chunks that stay in the processor's cache, and everything that a
step does with a number happens while its chunk is there: penalty, decay, update, average.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from nnlab.core.layer import Array
from nnlab.core.network import Network
from nnlab.core.penalties import Penalty, limit_norms
from nnlab.jit import kernels

State = Sequence[Array]
Numbers = Sequence[Any]

# Four or five float32 vectors of this length lie in the second-level cache together.
CHUNK = 32768


class Optimizer:
    """Base of the optimizers.

    A subclass names its state vectors in `slots`, gives a step's numbers in `numbers` and updates
    one chunk in `update`. A compiled loop of the same name as `rule` in `nnlab.core.kernels`
    takes the chunk, its state and the numbers, and is used where there is one.

    Attributes:
        steps: how many steps have been taken.
        state: the state vectors by name, each laid out like theta.
    """

    kind: ClassVar[str]
    rule: ClassVar[str]
    slots: tuple[str, ...] = ()
    default_learning_rate: ClassVar[float]
    default_weight_decay: ClassVar[float] = 0.0

    def __init__(self) -> None:
        self.steps = 0
        self.state: dict[str, Array] = {}

    def allocate(self, theta: Array) -> None:
        """Make the state vectors, zero, for this parameter vector."""
        self.state = {name: np.zeros_like(theta) for name in self.slots}

    def numbers(self, learning_rate: float) -> tuple[float, ...]:
        """Return what `update` needs in step number `self.steps`."""
        return (learning_rate,)

    def update(
        self, theta: Array, grad: Array, work: Array, state: State, numbers: Numbers
    ) -> None:
        """Update one chunk of theta; `work` is free."""
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if `momentum` is above 0."""

    kind = "sgd"
    slots: tuple[str, ...] = ("velocity",)
    default_learning_rate = 0.1

    def __init__(self, momentum: float = 0.0) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"a momentum lies in [0, 1), not {momentum}")
        self.momentum = momentum
        if not momentum:
            self.slots = ()

    @property
    def rule(self) -> str:  # type: ignore[override]
        """Without momentum there is no velocity to keep."""
        return "momentum" if self.momentum else "sgd"

    def numbers(self, learning_rate: float) -> tuple[float, ...]:
        """Momentum, if any, and rate."""
        return (self.momentum, learning_rate) if self.momentum else (learning_rate,)

    def update(
        self, theta: Array, grad: Array, work: Array, state: State, numbers: Numbers
    ) -> None:
        """V = mu v + g; theta -= lr v."""
        if self.momentum:
            (velocity,) = state
            velocity *= numbers[0]
            velocity += grad
            grad = velocity
        np.multiply(grad, numbers[-1], out=work)
        theta -= work


class Momentum(SGD):
    """SGD with momentum 0.9 unless given."""

    kind = "momentum"
    default_learning_rate = 0.05

    def __init__(self, momentum: float = 0.9) -> None:
        super().__init__(momentum)


class Nesterov(Momentum):
    """SGD with Nesterov's momentum, in the form that looks ahead from the new velocity."""

    kind = "nesterov"
    slots = ("velocity",)
    rule = "nesterov"

    def numbers(self, learning_rate: float) -> tuple[float, ...]:
        """Momentum and rate."""
        return self.momentum, learning_rate

    def update(
        self, theta: Array, grad: Array, work: Array, state: State, numbers: Numbers
    ) -> None:
        """V = mu v + g; theta -= lr (g + mu v)."""
        (velocity,), (momentum, rate) = state, numbers
        velocity *= momentum
        velocity += grad
        np.multiply(velocity, momentum, out=work)
        work += grad
        work *= rate
        theta -= work


class Adagrad(Optimizer):
    """A learning rate a parameter, shrinking with the sum of its squared gradients."""

    kind = rule = "adagrad"
    slots = ("squares",)
    default_learning_rate = 0.01
    epsilon: ClassVar[float] = 1e-10

    def numbers(self, learning_rate: float) -> tuple[float, ...]:
        """Epsilon and rate."""
        return self.epsilon, learning_rate

    def update(
        self, theta: Array, grad: Array, work: Array, state: State, numbers: Numbers
    ) -> None:
        """S += g^2; theta -= lr g / (sqrt(s) + eps)."""
        (squares,), (epsilon, rate) = state, numbers
        np.multiply(grad, grad, out=work)
        squares += work
        np.sqrt(squares, out=work)
        work += epsilon
        np.divide(grad, work, out=work)
        work *= rate
        theta -= work


class RMSprop(Optimizer):
    """Adagrad with a moving average (factor 0.99) in place of the sum."""

    kind = rule = "rmsprop"
    slots = ("squares",)
    default_learning_rate = 0.001
    decay: ClassVar[float] = 0.99
    epsilon: ClassVar[float] = 1e-8

    def numbers(self, learning_rate: float) -> tuple[float, ...]:
        """The average's two factors, epsilon and rate."""
        return self.decay, 1 - self.decay, self.epsilon, learning_rate

    def update(
        self, theta: Array, grad: Array, work: Array, state: State, numbers: Numbers
    ) -> None:
        """S = a s + (1 - a) g^2; theta -= lr g / (sqrt(s) + eps)."""
        (squares,), (keep, take, epsilon, rate) = state, numbers
        np.multiply(grad, grad, out=work)
        work *= take
        squares *= keep
        squares += work
        np.sqrt(squares, out=work)
        work += epsilon
        np.divide(grad, work, out=work)
        work *= rate
        theta -= work


class Adam(Optimizer):
    """Momentum over RMSprop, both corrected for beginning at zero."""

    kind = rule = "adam"
    slots = ("first_moment", "second_moment")
    default_learning_rate = 0.001
    beta1: ClassVar[float] = 0.9
    beta2: ClassVar[float] = 0.999
    epsilon: ClassVar[float] = 1e-8

    def numbers(self, learning_rate: float) -> tuple[float, ...]:
        """The averages' factors, the corrections of step t, epsilon and rate."""
        root = float(np.sqrt(1 - self.beta2**self.steps))
        scale = learning_rate / (1 - self.beta1**self.steps)
        averages = (self.beta1, 1 - self.beta1, self.beta2, 1 - self.beta2)
        return (*averages, 1 / root, self.epsilon, scale)

    def update(
        self, theta: Array, grad: Array, work: Array, state: State, numbers: Numbers
    ) -> None:
        """M, v, and theta -= lr mhat / (sqrt(vhat) + eps)."""
        first, second = state
        keep1, take1, keep2, take2, inverse_root, epsilon, scale = numbers
        np.multiply(grad, grad, out=work)
        work *= take2
        second *= keep2
        second += work
        np.multiply(grad, take1, out=work)
        first *= keep1
        first += work
        np.sqrt(second, out=work)
        work *= inverse_root
        work += epsilon
        np.divide(first, work, out=work)
        work *= scale
        theta -= work


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    kind = "adamw"
    default_weight_decay = 0.01


# One entry an optimizer.
OPTIMIZERS: dict[str, type[Optimizer]] = {
    cls.kind: cls for cls in (SGD, Momentum, Nesterov, Adagrad, RMSprop, Adam, AdamW)
}


@dataclass
class Update:
    """Everything that happens to a network's parameters after a backward pass.

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
        theta, grad = self.network.theta, self.network.grad
        self.optimizer.allocate(theta)
        self.average = theta.copy() if self.averaging else None
        self._work = np.empty(min(CHUNK, len(theta)), theta.dtype)
        found = kernels("nnlab.core.kernels")
        self._rule: Callable[..., None] | None = getattr(found, self.optimizer.rule, None)
        self._penalize: Callable[..., None] | None = getattr(found, "penalize", None)
        vectors = [theta, grad, *self.optimizer.state.values()]
        # Cut where the penalized weights end, so that a chunk is penalized whole or not at all.
        self._chunks: list[_Chunk] = []
        for start, stop, penalized in (
            (0, self.network.penalized, True),
            (self.network.penalized, len(theta), False),
        ):
            for begin in range(start, stop, CHUNK):
                where = slice(begin, min(begin + CHUNK, stop))
                views = [vector[where] for vector in vectors]
                self._chunks.append(_Chunk(penalized, where, views, self._work[: len(views[0])]))

    def apply(self, learning_rate: float) -> float:
        """Take one step.

        Args:
            learning_rate: of this step.

        Returns:
            The norm of the gradient, penalty included, before clipping. It is not finite where
            the gradient is not, and then theta is spoilt: check it at every step.
        """
        optimizer, scalar = self.optimizer, self.network.dtype.type
        optimizer.steps += 1
        numbers = [scalar(number) for number in optimizer.numbers(learning_rate)]
        shrink = scalar(1.0 - learning_rate * self.weight_decay)
        average_share = scalar(
            1 - min(self.averaging, (1 + optimizer.steps) / (10 + optimizer.steps))
        )
        squared_norm, scale = 0.0, scalar(1)
        if self.clip is not None:
            # The whole norm has to be known before the first number changes.
            squared_norm = sum(self._penalized_norm(chunk, scalar(1)) for chunk in self._chunks)
            norm = float(np.sqrt(squared_norm))
            scale = scalar(min(1.0, self.clip / norm) if norm > 0 else 1.0)
        for chunk in self._chunks:
            theta, grad, *state = chunk.vectors
            if self.clip is None:
                squared_norm += self._penalized_norm(chunk, shrink)
            else:
                grad *= scale
                if chunk.penalized:
                    theta *= shrink
            if self._rule is not None:
                self._rule(theta, grad, *state, *numbers)
            else:
                optimizer.update(theta, grad, chunk.work, state, numbers)
            if self.max_norm is None:
                self._add_to_average(chunk, average_share)
        if self.max_norm is not None:
            for weights in self.network.weight_matrices():
                limit_norms(weights, self.max_norm)
            # The average is one of weights within the bound, so it comes after it.
            for chunk in self._chunks:
                self._add_to_average(chunk, average_share)
        return float(np.sqrt(squared_norm))

    def _add_to_average(self, chunk: "_Chunk", share: Any) -> None:
        if self.average is not None:
            average, work = self.average[chunk.where], chunk.work
            np.subtract(chunk.vectors[0], average, out=work)
            work *= share
            average += work

    def _penalized_norm(self, chunk: "_Chunk", shrink: Any) -> float:
        """Add the penalty to a chunk's gradient, shrink its weights; return the squared norm."""
        theta, grad = chunk.vectors[:2]
        if chunk.penalized and (self.penalty or shrink != 1):
            if self._penalize is not None:
                scalar = self.network.dtype.type
                self._penalize(
                    theta, grad, scalar(self.penalty.l2), scalar(self.penalty.l1), shrink
                )
            else:
                self.penalty.add_gradient(theta, grad, chunk.work)
                theta *= shrink
        return float(np.dot(grad, grad))


@dataclass(frozen=True)
class _Chunk:
    """Views of every vector at one stretch of the parameters."""

    penalized: bool
    where: slice
    vectors: list[Array]
    work: Array
