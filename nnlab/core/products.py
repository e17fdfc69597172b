"""The three products of a linear layer, cut into parts for a team.

    forward          y = x W + b        by rows or columns of y
    weight_gradient  dW = x^T dy        by rows of dW
                     db = sum of dy     by columns
    input_gradient   dx = dy W^T        by rows or columns of dx

A product goes through one panel of B after another, as wide as a tile, which stays in the cache
while the rows of A pass by:

    for a stretch of the inner dimension:      `DEPTH` long
        for a panel of op(B):                  in the order in which tiles read it
            for a tile of rows of op(A):       out += A B, in registers (`nnlab.core.tiles`)

A is read where it lies. The first tile of a panel reads B where it lies, too, and copies it for the
others; a transposed B is copied beforehand, and so is one that will be multiplied many times. Every
number of a result is one sum in the order of the inner dimension, so its bits depend neither on how
many parts there are nor on what stands beside it. All arrays are of one type, contiguous. A ReLU
behind or before the layer is computed on the sums before they leave the registers.
"""

from typing import Any

import numpy as np

from nnlab.core.kernels import prefetch
from nnlab.core.memory import zeros
from nnlab.core.tiles import (
    HALVES,
    LINE,
    ROWS,
    VECTOR_BYTES,
    WIDEST,
    copy_vector,
    tile,
    transpose,
)
from nnlab.jit import compiled
from nnlab.team import shared

Array = Any

# As deep as a panel is: whole vectors of any type. It lies in the second-level cache, from which
# tiles are fed as fast as they compute, and the deeper it is, the fewer times sums go to memory.
DEPTH = 384
# Columns are cut where a vector begins, whatever its numbers' type.
VECTOR = VECTOR_BYTES // 4
# With fewer columns in a part, its tiles would be narrow ones.
LEAST = 4 * VECTOR
# What a part needs in float32, and at most: a panel, and zeros to begin sums with.
PANEL, ZEROS = DEPTH * WIDEST * VECTOR, WIDEST * VECTOR
SCRATCH = PANEL + ZEROS
# And behind it a block of results that go no further (`nnlab.core.descent`): so many rows at most,
# and so many columns, which are whole panels of any type.
BLOCK, COLUMNS = 16 * ROWS, 12 * 1024
RESULTS = ROWS * COLUMNS
# How B is given: as it lies, transposed, or in panels already.
PLAIN, TRANSPOSED, PANELS = range(3)


def scratch(parts: int, dtype: np.dtype[Any], room: int = 0) -> Array:
    """Return work space (R, S): a row for each part of a product, and the others for all.

    Args:
        parts: how many.
        dtype: of the numbers.
        room: how many numbers the others hold at least.
    """
    size = SCRATCH + RESULTS
    rows = parts - -room // size
    memory = zeros(rows * size + LINE, dtype)
    first = -memory.ctypes.data % LINE // memory.itemsize
    return memory[first : first + rows * size].reshape(rows, size)


