"""A step of a plain network, linear layers with ReLUs between them, in one compiled call.

Its parts are those that layers, losses and optimizers call one by one, in the same order, so it
ends with the same bits. What it saves is the way back to the interpreter between them: after a
product has filled the caches, every line of Python is fetched from memory anew.
"""

from typing import Any

from nnlab.core.descent import descend
from nnlab.core.kernels import count_right, hinge, mean, softmax
from nnlab.core.products import forward, input_gradient
from nnlab.jit import compiled

Array = Any

# The losses that are compiled, by their names in `nnlab.core.losses`.
LOSSES = ("softmax", "hinge")


@compiled
def _matrix(flat: Array, begin: int, rows: int, columns: int) -> Array:
    """Return a matrix that lies in a flat array."""
    return flat[begin : begin + rows * columns].reshape(rows, columns)


@compiled
def take_step(
    team: int, scratch: Array, x: Array, labels: Array, widths: Array, weights: Array,
    biases: Array, outputs: Array, gradients: Array, loss: int, options: Array, losses: Array,
    rule: int, theta: Array, state: Array, numbers: Array, l2: Any, l1: Any, shrink: Any,
    average: Array, share: Any, squares: Array,
) -> Any:  # fmt: skip
    """Take a step: forward pass, loss, backward pass and update.

    Args, besides those of `descent.descend`:
        x: (N, D) images.
        labels: (N,).
        widths: (L + 1,) D and what each of the L layers returns.
        weights: (L,) where their W begin in theta.
        biases: (L,) where their b do.
        outputs: at least N times the sum of what they return: their outputs, layer by layer.
        gradients: as long; the gradients by them.
        loss: its place in `LOSSES`.
        options: its numbers.
        losses: (N,).

    Returns:
        The mean loss and how many images were classified right.
    """
    rows, layers, parts = len(x), len(weights), squares.size
    below, begin = x, 0
    for i in range(layers):
        inputs, units = widths[i], widths[i + 1]
        y = _matrix(outputs, begin, rows, units)
        w, b = _matrix(theta, weights[i], inputs, units), theta[biases[i] : biases[i] + units]
        forward(team, parts, scratch, below, w, b, y, i < layers - 1)
        below, begin = y, begin + rows * units

    begin -= rows * widths[layers]
    scores, dy = below, _matrix(gradients, begin, rows, widths[layers])
    if loss == 0:
        softmax(scores, labels, options[0], options[1], losses, dy)
    else:
        hinge(scores, labels, options[0], losses, dy)
    each = theta.dtype.type(1.0 / rows)
    for i in range(rows):
        for j in range(dy.shape[1]):
            dy[i, j] *= each
    found = mean(losses), count_right(scores, labels)

    for i in range(layers - 1, -1, -1):
        inputs, units = widths[i], widths[i + 1]
        given, dx = x, dy
        if i:
            begin -= rows * inputs
            given, dx = (
                _matrix(outputs, begin, rows, inputs),
                _matrix(gradients, begin, rows, inputs),
            )
            # By the weights as they were.
            w = _matrix(theta, weights[i], inputs, units)
            input_gradient(team, parts, scratch, dy, w, dx, given, True)
        descend(
            team, scratch, given, dy, weights[i], biases[i], rule, theta, state, numbers, l2, l1,
            shrink, average, share, squares,
        )  # fmt: skip
        dy = dx
    return found
