"""Compiled loops of the optimizers: everything a step does with a number, in one pass.

A stretch of the parameters that fits into the first-level cache goes through penalty, decay, norm,
rule and average before the next one is read. The operations and their order are those of the NumPy
code in `nnlab.core.optimizers` and `nnlab.core.update`, so that theta agrees to the last bit; the
norm, a sum, agrees to rounding.
"""

from typing import Any

import numpy as np

from nnlab.jit import compiled
from nnlab.team import shared

Array = Any

# Numbers of a stretch: four float32 vectors of it lie in the first-level cache.
STRETCH = 2048
# Numbers from which on a second thread is worth its call.
WORTH_SHARING = 8192


@compiled
def _vector(state: Array, slot: int, begin: int, theta: Array) -> Array:
    """Return the numbers of a state vector that belong to a stretch of theta.

    They are cut out one vector at a time: of a cut through all vectors Numba no longer knows that
    each is contiguous, and the loops would take one number at a time.
    """
    return state[slot, begin : begin + theta.size]


@compiled
def sgd(theta: Array, grad: Array, state: Array, begin: int, numbers: Array) -> None:  # noqa: ARG001
    """Theta -= rate g."""
    rate = numbers[0]
    for i in range(theta.size):
        theta[i] = theta[i] - grad[i] * rate


@compiled
def momentum(theta: Array, grad: Array, state: Array, begin: int, numbers: Array) -> None:
    """V = mu v + g; theta -= rate v."""
    velocity, factor, rate = _vector(state, 0, begin, theta), numbers[0], numbers[1]
    for i in range(theta.size):
        v = velocity[i] * factor + grad[i]
        velocity[i] = v
        theta[i] = theta[i] - v * rate


@compiled
def nesterov(theta: Array, grad: Array, state: Array, begin: int, numbers: Array) -> None:
    """V = mu v + g; theta -= rate (mu v + g)."""
    velocity, factor, rate = _vector(state, 0, begin, theta), numbers[0], numbers[1]
    for i in range(theta.size):
        g = grad[i]
        v = velocity[i] * factor + g
        velocity[i] = v
        theta[i] = theta[i] - (v * factor + g) * rate


@compiled
def adagrad(theta: Array, grad: Array, state: Array, begin: int, numbers: Array) -> None:
    """S += g^2; theta -= rate g / (sqrt(s) + eps)."""
    squares, epsilon, rate = _vector(state, 0, begin, theta), numbers[0], numbers[1]
    for i in range(theta.size):
        g = grad[i]
        s = squares[i] + g * g
        squares[i] = s
        theta[i] = theta[i] - g / (np.sqrt(s) + epsilon) * rate


@compiled
def rmsprop(theta: Array, grad: Array, state: Array, begin: int, numbers: Array) -> None:
    """S = keep s + take g^2; theta -= rate g / (sqrt(s) + eps)."""
    squares = _vector(state, 0, begin, theta)
    keep, take, epsilon, rate = numbers[0], numbers[1], numbers[2], numbers[3]
    for i in range(theta.size):
        g = grad[i]
        s = squares[i] * keep + g * g * take
        squares[i] = s
        theta[i] = theta[i] - g / (np.sqrt(s) + epsilon) * rate


@compiled
def adam(theta: Array, grad: Array, state: Array, begin: int, numbers: Array) -> None:
    """M and v, and theta -= scale m / (sqrt(v) inverse_root + eps)."""
    first, second = _vector(state, 0, begin, theta), _vector(state, 1, begin, theta)
    keep1, take1, keep2, take2 = numbers[0], numbers[1], numbers[2], numbers[3]
    inverse_root, epsilon, scale = numbers[4], numbers[5], numbers[6]
    for i in range(theta.size):
        g = grad[i]
        v = second[i] * keep2 + g * g * take2
        second[i] = v
        m = first[i] * keep1 + g * take1
        first[i] = m
        theta[i] = theta[i] - m / (np.sqrt(v) * inverse_root + epsilon) * scale


# Numba cannot cache functions that are given as arguments: a rule goes by its place here.
RULES = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")


@compiled
def _apply(
    rule: int, theta: Array, grad: Array, state: Array, begin: int, numbers: Array
) -> None:  # fmt: skip
    if rule == 0:
        sgd(theta, grad, state, begin, numbers)
    elif rule == 1:
        momentum(theta, grad, state, begin, numbers)
    elif rule == 2:
        nesterov(theta, grad, state, begin, numbers)
    elif rule == 3:
        adagrad(theta, grad, state, begin, numbers)
    elif rule == 4:
        rmsprop(theta, grad, state, begin, numbers)
    else:
        adam(theta, grad, state, begin, numbers)


@compiled
def _penalize(theta: Array, grad: Array, l2: Any, l1: Any) -> None:
    """Add l2 * theta and l1 * sign(theta) to the gradient."""
    for i in range(theta.size):
        weight = theta[i]
        grad[i] = (grad[i] + weight * l2) + np.sign(weight) * l1


