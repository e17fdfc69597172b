"""A linear layer's step: its gradient and what an optimizer does with it, block by block.

A block of dW is computed into work space and used up at once, while it is in the second-level
cache: the whole gradient is neither written to memory nor read again. Parts are cut by rows: where
two cores change columns beside each other, what the processor fetches ahead takes the lines of one
from the other's cache. What becomes of the weights is what `products.weight_gradient` and
`update_kernels.update` make of them, to the last bit.
"""

from collections.abc import Iterable
from typing import Any

from nnlab.core.products import (
    BLOCK,
    COLUMNS,
    PANELS,
    PLAIN,
    RESULTS,
    SCRATCH,
    VECTOR,
    copy_panels,
    cut,
    multiply,
    room_for_panels,
)
from nnlab.core.tiles import ROWS
from nnlab.core.update_kernels import STRETCH, take
from nnlab.jit import compiled
from nnlab.team import shared

Array = Any

# Where a part has more rows of weights, dy is copied once for all blocks of them.
MANY_ROWS = 4 * BLOCK


def room_to_descend(images: int, layers: Iterable[tuple[int, int]], parts: int) -> int:
    """Return how many numbers of a scratch `descend` needs besides what its parts do.

    Args:
        images: rows of a batch at most.
        layers: inputs and outputs of each.
        parts: how many.
    """
    return max(
        room_for_panels(images, outputs) if inputs > MANY_ROWS * parts else 0
        for inputs, outputs in layers
    )


@compiled
def _descend_part(
    part: int, parts: int, scratch: Array, x: Array, dy: Array, panels: int, weights: int,
    bias: int, rule: int, theta: Array, state: Array, numbers: Array, l2: Any, l1: Any,
    shrink: Any, average: Array, share: Any, squares: Array,
) -> None:  # fmt: skip
    inputs, columns, size, one = x.shape[1], dy.shape[1], theta.itemsize, theta.dtype.type(1)
    space, block = scratch[part], scratch[part, SCRATCH:]
    top, bottom = cut(inputs, part, parts, ROWS), cut(inputs, part + 1, parts, ROWS)
    total = 0.0
    for j in range(0, columns, COLUMNS):
        width = min(COLUMNS, columns - j)
        # Whole rows, as far as they go: the memory is quick where addresses follow one another.
        most = min(BLOCK, RESULTS // width // ROWS * ROWS)
        # As long as one another: for a few rows left over, all panels would be read again.
        blocks = max(1, -(-(bottom - top) // most))
        step = max(ROWS, -(-(bottom - top) // (blocks * ROWS)) * ROWS)
        for i in range(top, bottom, step):
            rows = min(step, bottom - i)
            multiply(
                one, size, rows, width, len(x), x.ctypes.data + i * size, inputs, True,
                panels + j * len(x) * size if panels else dy.ctypes.data + j * size, columns,
                PANELS if panels else PLAIN, 0, block.ctypes.data, width, 0, space.ctypes.data,
            )  # fmt: skip
            # Rows that follow one another in theta are taken together.
            length = rows * width if width == columns else width
            for k in range(0, rows * width, length):
                begin = weights + i * columns + j + k // width * columns
                for first in range(0, length, STRETCH):
                    count = min(STRETCH, length - first)
                    total += take(
                        rule, theta[begin + first : begin + first + count],
                        block[k + first : k + first + count], state, begin + first, numbers, l2,
                        l1, shrink, one, average, share,
                    )  # fmt: skip
    left, right = cut(columns, part, parts, VECTOR), cut(columns, part + 1, parts, VECTOR)
    for j in range(left, right, COLUMNS):
        width = min(COLUMNS, right - j)
        sums = block[:width]
        sums[:] = dy[0, j : j + width]
        for i in range(1, len(dy)):
            for k in range(width):
                sums[k] += dy[i, j + k]
        begin = bias + j
        total += take(
            rule, theta[begin : begin + width], sums, state, begin, numbers, one - one, one - one,
            one, one, average, share,
        )  # fmt: skip
    squares[part] += total


_descend_parts = shared(_descend_part)


@compiled
def descend(
    team: int, scratch: Array, x: Array, dy: Array, weights: int, bias: int, rule: int,
    theta: Array, state: Array, numbers: Array, l2: Any, l1: Any, shrink: Any, average: Array,
    share: Any, squares: Array,
) -> None:  # fmt: skip
    """Take a linear layer's step.

    Args, besides those of `update_kernels.update`:
        scratch: from `products.scratch`, for as many parts as `squares` has, with the room of
            `room_to_descend`.
        x: (N, D) what the layer was given.
        dy: (N, K) the gradient by what it returned.
        weights: where its W (D, K), penalized, begins in theta.
        bias: where its b (K,), not penalized, begins.
    """
    parts = squares.size
    panels = 0
    if x.shape[1] > MANY_ROWS * parts:
        panels = copy_panels(team, parts, scratch, dy)
    _descend_parts(team, parts, (
        scratch, x, dy, panels, weights, bias, rule, theta, state, numbers, l2, l1, shrink, average,
        share, squares,
    ))  # fmt: skip