def room_for_panels(rows: int, columns: int) -> int:
    """Return how many numbers a matrix in panels takes."""
    return rows * (-(-columns // VECTOR) * VECTOR)


def room_in(scratch: Array, parts: int) -> int:
    """Return how many numbers a scratch holds besides what its parts need."""
    return (len(scratch) - parts) * scratch.shape[1]


@compiled
def _width(columns: int, lanes: int) -> int:
    """Return how wide the next panel is, where there are so many columns left."""
    vectors, rest = columns // lanes, columns % lanes
    if rest > (lanes // 2 if HALVES else 0):
        vectors += 1
    if vectors == 0:
        return lanes // 2
    # Four vectors are two tiles of two, which is quicker than three and one.
    return (2 if vectors == 4 else min(WIDEST, vectors)) * lanes


@compiled
def _copy_panels_part(part: int, parts: int, b: Array, out: int) -> None:
    """Copy B to panels at an address, one behind the other, each with all rows."""
    one, size, columns = b.dtype.type(1), b.itemsize, b.shape[1]
    lanes = VECTOR_BYTES // size
    left = number = 0
    while left < columns:
        # Cut as it will be read: `COLUMNS` at a time.
        end = min(columns, (left // COLUMNS + 1) * COLUMNS)
        width = _width(end - left, lanes)
        if number % parts == part:
            for k in range(len(b)):
                at = b.ctypes.data + (k * columns + left) * size
                # Behind half a vector, which is the last, zeros go where the next row will.
                to = out + k * width * size
                for j in range(0, width, lanes):
                    copy_vector(one, columns - left - j, at + j * size, to + j * size)
        out += len(b) * width * size
        left += width
        number += 1


_copy_panels_parts = shared(_copy_panels_part)


@compiled
def copy_panels(team: int, parts: int, scratch: Array, b: Array) -> int:
    """Copy B to panels behind the scratch of the parts; return their address.

    The scratch has to have that much room there: `room_for_panels`.
    """
    out = scratch.ctypes.data + parts * scratch.shape[1] * scratch.itemsize
    _copy_panels_parts(team, parts, (b, out))
    return out


@compiled
def _transpose_panel(
    one: Any, size: int, b: int, step: int, depth: int, columns: int, width: int, out: int
) -> None:
    """Copy `columns` rows of B at an address, `depth` long, to columns of rows so wide."""
    lanes = VECTOR_BYTES // size
    # What is written behind a row lies in the next one, which comes later; and behind the last one,
    # in the panel, whose depth is whole vectors.
    for j in range(0, columns, lanes):
        for k in range(0, depth, lanes):
            transpose(
                one, min(lanes, columns - j) - 1, depth - k, b + (j * step + k) * size, step,
                out + (k * width + j) * size, width,
            )  # fmt: skip


@compiled
def _prefetch(at: int, step: int, begin: int, end: int, length: int) -> None:
    """Ask for some rows, `step` bytes apart and `length` bytes long."""
    for row in range(begin, end):
        for offset in range(0, length, LINE):
            prefetch(at + row * step + offset)


@compiled
def multiply(
    one: Any,
    size: int,
    rows: int,
    columns: int,
    inner: int,
    a: int,
    a_step: int,
    a_transposed: bool,
    b: int,
    b_step: int,
    b_form: int,
    bias: int,
    out: int,
    out_step: int,
    gate: int,
    panel: int,
) -> None:
    """Write op(A) op(B) to `out`; all by address, to be compiled once a type.

    op(A) is (rows, inner), op(B) is (inner, columns). Each matrix is followed by the numbers from
    one of its rows to the next, A by whether it lies there transposed, B by how it is given: panels
    are those of `copy_panels`, from one on. `size` is that of a number in bytes, `one` the number
    1. `bias`, unless it is 0, is added to every row. `gate` is `out` if a ReLU follows; where the
    output of a ReLU lies, if its gradient is meant; else 0. The scratch begins at `panel`.
    """
    lanes = VECTOR_BYTES // size
    nothing = panel + PANEL * size
    if rows == 0:  # there may be fewer than parts
        return
    a_row, a_column = (1, a_step) if a_transposed else (a_step, 1)
    for top in range(0, inner, DEPTH):
        depth = min(DEPTH, inner - top)
        left = 0
        while left < columns:
            width = _width(columns - left, lanes)
            there = min(width, columns - left)
            place = left * b_step + top if b_form == TRANSPOSED else top * b_step + left
            from_b, to_panel = b + place * size, 0
            if b_form == PLAIN:
                to_panel = panel
            elif b_form == TRANSPOSED:
                _transpose_panel(one, size, from_b, b_step, depth, there, width, panel)
                from_b = panel
            else:
                from_b = b + (left * inner + top * width) * size
            # While tiles compute, the memory has time to bring what is copied next.
            right, lower = (left + width, top) if left + width < columns else (0, top + DEPTH)
            place = right * b_step + lower if b_form == TRANSPOSED else lower * b_step + right
            down, across = min(DEPTH, inner - lower), min(WIDEST * lanes, columns - right)
            if b_form == TRANSPOSED:
                down, across = across if down > 0 else 0, down
            elif b_form == PANELS:  # which lie in the order in which they are read
                down = 0
            for i in range(0, rows, ROWS):
                _prefetch(
                    b + place * size, b_step * size, down * i // rows,
                    down * (i + ROWS) // rows, across * size,
                )  # fmt: skip
                here = out + (i * out_step + left) * size
                start, start_row = nothing, 0
                if top:
                    start, start_row = here, out_step
                elif bias:
                    start = bias + left * size
                tile(
                    one, width, depth, min(ROWS, rows - i) - 1, there,
                    a + (i * a_row + top * a_column) * size, a_row, a_column, from_b, b_step,
                    to_panel, start, start_row, here, out_step,
                    gate + here - out if gate and top + depth == inner else 0,
                )  # fmt: skip
                if to_panel:
                    from_b, to_panel = panel, 0
            left += width


@compiled
def cut(number: int, part: int, parts: int, unit: int) -> int:
    """Return where a part of a length begins, at a multiple of the unit."""
    return number if part == parts else number * part // parts // unit * unit


@compiled
def rectangle(part: int, parts: int, rows: int, columns: int) -> Any:
    """Return a part's (top, bottom, left, right) of a product."""
    # By columns as far as they go, so that no panel is copied twice.
    across = max(1, min(parts, columns // LEAST))
    while parts % across:
        across -= 1
    down, along = part // across, part % across
    return (
        cut(rows, down, parts // across, ROWS), cut(rows, down + 1, parts // across, ROWS),
        cut(columns, along, across, VECTOR), cut(columns, along + 1, across, VECTOR),
    )  # fmt: skip


@compiled
def _forward_part(
    part: int, parts: int, scratch: Array, x: Array, w: Array, b: Array, y: Array, rectify: bool
) -> None:
    top, bottom, left, right = rectangle(part, parts, y.shape[0], y.shape[1])
    size, inner, columns = y.itemsize, x.shape[1], y.shape[1]
    out = y.ctypes.data + (top * columns + left) * size
    multiply(
        y.dtype.type(1), size, bottom - top, right - left, inner,
        x.ctypes.data + top * inner * size, inner, False,
        w.ctypes.data + left * size, columns, PLAIN, b.ctypes.data + left * size,
        out, columns, out if rectify else 0, scratch.ctypes.data + part * scratch.shape[1] * size,
    )  # fmt: skip


@compiled
def _weight_gradient_part(
    part: int, parts: int, scratch: Array, x: Array, dy: Array, dw: Array, db: Array
) -> None:
    top, bottom = cut(len(dw), part, parts, ROWS), cut(len(dw), part + 1, parts, ROWS)
    size, inputs, columns = dw.itemsize, dw.shape[0], dw.shape[1]
    multiply(
        dw.dtype.type(1), size, bottom - top, columns, len(x),
        x.ctypes.data + top * size, inputs, True, dy.ctypes.data, columns, PLAIN, 0,
        dw.ctypes.data + top * columns * size, columns, 0,
        scratch.ctypes.data + part * scratch.shape[1] * size,
    )  # fmt: skip
    left, right = cut(len(db), part, parts, VECTOR), cut(len(db), part + 1, parts, VECTOR)
    for j in range(left, right):
        db[j] = dy[0, j]
    for i in range(1, len(dy)):
        for j in range(left, right):
            db[j] += dy[i, j]


@compiled
def _input_gradient_part(
    part: int, parts: int, scratch: Array, dy: Array, w: Array, dx: Array, x: Array, rectified: bool
) -> None:
    top, bottom, left, right = rectangle(part, parts, dx.shape[0], dx.shape[1])
    size, inner, columns = dx.itemsize, dy.shape[1], dx.shape[1]
    place = (top * columns + left) * size
    multiply(
        dx.dtype.type(1), size, bottom - top, right - left, inner,
        dy.ctypes.data + top * inner * size, inner, False,
        w.ctypes.data + left * inner * size, inner, TRANSPOSED, 0,
        dx.ctypes.data + place, columns, x.ctypes.data + place if rectified else 0,
        scratch.ctypes.data + part * scratch.shape[1] * size,
    )  # fmt: skip


_forward_parts = shared(_forward_part)
_weight_gradient_parts = shared(_weight_gradient_part)
_input_gradient_parts = shared(_input_gradient_part)


@compiled
def forward(
    team: int, parts: int, scratch: Array, x: Array, w: Array, b: Array, y: Array, rectify: bool
) -> None:
    """Write x (N, D) times W (D, K) plus b (K,) to y (N, K), or max(0, that)."""
    _forward_parts(team, parts, (scratch, x, w, b, y, rectify))


@compiled
def weight_gradient(
    team: int, parts: int, scratch: Array, x: Array, dy: Array, dw: Array, db: Array
) -> None:
    """Write x^T dy to dW (D, K) and the sum of dy's rows to db (K,)."""
    _weight_gradient_parts(team, parts, (scratch, x, dy, dw, db))


@compiled
def input_gradient(
    team: int, parts: int, scratch: Array, dy: Array, w: Array, dx: Array, x: Array, rectified: bool
) -> None:
    """Write dy (N, K) times W^T to dx (N, D); where x is that of a ReLU, the ReLU's gradient."""
    _input_gradient_parts(team, parts, (scratch, dy, w, dx, x, rectified))
