"""Steps of a plain network, linear layers with ReLUs between them, in one compiled call.

Their parts are those that batches, layers, losses and optimizers call one by one, in the same
order, so they end with the same bits. What they save is the way back to the interpreter between
them: after a product has filled the caches, every line of Python is fetched from memory anew.
"""

from typing import Any

import numpy as np

from nnlab.core.descent import descend
from nnlab.core.kernels import count_right, gather, hinge, mean, softmax
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
def _pass_forward(
    team: int, parts: int, scratch: Array, x: Array, widths: Array, weights: Array, biases: Array,
    outputs: Array, theta: Array,
) -> Array:  # fmt: skip
    """Write what every layer returns, one behind the other; return what the last one does."""
    rows, layers = len(x), len(weights)
    below, begin = x, 0
    for i in range(layers):
        inputs, units = widths[i], widths[i + 1]
        y = _matrix(outputs, begin, rows, units)
        w, b = _matrix(theta, weights[i], inputs, units), theta[biases[i] : biases[i] + units]
        forward(team, parts, scratch, below, w, b, y, i < layers - 1)
        below, begin = y, begin + rows * units
    return below


@compiled
def _take_step(
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
    scores = _pass_forward(team, parts, scratch, x, widths, weights, biases, outputs, theta)
    begin = rows * widths[1:layers].sum()
    dy = _matrix(gradients, begin, rows, widths[layers])
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


@compiled
def take_steps(
    team: int, scratch: Array, pixels: Array, places: Array, scale: Array, shift: Array, x: Array,
    labels: Array, widths: Array, weights: Array, biases: Array, outputs: Array, gradients: Array,
    loss: int, options: Array, losses: Array, rule: int, theta: Array, state: Array,
    numbers: Array, l2: Any, l1: Any, shrinks: Array, average: Array, shares: Array,
    squares: Array, found: Array,
) -> int:  # fmt: skip
    """Take S steps of N images, up to one that finds something that is not finite.

    Args, besides those of a step:
        pixels: (M, D) uint8, as `kernels.gather` takes them.
        places: (S N,) of the images in them; (0,) where `x` holds those of the only step.
        scale, shift: (D,) of their standardization.
        x: (N, D) for the standardized images of a step.
        labels: (S N,).
        numbers: (S, ...) those of the rule, step by step.
        shrinks: (S,) what penalized weights are multiplied by.
        shares: (S,) by which the average approaches theta.
        squares: (parts,) free, for sums.
        found: (S, 3) where the mean loss of every step goes, how many images were classified right,
            and the norm of the gradient, penalty included.

    Returns:
        How many steps were taken.
    """
    rows = len(x)
    for i in range(len(found)):
        begin, end = i * rows, (i + 1) * rows
        if places.size:
            gather(team, squares.size, pixels, places[begin:end], scale, shift, x)
        squares[:] = 0
        found[i, 0], found[i, 1] = _take_step(
            team, scratch, x, labels[begin:end], widths, weights, biases, outputs, gradients, loss,
            options, losses, rule, theta, state, numbers[i], l2, l1, shrinks[i], average,
            shares[i], squares,
        )  # fmt: skip
        found[i, 2] = np.sqrt(squares.sum())
        if not (np.isfinite(found[i, 0]) and np.isfinite(found[i, 2])):
            return i + 1
    return len(found)


@compiled
def write_scores(
    team: int, parts: int, scratch: Array, pixels: Array, places: Array, scale: Array,
    shift: Array, x: Array, widths: Array, weights: Array, biases: Array, outputs: Array,
    theta: Array, scores: Array,
) -> None:  # fmt: skip
    """Write the scores of many images, `len(x)` at a time.

    Args, besides those of `take_steps`:
        places: (N,) of the images.
        scores: (N, C).
    """
    rows = len(x)
    for begin in range(0, len(places), rows):
        end = min(begin + rows, len(places))
        few = x[: end - begin]
        gather(team, parts, pixels, places[begin:end], scale, shift, few)
        scores[begin:end] = _pass_forward(
            team, parts, scratch, few, widths, weights, biases, outputs, theta
        )
