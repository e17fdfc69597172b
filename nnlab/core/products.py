"""The three products of a linear layer, cut into parts for a team.

    forward          y = x W + b        by rows or columns of y
    weight_gradient  dW = x^T dy        by rows of dW
                     db = sum of dy     by columns
    input_gradient   dx = dy W^T        by rows or columns of dx

A part of a product is one call of the BLAS, which first copies what it multiplies into an order of
its own. A cut by rows makes every thread copy all of W, one by columns all of x: y and dx are cut
so that less is copied twice, and both ways where there are more threads than one way has work for.
All arrays are contiguous and of one type; `gemm` and `wide` are those of `nnlab.core.blas`.
"""

from typing import Any

from nnlab.core.blas import AS_IT_IS, TRANSPOSED, product
from nnlab.jit import compiled
from nnlab.team import shared

Array = Any

# With fewer rows in a part the BLAS would spend its time on copying W, with fewer columns on x.
LEAST = 32
# Columns are cut where a vector of the processor begins.
VECTOR = 16


@compiled
def _multiply(
    gemm: int, wide: int, a: Array, a_code: int, b: Array, b_code: int, out: Array
) -> None:
    """Write op(a) op(b) to `out`; matrices whose rows are contiguous, also parts of larger ones."""
    inner = a.shape[1] if a_code == AS_IT_IS else a.shape[0]
    product(
        gemm, wide, a_code, b_code, out.shape[0], out.shape[1], inner,
        a.ctypes.data, a.strides[0] // a.itemsize, b.ctypes.data, b.strides[0] // b.itemsize,
        out.dtype.type(1), out.ctypes.data, out.strides[0] // out.itemsize,
    )  # fmt: skip


@compiled
def _cut(number: int, part: int, parts: int, unit: int) -> int:
    """Return where a part of a length begins, at a multiple of the unit."""
    return number if part == parts else number * part // parts // unit * unit


@compiled
def _rectangle(part: int, parts: int, rows: int, columns: int, inner: int) -> Any:
    """Return a part's (top, bottom, left, right) of a product with sums of `inner` terms."""
    # W has as many columns as y, x as many rows; where sums are short, there is little to copy.
    by_columns = columns >= rows and inner >= LEAST
    stretches = max(1, min(parts, (columns if by_columns else rows) // LEAST))
    while parts % stretches:
        stretches -= 1
    across = stretches if by_columns else parts // stretches
    down, along = part // across, part % across
    return (
        _cut(rows, down, parts // across, 1), _cut(rows, down + 1, parts // across, 1),
        _cut(columns, along, across, VECTOR), _cut(columns, along + 1, across, VECTOR),
    )  # fmt: skip


@compiled
def _forward_part(
    part: int, parts: int, gemm: int, wide: int, x: Array, w: Array, b: Array, y: Array
) -> None:
    top, bottom, left, right = _rectangle(part, parts, y.shape[0], y.shape[1], w.shape[0])
    out = y[top:bottom, left:right]
    _multiply(gemm, wide, x[top:bottom], AS_IT_IS, w[:, left:right], AS_IT_IS, out)
    for i in range(top, bottom):
        for j in range(left, right):
            y[i, j] += b[j]


@compiled
def _weight_gradient_part(
    part: int, parts: int, gemm: int, wide: int, x: Array, dy: Array, dw: Array, db: Array
) -> None:
    top, bottom = (_cut(len(dw), part, parts, VECTOR), _cut(len(dw), part + 1, parts, VECTOR))
    _multiply(gemm, wide, x[:, top:bottom], TRANSPOSED, dy, AS_IT_IS, dw[top:bottom])
    left, right = (_cut(len(db), part, parts, VECTOR), _cut(len(db), part + 1, parts, VECTOR))
    for j in range(left, right):
        db[j] = dy[0, j]
    for i in range(1, len(dy)):
        for j in range(left, right):
            db[j] += dy[i, j]


@compiled
def _input_gradient_part(
    part: int, parts: int, gemm: int, wide: int, dy: Array, w: Array, dx: Array
) -> None:
    top, bottom, left, right = _rectangle(part, parts, dx.shape[0], dx.shape[1], w.shape[1])
    out = dx[top:bottom, left:right]
    _multiply(gemm, wide, dy[top:bottom], AS_IT_IS, w[left:right], TRANSPOSED, out)


_forward_parts = shared(_forward_part)
_weight_gradient_parts = shared(_weight_gradient_part)
_input_gradient_parts = shared(_input_gradient_part)


@compiled
def forward(
    team: int, parts: int, gemm: int, wide: int, x: Array, w: Array, b: Array, y: Array
) -> None:
    """Write x (N, D) times W (D, K) plus b (K,) to y (N, K)."""
    _forward_parts(team, parts, (gemm, wide, x, w, b, y))


@compiled
def weight_gradient(
    team: int, parts: int, gemm: int, wide: int, x: Array, dy: Array, dw: Array, db: Array
) -> None:
    """Write x^T dy to dW (D, K) and the sum of dy's rows to db (K,)."""
    _weight_gradient_parts(team, parts, (gemm, wide, x, dy, dw, db))


@compiled
def input_gradient(
    team: int, parts: int, gemm: int, wide: int, dy: Array, w: Array, dx: Array
) -> None:
    """Write dy (N, K) times W^T to dx (N, D)."""
    _input_gradient_parts(team, parts, (gemm, wide, dy, w, dx))
