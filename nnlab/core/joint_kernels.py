"""Compiled loops of an update that several processes share, in memory that all of them see.

A process takes the step with its stretch of the parameters alone: it sums the gradients of all
there, and writes what comes out to the parameters of all. Everything happens while the numbers are
in the first-level cache, as in `nnlab.core.update_kernels`.
"""

from typing import Any

from nnlab.core.update_kernels import STRETCH, end_of_stretch, take
from nnlab.jit import compiled
from nnlab.team import shared

Array = Any


@compiled
def _add(sums: Array, values: Array) -> None:
    for i in range(sums.size):
        sums[i] += values[i]


@compiled
def _copy(values: Array, target: Array) -> None:
    for i in range(values.size):
        target[i] = values[i]


@compiled
def _sum_part(part: int, parts: int, first: int, last: int, mine: int, grads: Array) -> None:
    size = last - first
    begin, last = first + size * part // parts, first + size * (part + 1) // parts
    for start in range(begin, last, STRETCH):
        end = min(start + STRETCH, last)
        for rank in range(len(grads)):
            if rank != mine:
                _add(grads[mine, start:end], grads[rank, start:end])


@compiled
def _update_part(
    part: int, parts: int, first: int, last: int, mine: int, summed: bool, rule: int,
    thetas: Array, grads: Array, state: Array, numbers: Array, penalized: int, l2: Any, l1: Any,
    shrink: Any, scale: Any, average: Array, share: Any, squares: Array,
) -> None:  # fmt: skip
    size, none, whole = last - first, thetas.dtype.type(0), thetas.dtype.type(1)
    begin, last = first + size * part // parts, first + size * (part + 1) // parts
    total = 0.0
    while begin < last:
        end = end_of_stretch(begin, last, penalized)
        theta, grad = thetas[mine, begin:end], grads[mine, begin:end]
        if not summed:
            for rank in range(len(grads)):
                if rank != mine:
                    _add(grad, grads[rank, begin:end])
        inside = begin < penalized
        total += take(
            rule, theta, grad, state, begin, numbers, l2 if inside else none,
            l1 if inside else none, shrink if inside else whole, scale, average, share,
        )  # fmt: skip
        for rank in range(len(thetas)):
            if rank != mine:
                _copy(theta, thetas[rank, begin:end])
        begin = end
    squares[part] += total


_sum_parts, _update_parts = shared(_sum_part), shared(_update_part)


@compiled
def sum_gradients(team: int, parts: int, first: int, last: int, mine: int, grads: Array) -> None:
    """Add the gradients of all others to mine.

    Args:
        team: the team.
        parts: of the work.
        first: the first of the parameters that it is about.
        last: the one behind them.
        mine: this process's row of what all have.
        grads: (R, P); of my row, that range is changed.
    """
    _sum_parts(team, parts, (first, last, mine, grads))


@compiled
def update(
    team: int, first: int, last: int, mine: int, summed: bool, rule: int, thetas: Array,
    grads: Array, state: Array, numbers: Array, penalized: int, l2: Any, l1: Any, shrink: Any,
    scale: Any, average: Array, share: Any, squares: Array,
) -> None:  # fmt: skip
    """Take a step for all, as `update_kernels.update` does for one.

    Args, besides those of `update_kernels.update` and `sum_gradients`:
        summed: whether my gradient is already the sum of all.
        thetas: (R, P); of all rows, that range is changed.
    """
    _update_parts(team, squares.size, (
        first, last, mine, summed, rule, thetas, grads, state, numbers, penalized, l2, l1, shrink,
        scale, average, share, squares,
    ))  # fmt: skip