@compiled
def _scale(values: Array, factor: Any) -> None:
    for i in range(values.size):
        values[i] *= factor


@compiled
def _approach(average: Array, theta: Array, share: Any) -> None:
    """Average += share * (theta - average)."""
    for i in range(theta.size):
        average[i] = average[i] + (theta[i] - average[i]) * share


def _squared_norm(grad: Array) -> Any:
    total = grad.dtype.type(0)
    for i in range(grad.size):
        total += grad[i] * grad[i]
    return total


# Lane by lane: the order of this sum is nobody's concern.
_squared_norm = compiled(_squared_norm, fastmath={"reassoc", "contract"})


@compiled
def end_of_stretch(begin: int, end: int, penalized: int) -> int:
    """Return where the stretch ends; it is penalized whole or not at all."""
    end = min(begin + STRETCH, end)
    return min(end, penalized) if begin < penalized else end


@compiled
def _measure_part(
    part: int, parts: int, theta: Array, grad: Array, penalized: int, l2: Any, l1: Any,
    squares: Array,
) -> None:  # fmt: skip
    begin, last = theta.size * part // parts, theta.size * (part + 1) // parts
    total = 0.0
    while begin < last:
        end = end_of_stretch(begin, last, penalized)
        if begin < penalized and (l2 != 0 or l1 != 0):
            _penalize(theta[begin:end], grad[begin:end], l2, l1)
        total += _squared_norm(grad[begin:end])
        begin = end
    squares[part] = total


@compiled
def take(
    rule: int, theta: Array, grad: Array, state: Array, begin: int, numbers: Array, l2: Any,
    l1: Any, shrink: Any, scale: Any, average: Array, share: Any,
) -> float:  # fmt: skip
    """Take a step with a stretch of theta that lies in the cache; return its squared norm.

    Args, besides those of `update`:
        theta: the stretch, which begins at `begin` of the whole vector.
        grad: of the same length; changed.
    """
    if l2 != 0 or l1 != 0:
        _penalize(theta, grad, l2, l1)
    squared = _squared_norm(grad)
    if scale != 1:
        _scale(grad, scale)
    if shrink != 1:
        _scale(theta, shrink)
    _apply(rule, theta, grad, state, begin, numbers)
    if share != 0:
        _approach(average[begin : begin + theta.size], theta, share)
    return squared


@compiled
def _update_part(
    part: int, parts: int, first: int, last: int, rule: int, theta: Array, grad: Array,
    state: Array, numbers: Array, penalized: int, l2: Any, l1: Any, shrink: Any, scale: Any,
    average: Array, share: Any, squares: Array,
) -> None:  # fmt: skip
    size, none, whole = last - first, theta.dtype.type(0), theta.dtype.type(1)
    begin, last = first + size * part // parts, first + size * (part + 1) // parts
    total = 0.0
    while begin < last:
        end = end_of_stretch(begin, last, penalized)
        inside = begin < penalized
        total += take(
            rule, theta[begin:end], grad[begin:end], state, begin, numbers,
            l2 if inside else none, l1 if inside else none, shrink if inside else whole, scale,
            average, share,
        )  # fmt: skip
        begin = end
    squares[part] += total


_measure_parts, _update_parts = shared(_measure_part), shared(_update_part)


@compiled
def measure(
    team: int, theta: Array, grad: Array, penalized: int, l2: Any, l1: Any, squares: Array
) -> float:
    """Add the penalty to the gradient and return its norm.

    Args:
        team: the team.
        theta: (P,).
        grad: (P,), changed.
        penalized: so many of the first parameters.
        l2: the factor of one penalty.
        l1: that of the other.
        squares: (parts,) a free float64 array; as long as there are parts.
    """
    team = team if theta.size >= WORTH_SHARING else 0
    _measure_parts(team, squares.size, (theta, grad, penalized, l2, l1, squares))
    return np.sqrt(squares.sum())


@compiled
def update(
    team: int, first: int, last: int, rule: int, theta: Array, grad: Array, state: Array,
    numbers: Array, penalized: int, l2: Any, l1: Any, shrink: Any, scale: Any, average: Array,
    share: Any, squares: Array,
) -> None:  # fmt: skip
    """Take a step; add the squared norm of the gradient with its penalty, before scaling.

    Args, besides those of `measure`:
        first, last: the range of parameters that it is about.
        rule: its place in `RULES`.
        state: (S, P) the rule's vectors.
        numbers: the rule's numbers.
        shrink: what penalized weights are multiplied by before the step.
        scale: what the gradient is multiplied by.
        average: (P,) of theta, which approaches it by `share`; not touched if that is 0.
        squares: added to, by part.
    """
    team = team if last - first >= WORTH_SHARING else 0
    _update_parts(team, squares.size, (
        first, last, rule, theta, grad, state, numbers, penalized, l2, l1, shrink, scale, average,
        share, squares,
    ))  # fmt: skip
