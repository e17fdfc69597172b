"""The three products of a linear layer, cut into parts for a team.

    forward          y = x W + b        by rows or columns of y
    weight_gradient  dW = x^T dy        by rows of dW
                     db = sum of dy     by columns
    input_gradient   dx = dy W^T        by rows or columns of dx

A product goes through one panel of B after another, as wide as a tile and so deep that it stays in
the first-level cache while all rows of A pass by:

    for a stretch of the inner dimension:      `DEPTH` long
        for a panel of op(B):                  copied into the order in which tiles read it
            for a tile of rows of op(A):       out += A B, in registers (`nnlab.core.tiles`)

A is read where it lies, unless it is transposed: then blocks of it are copied as well. Every number
of a result is one sum in the order of the inner dimension, so its bits depend neither on how many
parts there are nor on what stands beside it. All arrays are of one type, contiguous. A ReLU behind
or before the layer is computed on the sums before they leave the registers.
"""

from typing import Any

import numpy as np

from nnlab.core.kernels import prefetch
from nnlab.core.tiles import (
    LINE,
    ROWS,
    VECTOR_BYTES,
    WIDEST,
    copy_rows,
    copy_vector,
    tile_1,
    tile_2,
    tile_3,
    transpose,
)
from nnlab.jit import compiled
from nnlab.team import shared

Array = Any

# As deep as a panel may be to stay in a first-level cache of 48 kB; whole vectors of any type.
DEPTH = 192
# Rows of a transposed A that are copied at a time: with a panel they fit the second-level cache.
BLOCK = 24 * ROWS
# Rows of it that are asked for before they are copied.
ROWS_AHEAD = 8
# Columns are cut where a vector begins, whatever its numbers' type.
VECTOR = VECTOR_BYTES // 4
# With fewer columns in a part, its tiles would be narrow ones.
LEAST = 4 * VECTOR
# What a part needs in float32, and at most: a panel, a block, and zeros to begin sums with.
PANEL, PACKED, ZEROS = DEPTH * WIDEST * VECTOR, DEPTH * BLOCK, WIDEST * VECTOR
SCRATCH = PANEL + PACKED + ZEROS
# And behind it a block of results that go no further (`nnlab.core.descent`), so many columns wide.
COLUMNS = 32 * VECTOR
RESULTS = BLOCK * COLUMNS


def scratch(parts: int, dtype: np.dtype[Any]) -> Array:
    """Return work space (parts, S) for the parts of a product, where vectors begin."""
    size = SCRATCH + RESULTS
    memory = np.zeros(parts * size + LINE, dtype)
    first = -memory.ctypes.data % LINE // memory.itemsize
    return memory[first : first + parts * size].reshape(parts, size)


@compiled
def _copy_panel(
    one: Any,
    size: int,
    b: int,
    step: int,
    transposed: bool,
    depth: int,
    columns: int,
    vectors: int,
    out: int,
) -> None:
    """Copy `depth` rows and `columns` columns of op(B) at an address to rows of whole vectors."""
    lanes = VECTOR_BYTES // size
    width = vectors * lanes
    if transposed:
        # What is written behind the last row lies in the panel, whose depth is whole vectors.
        for j in range(0, columns, lanes):
            for k in range(0, depth, lanes):
                transpose(
                    one, min(lanes, columns - j) - 1, depth - k,
                    b + (j * step + k) * size, step, out + (k * width + j) * size, width,
                )  # fmt: skip
    else:
        for k in range(depth):
            for v in range(vectors):
                copy_vector(
                    one, columns - v * lanes, b + k * step * size + v * VECTOR_BYTES,
                    out + (k * vectors + v) * VECTOR_BYTES,
                )  # fmt: skip


@compiled
def _copy_block(one: Any, size: int, a: int, step: int, depth: int, columns: int, out: int) -> None:
    """Copy `depth` rows and `columns` columns of A at an address, tile after tile."""
    # Two tiles at a time use up a cache line; the next ones may lie in as many pages of memory.
    for i in range(0, columns, 2 * ROWS):
        for k in range(depth):
            at = a + (k * step + i) * size
            if k + ROWS_AHEAD < depth:
                prefetch(at + ROWS_AHEAD * step * size)
            copy_rows(one, columns - i, at, out + (i * depth + k * ROWS) * size)
            if columns - i > ROWS:
                copy_rows(
                    one, columns - i - ROWS, at + ROWS * size,
                    out + ((i + ROWS) * depth + k * ROWS) * size,
                )  # fmt: skip


