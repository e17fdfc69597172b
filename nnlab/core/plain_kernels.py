"""Steps of a plain network, linear layers with ReLUs between them, in one compiled call.

They do the operations that batches, layers, losses and optimizers do one by one, the same for every
number, so they end with the same bits. What they save is the way back to the interpreter: after a
product has filled the caches, every line of Python is fetched from memory anew. And threads meet
less often where each can go with its own images through several layers.
"""

from typing import Any

import numpy as np

from nnlab.core.descent import descend
from nnlab.core.kernels import count_right, gather, hinge, mean, softmax
from nnlab.core.products import LEAST, cut, forward, input_gradient
from nnlab.core.tiles import ROWS
from nnlab.jit import compiled, inlined
from nnlab.team import shared

Array = Any

# The losses that are compiled, by their names in `nnlab.core.losses`.
LOSSES = ("softmax", "hinge")
# With fewer columns, products are cut by rows.
NARROW = 2 * LEAST


@inlined
def _matrix(flat: Array, begin: int, rows: int, columns: int) -> Array:
    """Return a matrix that lies in a flat array."""
    return flat[begin : begin + rows * columns].reshape(rows, columns)


@inlined
def _pass_forward(
    team: int, parts: int, scratch: Array, top: int, bottom: int, x: Array, widths: Array,
    weights: Array, biases: Array, outputs: Array, theta: Array,
) -> None:  # fmt: skip
    """Write some rows of what every layer returns, one layer behind the other."""
    rows, layers = len(x), len(weights)
    below, begin = x[top:bottom], 0
    for i in range(layers):
        inputs, units = widths[i], widths[i + 1]
        y = _matrix(outputs, begin, rows, units)[top:bottom]
        w, b = _matrix(theta, weights[i], inputs, units), theta[biases[i] : biases[i] + units]
        forward(team, parts, scratch, below, w, b, y, i < layers - 1)
        below, begin = y, begin + rows * units


@inlined
def _of_last(rows: int, widths: Array, outputs: Array) -> Array:
    """Return the last layer's matrix of those that lie one behind the other."""
    return _matrix(outputs, rows * widths[1:-1].sum(), rows, widths[-1])


@compiled
def _pass_rows(
    team: int, parts: int, top: int, bottom: int, scratch: Array, pixels: Array, places: Array,
    scale: Array, shift: Array, x: Array, labels: Array, widths: Array, weights: Array,
    biases: Array, outputs: Array, gradients: Array, loss: int, options: Array, losses: Array,
    theta: Array,
) -> None:  # fmt: skip
    """Do all of a step, with some rows of a batch, that comes before the weights change."""
    rows, layers = len(x), len(weights)
    if places.size:
        gather(team, parts, pixels, places[top:bottom], scale, shift, x[top:bottom])
    _pass_forward(team, parts, scratch, top, bottom, x, widths, weights, biases, outputs, theta)
    scores = _of_last(rows, widths, outputs)[top:bottom]
    dy = _of_last(rows, widths, gradients)[top:bottom]
    if loss == 0:
        softmax(scores, labels[top:bottom], options[0], options[1], losses[top:bottom], dy)
    else:
        hinge(scores, labels[top:bottom], options[0], losses[top:bottom], dy)
    each = theta.dtype.type(1.0 / rows)
    for i in range(len(dy)):
        for j in range(dy.shape[1]):
            dy[i, j] *= each
    begin = rows * widths[1:-1].sum()
    for i in range(layers - 1, 0, -1):
        inputs, units = widths[i], widths[i + 1]
        begin -= rows * inputs
        given = _matrix(outputs, begin, rows, inputs)[top:bottom]
        dx = _matrix(gradients, begin, rows, inputs)[top:bottom]
        w = _matrix(theta, weights[i], inputs, units)
        input_gradient(team, parts, scratch, dy, w, dx, given, True)
        dy = dx


@compiled
def _pass_part(
    part: int, parts: int, scratch: Array, pixels: Array, places: Array, scale: Array,
    shift: Array, x: Array, labels: Array, widths: Array, weights: Array, biases: Array,
    outputs: Array, gradients: Array, loss: int, options: Array, losses: Array, theta: Array,
) -> None:  # fmt: skip
    top, bottom = cut(len(x), part, parts, ROWS), cut(len(x), part + 1, parts, ROWS)
    _pass_rows(
        0, 1, top, bottom, scratch[part : part + 1], pixels, places, scale, shift, x, labels,
        widths, weights, biases, outputs, gradients, loss, options, losses, theta,
    )  # fmt: skip


