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
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from nnlab.core.layer import Array
from nnlab.core.memory import zeros

State = Sequence[Array]
Numbers = Array


class Optimizer:
    """Base of the optimizers.

    A subclass names its state vectors in `slots`, gives a step's numbers in `numbers` and updates
    a stretch of theta in `update`. The compiled loop that `nnlab.core.update_kernels` has for
    `rule`, if any, does the same.

    Attributes:
        steps: how many steps have been taken.
        state: the state vectors by name, each laid out like theta.
        block: (S, P or more) the same vectors, in the order of `slots`.
    """

    kind: ClassVar[str]
    rule: ClassVar[str]
    slots: tuple[str, ...] = ()
    default_learning_rate: ClassVar[float]
    default_weight_decay: ClassVar[float] = 0.0

    def __init__(self) -> None:
        self.steps = 0
        self.allocate(np.empty(0))

    def allocate(self, theta: Array) -> None:
        """Make the state vectors, zero, for this parameter vector."""
        self._size = theta.size
        self.lie_in(zeros((len(self.slots), theta.size), theta.dtype))

    def lie_in(self, block: Array) -> None:
        """Have the state vectors lie in the rows of `block`, (S, P or more), as they are there."""
        self.block = block
        self.state = {name: row[: self._size] for name, row in zip(self.slots, block, strict=True)}

    def numbers(self, learning_rate: float) -> tuple[float, ...]:
        """Return what `update` needs in step number `self.steps`."""
        return (learning_rate,)

    def update(
        self, theta: Array, grad: Array, work: Array, state: State, numbers: Numbers
    ) -> None:
        """Update a stretch of theta; `work` is free."""
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