@compiled
def _tile(
    vectors: int,
    one: Any,
    depth: int,
    last: int,
    columns: int,
    a: int,
    a_row: int,
    a_column: int,
    b: int,
    start: int,
    start_row: int,
    out: int,
    out_row: int,
    gate: int,
) -> None:
    if vectors == 3:
        tile_3(
            one, depth, last, columns, a, a_row, a_column, b, start, start_row, out, out_row, gate
        )  # fmt: skip
    elif vectors == 2:
        tile_2(
            one, depth, last, columns, a, a_row, a_column, b, start, start_row, out, out_row, gate
        )  # fmt: skip
    else:
        tile_1(
            one, depth, last, columns, a, a_row, a_column, b, start, start_row, out, out_row, gate
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
    b_transposed: bool,
    bias: int,
    out: int,
    out_step: int,
    gate: int,
    panel: int,
) -> None:
    """Write op(A) op(B) to `out`; all by address, to be compiled once a type.

    op(A) is (rows, inner), op(B) is (inner, columns). Each matrix is followed by the numbers from
    one of its rows to the next, and by whether it lies there transposed. `size` is that of a number
    in bytes, `one` the number 1. `bias`, unless it is 0, is added to every row. `gate` is `out` if
    a ReLU follows; where the output of a ReLU lies, if its gradient is meant; else 0. The scratch
    begins at `panel`.
    """
    lanes = VECTOR_BYTES // size
    packed = panel + PANEL * size
    zeros = packed + PACKED * size
    # There may be fewer rows than parts, and then none in this one.
    stretch = BLOCK if a_transposed else max(1, rows)
    for begin in range(0, rows, stretch):
        end = min(rows, begin + stretch)
        for top in range(0, inner, DEPTH):
            depth = min(DEPTH, inner - top)
            if a_transposed:
                above = a + (top * a_step + begin) * size
                _copy_block(one, size, above, a_step, depth, end - begin, packed)
            left = 0
            while left < columns:
                # Four vectors are two tiles of two, which is quicker than three and one.
                remaining = -(-(columns - left) // lanes)
                vectors = 2 if remaining == 4 else min(WIDEST, remaining)
                width = min(vectors * lanes, columns - left)
                place = left * b_step + top if b_transposed else top * b_step + left
                _copy_panel(
                    one, size, b + place * size, b_step, b_transposed, depth, width, vectors, panel
                )
                # While tiles compute, the memory has time to bring what is copied next.
                right, lower = (left + width, top) if left + width < columns else (0, top + DEPTH)
                place = right * b_step + lower if b_transposed else lower * b_step + right
                down, across = min(DEPTH, inner - lower), min(WIDEST * lanes, columns - right)
                if b_transposed:
                    down, across = across if down > 0 else 0, down
                for i in range(begin, end, ROWS):
                    _prefetch(
                        b + place * size, b_step * size, down * (i - begin) // (end - begin),
                        down * (i - begin + ROWS) // (end - begin), across * size,
                    )  # fmt: skip
                    here = out + (i * out_step + left) * size
                    start, start_row = zeros, 0
                    if top:
                        start, start_row = here, out_step
                    elif bias:
                        start = bias + left * size
                    at, a_row, a_column = packed + (i - begin) * depth * size, 1, ROWS
                    if not a_transposed:
                        at, a_row, a_column = a + (i * a_step + top) * size, a_step, 1
                    _tile(
                        vectors, one, depth, min(ROWS, end - i) - 1, width, at, a_row, a_column,
                        panel, start, start_row, here, out_step,
                        gate + here - out if gate and top + depth == inner else 0,
                    )  # fmt: skip
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
        w.ctypes.data + left * size, columns, False, b.ctypes.data + left * size,
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
        x.ctypes.data + top * size, inputs, True, dy.ctypes.data, columns, False, 0,
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
        w.ctypes.data + left * inner * size, inner, True, 0,
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
