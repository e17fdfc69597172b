"""Compiled loops of the network core: what NumPy does in several passes, in one.

Each has the same operations in the same order as the NumPy code beside which it stands, so the
answers agree to the last bit (no contraction to fused multiply-adds, no reordering of sums); those
of the losses, which sum and take exponentials, to rounding.
Numbers that scale an array are passed in the array's type. `team` and `parts` are those of
`nnlab.core.workers`.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nnlab.jit import compiled
from nnlab.team import shared

Array = Any

# Rows of a batch lie anywhere in memory: each is asked for while the ones before it are read.
ROWS_AHEAD = 8
CACHE_LINE = 64
# Numbers from which on a second thread is worth its call.
WORTH_SHARING = 8192


@intrinsic
def prefetch(_: Any, address: Any) -> Any:  # noqa: ARG001  (Numba passes its type)
    """Ask for the cache line at an address, without waiting for it (llvm.prefetch)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch.p0", fnty=kind)
        pointer = builder.inttoptr(arguments[0], byte)
        # For reading (0), to keep (3), data (1).
        builder.call(function, [pointer, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(types.intp), generate


@compiled
def rectify(x: Array, out: Array) -> None:
    """Write max(0, x), and NaN for NaN, to a flat array that may be x."""
    zero = x.dtype.type(0)
    for i in range(x.size):
        value = x[i]
        out[i] = zero if value <= zero else value


@compiled
def rectify_gradient(output: Array, dout: Array) -> None:
    """Set dout to 0 where the output of a ReLU is not positive; both flat."""
    zero, one = dout.dtype.type(0), dout.dtype.type(1)
    for i in range(dout.size):
        dout[i] = dout[i] * (one if output[i] > zero else zero)


@compiled
def _relu_part(part: int, parts: int, x: Array, out: Array) -> None:
    begin, end = x.size * part // parts, x.size * (part + 1) // parts
    rectify(x[begin:end], out[begin:end])


@compiled
def _relu_backward_part(part: int, parts: int, output: Array, dout: Array) -> None:
    begin, end = dout.size * part // parts, dout.size * (part + 1) // parts
    rectify_gradient(output[begin:end], dout[begin:end])


@compiled
def _standardize_part(
    part: int, parts: int, pixels: Array, scale: Array, shift: Array, out: Array
) -> None:
    for i in range(len(out) * part // parts, len(out) * (part + 1) // parts):
        row, image = out[i], pixels[i]
        for j in range(row.size):
            row[j] = image[j] * scale[j] + shift[j]


@compiled
def _gather_part(
    part: int, parts: int, images: Array, rows: Array, scale: Array, shift: Array, out: Array
) -> None:
    size, end = images.shape[1], len(rows) * (part + 1) // parts
    for i in range(len(rows) * part // parts, end):
        if i + ROWS_AHEAD < end:
            start = images.ctypes.data + rows[i + ROWS_AHEAD] * size
            for offset in range(0, size, CACHE_LINE):
                prefetch(start + offset)
        row, image = out[i], images[rows[i]]
        for j in range(row.size):
            row[j] = image[j] * scale[j] + shift[j]


_relu_parts, _relu_backward_parts = shared(_relu_part), shared(_relu_backward_part)
_standardize_parts, _gather_parts = shared(_standardize_part), shared(_gather_part)


@compiled
def _team_for(team: int, size: int) -> int:
    return team if size >= WORTH_SHARING else 0


@compiled
def relu(team: int, parts: int, x: Array, out: Array) -> None:
    """Write max(0, x), and NaN for NaN; the arrays are flat and may be the same."""
    _relu_parts(_team_for(team, x.size), parts, (x, out))


@compiled
def relu_backward(team: int, parts: int, output: Array, dout: Array) -> None:
    """Set dout to 0 where the output is not positive; both flat."""
    _relu_backward_parts(_team_for(team, dout.size), parts, (output, dout))


@compiled
def standardize(
    team: int, parts: int, pixels: Array, scale: Array, shift: Array, out: Array
) -> None:
    """Write pixels * scale + shift, by column; pixels (N, D) uint8, scale and shift (D,)."""
    _standardize_parts(_team_for(team, out.size), parts, (pixels, scale, shift, out))


@compiled
def gather(
    team: int, parts: int, images: Array, rows: Array, scale: Array, shift: Array, out: Array
) -> None:
    """Write images[rows] * scale + shift, by column; images (N, D) uint8, contiguous."""
    _gather_parts(_team_for(team, out.size), parts, (images, rows, scale, shift, out))


@compiled
def softmax(
    scores: Array, labels: Array, right_share: Any, each: Any, losses: Array, gradient: Array
) -> None:
    """Write every row's softmax cross-entropy, and its gradient: probabilities minus the target.

    Args:
        scores: (N, C).
        labels: (N,).
        right_share: of the target, what the right class has beyond the others.
        each: what every class has.
        losses: (N,).
        gradient: (N, C).
    """
    zero = scores.dtype.type(0)
    for i in range(scores.shape[0]):
        row, slopes, label = scores[i], gradient[i], labels[i]
        largest = row[0]
        for j in range(1, row.size):
            # A NaN has to show in the loss, as it does in NumPy's maximum.
            if row[j] > largest or row[j] != row[j]:
                largest = row[j]
        below = zero
        for j in range(row.size):
            slopes[j] = row[j] - largest
            below += slopes[j]
        of_target = slopes[label] * right_share + each * below
        total = zero
        for j in range(row.size):
            slopes[j] = np.exp(slopes[j])
            total += slopes[j]
        losses[i] = np.log(total) - of_target
        for j in range(row.size):
            slopes[j] = slopes[j] / total - each
        slopes[label] -= right_share


@compiled
def hinge(scores: Array, labels: Array, delta: Any, losses: Array, gradient: Array) -> None:
    """Write every row's hinge loss, and its slopes by the scores; arrays as in `softmax`."""
    zero, one = scores.dtype.type(0), scores.dtype.type(1)
    for i in range(scores.shape[0]):
        row, label = scores[i], labels[i]
        threshold = row[label] - delta
        violated = total = zero
        for j in range(row.size):
            margin = row[j] - threshold
            inside = margin > zero
            gradient[i, j] = one if inside else zero
            if j != label:
                # Not added if it is 0, but if it is not a number.
                total += zero if margin <= zero else margin
                violated += gradient[i, j]
        losses[i] = total
        gradient[i, label] = -violated


@compiled
def mean(losses: Array) -> float:
    """Return the mean, summed in float64."""
    total = 0.0
    for i in range(losses.size):
        total += losses[i]
    return total / losses.size


@compiled
def count_right(scores: Array, labels: Array) -> int:
    """Count the rows whose largest score, the first of equals, is the label's."""
    right = 0
    for i in range(scores.shape[0]):
        row = scores[i]
        best = 0
        for j in range(1, row.size):
            if row[j] > row[best]:
                best = j
        if best == labels[i]:
            right += 1
    return right
