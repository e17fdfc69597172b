"""How the neighbours of a query elect its class.

``uniform``: one vote each. ``distance``: each neighbour votes with 1 / distance; where neighbours
lie at distance zero, they alone vote, with one vote each (as in scikit-learn). The class with the
most votes wins, of equals the smallest.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError

Weights = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def uniform(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give every neighbour one vote."""
    return np.ones(distances.shape)


def by_distance(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give every neighbour 1 / distance votes, and an exact match all of them."""
    exact = distances == 0
    with np.errstate(divide="ignore"):
        weights = 1.0 / distances
    return np.where(exact.any(axis=1, keepdims=True), exact, weights)


WEIGHTS: dict[str, Weights] = {"uniform": uniform, "distance": by_distance}


def count_votes(
    classes: NDArray[np.int64], distances: NDArray[Any], class_count: int, weights: str
) -> NDArray[np.float64]:
    """Count the votes of each query's neighbours.

    Args:
        classes: (Q, k) the neighbours' classes, from 0.
        distances: (Q, k) their distances, nearest first.
        class_count: K.
        weights: a name in `WEIGHTS`.

    Returns:
        (Q, K) votes. Their argmax is the elected class: NumPy takes the first of equals.

    Raises:
        InputError: an unknown name.
    """
    if weights not in WEIGHTS:
        raise InputError(f"no weights are called '{weights}'; known: {', '.join(WEIGHTS)}.")
    votes = WEIGHTS[weights](np.asarray(distances, dtype=np.float64))
    places = classes + class_count * np.arange(len(classes))[:, None]
    counted: NDArray[Any] = np.bincount(places.ravel(), votes.ravel(), len(classes) * class_count)
    return counted.reshape(len(classes), class_count)
