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

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from nnlab.core.layer import Array
from nnlab.core.network import Network
from nnlab.core.penalties import Penalty, limit_norms

# Four or five float32 vectors of this length lie in the second-level cache together.
CHUNK = 32768


class Optimizer:
    """Base of the optimizers.

    A subclass names its state vectors in `slots`, prepares a step's numbers in `begin` and
    updates one chunk in `update`.

    Attributes:
        steps: how many steps have been taken.
        state: the state vectors by name, each laid out like theta.
    """

    kind: ClassVar[str]
    slots: ClassVar[tuple[str, ...]] = ()
    default_learning_rate: ClassVar[float]
    default_weight_decay: ClassVar[float] = 0.0

    def __init__(self) -> None:
        self.steps = 0
        self.state: dict[str, Array] = {}

    def allocate(self, theta: Array) -> None:
        """Make the state vectors, zero, for this parameter vector."""
        self.state = {name: np.zeros_like(theta) for name in self.slots}

    def begin(self, learning_rate: float) -> None:
        """Count the step and prepare what is the same for every chunk."""
        self.steps += 1
        self.learning_rate = learning_rate

    def update(self, theta: Array, grad: Array, work: Array, *state: Array) -> None:
        """Update one chunk of theta; `grad` and `work` may be overwritten."""
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if `momentum` is above 0."""

    kind = "sgd"
    slots = ("velocity",)
    default_learning_rate = 0.1

    def __init__(self, momentum: float = 0.0) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"a momentum lies in [0, 1), not {momentum}")
        self.momentum = momentum

    def update(self, theta: Array, grad: Array, work: Array, *state: Array) -> None:
        """V = mu v + g; theta -= lr v."""
        if self.momentum:
            (velocity,) = state
            velocity *= self.momentum
            velocity += grad
            grad = velocity
        np.multiply(grad, self.learning_rate, out=work)
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

    def update(self, theta: Array, grad: Array, work: Array, *state: Array) -> None:
        """V = mu v + g; theta -= lr (g + mu v)."""
        (velocity,) = state
        velocity *= self.momentum
        velocity += grad
        np.multiply(velocity, self.momentum, out=work)
        work += grad
        work *= self.learning_rate
        theta -= work


class Adagrad(Optimizer):
    """A learning rate a parameter, shrinking with the sum of its squared gradients."""

    kind = "adagrad"
    slots = ("squares",)
    default_learning_rate = 0.01
    epsilon: ClassVar[float] = 1e-10

    def update(self, theta: Array, grad: Array, work: Array, *state: Array) -> None:
        """S += g^2; theta -= lr g / (sqrt(s) + eps)."""
        (squares,) = state
        np.multiply(grad, grad, out=work)
        squares += work
        np.sqrt(squares, out=work)
        work += self.epsilon
        np.divide(grad, work, out=work)
        work *= self.learning_rate
        theta -= work


class RMSprop(Optimizer):
    """Adagrad with a moving average (factor 0.99) in place of the sum."""

    kind = "rmsprop"
    slots = ("squares",)
    default_learning_rate = 0.001
    decay: ClassVar[float] = 0.99
    epsilon: ClassVar[float] = 1e-8

    def update(self, theta: Array, grad: Array, work: Array, *state: Array) -> None:
        """S = a s + (1 - a) g^2; theta -= lr g / (sqrt(s) + eps)."""
        (squares,) = state
        np.multiply(grad, grad, out=work)
        work *= 1 - self.decay
        squares *= self.decay
        squares += work
        np.sqrt(squares, out=work)
        work += self.epsilon
        np.divide(grad, work, out=work)
        work *= self.learning_rate
        theta -= work


class Adam(Optimizer):
    """Momentum over RMSprop, both corrected for beginning at zero."""

    kind = "adam"
    slots = ("first_moment", "second_moment")
    default_learning_rate = 0.001
    beta1: ClassVar[float] = 0.9
    beta2: ClassVar[float] = 0.999
    epsilon: ClassVar[float] = 1e-8

    def begin(self, learning_rate: float) -> None:
        """The two corrections of step t."""
        super().begin(learning_rate)
        self._scale = learning_rate / (1 - self.beta1**self.steps)
        self._root = float(np.sqrt(1 - self.beta2**self.steps))

    def update(self, theta: Array, grad: Array, work: Array, *state: Array) -> None:
        """M, v, and theta -= lr mhat / (sqrt(vhat) + eps)."""
        first, second = state
        np.multiply(grad, grad, out=work)
        work *= 1 - self.beta2
        second *= self.beta2
        second += work
        grad *= 1 - self.beta1
        first *= self.beta1
        first += grad
        np.sqrt(second, out=work)
        work *= 1 / self._root
        work += self.epsilon
        np.divide(first, work, out=work)
        work *= self._scale
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
            remember the first values.
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
        vectors = [theta, grad, *self.optimizer.state.values()]
        # Cut where the penalized weights end, so that a chunk is penalized whole or not at all.
        self._chunks: list[tuple[bool, slice, list[Array]]] = []
        for start, stop, penalized in (
            (0, self.network.penalized, True),
            (self.network.penalized, len(theta), False),
        ):
            for begin in range(start, stop, CHUNK):
                where = slice(begin, min(begin + CHUNK, stop))
                self._chunks.append((penalized, where, [vector[where] for vector in vectors]))

    def apply(self, learning_rate: float) -> float:
        """Take one step.

        Args:
            learning_rate: of this step.

        Returns:
            The norm of the gradient, penalty included, before clipping. It is not finite where
            the gradient is not, and then theta is spoilt: check it at every step.
        """
        optimizer = self.optimizer
        optimizer.begin(learning_rate)
        shrink = 1.0 - learning_rate * self.weight_decay
        penalty = self.penalty if self.penalty else None
        squared_norm = 0.0
        scale = 1.0
        if self.clip is not None:
            squared_norm = self._add_penalty()
            penalty = None
            norm = float(np.sqrt(squared_norm))
            scale = min(1.0, self.clip / norm) if norm > 0 else 1.0
        factor = min(self.averaging, (1 + optimizer.steps) / (10 + optimizer.steps))
        for penalized, where, (theta, grad, *state) in self._chunks:
            work = self._work[: len(theta)]
            if penalized:
                if penalty is not None:
                    penalty.add_gradient(theta, grad, work)
                if shrink != 1.0:
                    theta *= shrink
            if self.clip is None:
                squared_norm += float(np.dot(grad, grad))
            elif scale != 1.0:
                grad *= scale
            optimizer.update(theta, grad, work, *state)
            if self.average is not None:
                average = self.average[where]
                np.subtract(theta, average, out=work)
                work *= 1 - factor
                average += work
        if self.max_norm is not None:
            for weights in self.network.weight_matrices():
                limit_norms(weights, self.max_norm)
        return float(np.sqrt(squared_norm))

    def _add_penalty(self) -> float:
        squared_norm = 0.0
        for penalized, _, (theta, grad, *_state) in self._chunks:
            if penalized and self.penalty:
                self.penalty.add_gradient(theta, grad, self._work[: len(theta)])
            squared_norm += float(np.dot(grad, grad))
        return squared_norm