_pass_parts = shared(_pass_part)


@inlined
def _take_step(
    team: int, scratch: Array, pixels: Array, places: Array, scale: Array, shift: Array, x: Array,
    labels: Array, widths: Array, weights: Array, biases: Array, outputs: Array, gradients: Array,
    loss: int, options: Array, losses: Array, rule: int, theta: Array, state: Array,
    numbers: Array, l2: Any, l1: Any, shrink: Any, average: Array, share: Any, squares: Array,
) -> Any:  # fmt: skip
    """Take a step: forward pass, loss, backward pass and update.

    Args, besides those of `descent.descend`:
        pixels, places, scale, shift: as for `kernels.gather`; no places where `x` is there already.
        x: (N, D) for the images.
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
    if widths[1:].max() < NARROW:
        # Every product would be cut by rows: so each part goes with its own through all of them.
        _pass_parts(team, parts, (
            scratch, pixels, places, scale, shift, x, labels, widths, weights, biases, outputs,
            gradients, loss, options, losses, theta,
        ))  # fmt: skip
    else:
        _pass_rows(
            team, parts, 0, rows, scratch, pixels, places, scale, shift, x, labels, widths,
            weights, biases, outputs, gradients, loss, options, losses, theta,
        )  # fmt: skip
    found = mean(losses), count_right(_of_last(rows, widths, outputs), labels)

    begin = rows * widths[1:].sum()
    for i in range(layers - 1, -1, -1):
        begin -= rows * widths[i + 1]
        given = x if i == 0 else _matrix(outputs, begin - rows * widths[i], rows, widths[i])
        dy = _matrix(gradients, begin, rows, widths[i + 1])
        descend(
            team, scratch, given, dy, weights[i], biases[i], rule, theta, state, numbers, l2, l1,
            shrink, average, share, squares,
        )  # fmt: skip
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
        squares[:] = 0
        found[i, 0], found[i, 1] = _take_step(
            team, scratch, pixels, places[begin:end], scale, shift, x, labels[begin:end], widths,
            weights, biases, outputs, gradients, loss, options, losses, rule, theta, state,
            numbers[i], l2, l1, shrinks[i], average, shares[i], squares,
        )  # fmt: skip
        found[i, 2] = np.sqrt(squares.sum())
        if not (np.isfinite(found[i, 0]) and np.isfinite(found[i, 2])):
            return i + 1
    return len(found)


@compiled
def _write_scores_part(
    part: int, parts: int, scratch: Array, pixels: Array, places: Array, scale: Array,
    shift: Array, x: Array, widths: Array, weights: Array, biases: Array, outputs: Array,
    theta: Array, scores: Array,
) -> None:  # fmt: skip
    first, last = cut(len(places), part, parts, 1), cut(len(places), part + 1, parts, 1)
    own, rows = scratch[part : part + 1], x.shape[1]
    for begin in range(first, last, rows):
        count = min(rows, last - begin)
        few = x[part][:count]
        gather(0, 1, pixels, places[begin : begin + count], scale, shift, few)
        _pass_forward(0, 1, own, 0, count, few, widths, weights, biases, outputs[part], theta)
        scores[begin : begin + count] = _of_last(count, widths, outputs[part])


_write_scores_parts = shared(_write_scores_part)


@compiled
def write_scores(
    team: int, parts: int, scratch: Array, pixels: Array, places: Array, scale: Array,
    shift: Array, x: Array, widths: Array, weights: Array, biases: Array, outputs: Array,
    theta: Array, scores: Array,
) -> None:  # fmt: skip
    """Write the scores of many images; every part goes with some of them through all layers.

    Args, besides those of `take_steps`:
        places: (N,) of the images.
        x: (parts, R, D) for the standardized images that pass together.
        outputs: (parts, R times the sum of what the layers return).
        scores: (N, C).
    """
    _write_scores_parts(team, parts, (
        scratch, pixels, places, scale, shift, x, widths, weights, biases, outputs, theta, scores,
    ))  # fmt: skip
