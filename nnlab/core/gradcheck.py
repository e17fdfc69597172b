"""The gradient check: the backward pass against finite differences.

Central differences of fourth order, ``(8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / (12 h)``, in
float64: their own error is near 1e-11 of the loss, far below what a wrong derivative shows.

Relative error of an analytic a and a numerical n: ``|a - n| / max(|a|, |n|, floor)``, where floor
is a thousandth of the largest gradient in the array: below it, rounding is all that is left.

A kink (ReLU at 0, a hinge at its margin) makes a difference across it wrong by nature. Such an
entry is not skipped: the step is halved until both sides agree, and an analytic value between the
slopes on the two sides counts as right, which is what a subgradient is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from nnlab.core.layer import Array
from nnlab.core.losses import Labels, Loss
from nnlab.core.network import Network
from nnlab.core.penalties import Penalty
from nnlab.randomness import generator

STEP = 1e-3
SMALLEST_STEP = 1e-6
FLOOR = 1e-3
AGREEMENT = 1e-7


@dataclass(frozen=True)
class Check:
    """The result for one array.

    Attributes:
        name: which array: ``0_linear/W``, or ``input``.
        shape: its shape.
        checked: how many entries were compared.
        worst: the largest relative error.
        place: the index of that entry.
        analytic: its derivative by the backward pass.
        numerical: its derivative by differences.
        kinks: how many entries had a kink within the first step.
    """

    name: str
    shape: tuple[int, ...]
    checked: int
    worst: float
    place: tuple[int, ...]
    analytic: float
    numerical: float
    kinks: int

    @property
    def passed(self) -> bool:
        """Whether the largest relative error is at most 1e-7."""
        return self.worst <= AGREEMENT


def check_array(
    name: str,
    loss: Callable[[], float],
    values: Array,
    analytic: Array,
    entries: int | None = None,
    seed: int = 0,
) -> Check:
    """Compare the derivatives of a loss by an array with differences.

    Args:
        name: for the result.
        loss: computes the loss from the current content of `values`.
        values: float64, any shape; entries are changed and put back.
        analytic: the derivatives to check, of the same shape.
        entries: how many, chosen at random; None for all.
        seed: of that choice.
    """
    flat, derivatives = values.reshape(-1), analytic.reshape(-1)
    if not np.shares_memory(flat, values):
        raise ValueError("values must be contiguous: differences are taken in place")
    chosen = np.arange(flat.size)
    if entries is not None and entries < flat.size:
        chosen = np.sort(generator(seed, "gradcheck").choice(flat.size, entries, replace=False))
    floor = max(FLOOR * float(np.max(np.abs(derivatives), initial=0.0)), 1e-8)
    worst, place, numbers, kinks = -1.0, 0, (0.0, 0.0), 0
    for index in chosen:
        expected = float(derivatives[index])
        numerical, kinked = _difference(loss, flat, int(index), expected, floor)
        error = abs(expected - numerical) / max(abs(expected), abs(numerical), floor)
        kinks += kinked
        if not error <= worst:  # a NaN is the worst of all
            worst, place, numbers = error, int(index), (expected, numerical)
    where = tuple(int(i) for i in np.unravel_index(place, values.shape))
    return Check(name, values.shape, len(chosen), worst, where, *numbers, kinks)


def _difference(
    loss: Callable[[], float], flat: Array, index: int, expected: float, floor: float
) -> tuple[float, bool]:
    """Return the numerical derivative and whether a kink was near."""
    centre = flat[index]

    def at(offset: float) -> float:
        flat[index] = centre + offset
        return loss()

    step = widest = STEP * max(1.0, abs(centre))
    first = 0.0
    try:
        while True:
            far_left, left, right, far_right = at(-2 * step), at(-step), at(step), at(2 * step)
            numerical = (8 * (right - left) - (far_right - far_left)) / (12 * step)
            error = abs(expected - numerical) / max(abs(expected), abs(numerical), floor)
            if step == widest:
                first = numerical
            # Rounding grows as the step shrinks, so the smaller step has to earn its place.
            if error <= AGREEMENT or step < SMALLEST_STEP:
                break
            step /= 2
        if error <= AGREEMENT:
            return numerical, step < widest
        middle = at(0.0)
    finally:
        flat[index] = centre
    sides = sorted(((middle - left) / step, (right - middle) / step))
    apart = sides[1] - sides[0] > 1e-3 * max(abs(sides[0]), abs(sides[1]), floor)
    if apart and sides[0] - floor * 1e-3 <= expected <= sides[1] + floor * 1e-3:
        return expected, True
    return first, False


def check_network(
    network: Network,
    loss: Loss,
    x: Array,
    labels: Labels,
    penalty: Penalty | None = None,
    entries: int | None = None,
    seed: int = 0,
) -> Iterator[Check]:
    """Check every parameter of a network, in layer order, as a training step uses it.

    Args:
        network: in float64.
        loss: its loss.
        x: (N, D) float64 images, as the network expects them.
        labels: (N,).
        penalty: part of the loss that is checked.
        entries: how many entries of each array, chosen at random; None for all.
        seed: of that choice.

    Raises:
        ValueError: the network is not in float64.
    """
    if network.dtype != np.float64:
        raise ValueError("a gradient check needs float64; in float32 rounding hides the error")
    penalty = penalty or Penalty()
    network.begin_step(0, 0)
    running = network.running.copy()

    def total() -> float:
        data_loss, _ = loss(network.forward(x, training=True), labels)
        return data_loss + penalty.value(network.theta[: network.penalized])

    _, dscores = loss(network.forward(x, training=True), labels)
    analytic = network.backward(dscores).copy()
    end = network.penalized
    penalty.add_gradient(network.theta[:end], analytic[:end], np.empty(end))
    gradients = dict(network.named_parameters(analytic))
    for name, values in network.named_parameters():
        yield check_array(name, total, values, gradients[name], entries, seed)
    network.running[...] = running
