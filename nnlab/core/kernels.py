"""Compiled loops of the network core: what NumPy does in several passes, in one.

Each has the same operations in the same order as the NumPy code beside which it stands, so the
answers agree to the last bit (no contraction to fused multiply-adds, no reordering of sums).
Numbers that scale an array are passed in the array's type.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nnlab.jit import compiled

Array = Any

# Rows of a batch lie anywhere in memory: each is asked for while the ones before it are read.
ROWS_AHEAD = 8
CACHE_LINE = 64


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
def add_bias(out: Array, bias: Array) -> None:
    """Add b (K,) to every row of (N, K)."""
    for i in range(out.shape[0]):
        row = out[i]
        for j in range(row.size):
            row[j] += bias[j]


@compiled
def relu(x: Array, out: Array) -> None:
    """Write max(0, x), and NaN for NaN; the arrays are flat and may be the same."""
    zero = x.dtype.type(0)
    for i in range(x.size):
        value = x[i]
        out[i] = zero if value <= zero else value


@compiled
def relu_backward(output: Array, dout: Array) -> None:
    """Set dout to 0 where the output is not positive; both flat."""
    zero, one = dout.dtype.type(0), dout.dtype.type(1)
    for i in range(dout.size):
        dout[i] = dout[i] * (one if output[i] > zero else zero)


@compiled
def standardize(pixels: Array, scale: Array, shift: Array, out: Array) -> None:
    """Write pixels * scale + shift, by column; pixels (N, D) uint8, scale and shift (D,)."""
    for i in range(out.shape[0]):
        row, image = out[i], pixels[i]
        for j in range(row.size):
            row[j] = image[j] * scale[j] + shift[j]


@compiled
def gather(images: Array, rows: Array, scale: Array, shift: Array, out: Array) -> None:
    """Write images[rows] * scale + shift, by column; images (N, D) uint8, contiguous."""
    size = images.shape[1]
    for i in range(rows.size):
        if i + ROWS_AHEAD < rows.size:
            start = images.ctypes.data + rows[i + ROWS_AHEAD] * size
            for offset in range(0, size, CACHE_LINE):
                prefetch(start + offset)
        row, image = out[i], images[rows[i]]
        for j in range(row.size):
            row[j] = image[j] * scale[j] + shift[j]


@compiled
def softmax_begin(scores: Array, labels: Array, shifted: Array, of_right: Array) -> None:
    """Write scores minus their row's largest, and of these the right class's apart."""
    for i in range(scores.shape[0]):
        row, below = scores[i], shifted[i]
        largest = row[0]
        for j in range(1, row.size):
            # A NaN has to show in the loss, as it does in NumPy's maximum.
            if row[j] > largest or row[j] != row[j]:
                largest = row[j]
        for j in range(row.size):
            below[j] = row[j] - largest
        of_right[i] = below[labels[i]]


@compiled
def softmax_end(gradient: Array, sums: Array, labels: Array, right_share: Any, each: Any) -> None:
    """Divide exponentials by their row's sum and subtract the target."""
    for i in range(gradient.shape[0]):
        row, total = gradient[i], sums[i]
        for j in range(row.size):
            row[j] = row[j] / total - each
        row[labels[i]] -= right_share


@compiled
def hinge(scores: Array, labels: Array, delta: Any, margins: Array, gradient: Array) -> None:
    """Write the margins, 0 for the right class, and the slopes by the scores."""
    zero, one = scores.dtype.type(0), scores.dtype.type(1)
    for i in range(scores.shape[0]):
        row, label = scores[i], labels[i]
        threshold = row[label] - delta
        violated = zero
        for j in range(row.size):
            margin = row[j] - threshold
            inside = margin > zero
            margins[i, j] = zero if margin <= zero else margin
            gradient[i, j] = one if inside else zero
            if inside and j != label:
                violated += one
        margins[i, label] = zero
        gradient[i, label] = -violated


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


@compiled
def penalize(theta: Array, grad: Array, l2: Any, l1: Any, shrink: Any) -> None:
    """Add l2 * theta and l1 * sign(theta) to the gradient, then multiply theta by `shrink`."""
    for i in range(theta.size):
        weight = theta[i]
        sign = np.sign(weight) * l1
        grad[i] = (grad[i] + weight * l2) + sign
        theta[i] = weight * shrink


@compiled
def sgd(theta: Array, grad: Array, rate: Any) -> None:
    """Theta -= rate g."""
    for i in range(theta.size):
        theta[i] = theta[i] - grad[i] * rate


@compiled
def momentum(theta: Array, grad: Array, velocity: Array, factor: Any, rate: Any) -> None:
    """V = mu v + g; theta -= rate v."""
    for i in range(theta.size):
        v = velocity[i] * factor + grad[i]
        velocity[i] = v
        theta[i] = theta[i] - v * rate


@compiled
def nesterov(theta: Array, grad: Array, velocity: Array, factor: Any, rate: Any) -> None:
    """V = mu v + g; theta -= rate (mu v + g)."""
    for i in range(theta.size):
        g = grad[i]
        v = velocity[i] * factor + g
        velocity[i] = v
        theta[i] = theta[i] - (v * factor + g) * rate


@compiled
def adagrad(theta: Array, grad: Array, squares: Array, epsilon: Any, rate: Any) -> None:
    """S += g^2; theta -= rate g / (sqrt(s) + eps)."""
    for i in range(theta.size):
        g = grad[i]
        s = squares[i] + g * g
        squares[i] = s
        theta[i] = theta[i] - g / (np.sqrt(s) + epsilon) * rate


@compiled
def rmsprop(
    theta: Array, grad: Array, squares: Array, keep: Any, take: Any, epsilon: Any, rate: Any
) -> None:
    """S = keep s + take g^2; theta -= rate g / (sqrt(s) + eps)."""
    for i in range(theta.size):
        g = grad[i]
        s = squares[i] * keep + g * g * take
        squares[i] = s
        theta[i] = theta[i] - g / (np.sqrt(s) + epsilon) * rate


@compiled
def adam(
    theta: Array,
    grad: Array,
    first: Array,
    second: Array,
    keep1: Any,
    take1: Any,
    keep2: Any,
    take2: Any,
    inverse_root: Any,
    epsilon: Any,
    scale: Any,
) -> None:
    """M and v, and theta -= scale m / (sqrt(v) inverse_root + eps)."""
    for i in range(theta.size):
        g = grad[i]
        v = second[i] * keep2 + g * g * take2
        second[i] = v
        m = first[i] * keep1 + g * take1
        first[i] = m
        theta[i] = theta[i] - m / (np.sqrt(v) * inverse_root + epsilon) * scale
