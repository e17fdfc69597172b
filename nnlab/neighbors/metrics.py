"""The distances between two images: one entry a metric.

With x and y flattened to D pixel values:

    l1      sum |x_i - y_i|              CS231n's first nearest-neighbour classifier
    l2      sqrt(sum (x_i - y_i)^2)
    cosine  1 - x.y / (|x| |y|)          1 where one of them is all zero
    linf    max |x_i - y_i|

A new metric that one of the kernels' products can express is one entry in `METRICS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError


def _same(stored: NDArray[Any]) -> NDArray[Any]:
    return stored


@dataclass(frozen=True)
class Metric:
    """One distance.

    Attributes:
        summary: one line for help and reports.
        product: what a kernel computes for it: ``"absolute"``, ``"products"``, ``"largest"``.
        order: how neighbours are ordered by it: ``"value"`` (the product itself), ``"square"``
            (the squared distance made of products), or ``"angle"``.
        stored: what a search returns: an exact integer on bytes, except for angles.
        distance: turns that into the distance itself.
    """

    summary: str
    product: str
    order: str
    stored: str
    distance: Callable[[NDArray[Any]], NDArray[Any]] = _same


METRICS: dict[str, Metric] = {
    "l1": Metric("sum of absolute differences", "absolute", "value", "distance"),
    "l2": Metric("Euclidean distance", "products", "square", "squared distance", np.sqrt),
    "cosine": Metric("1 - cosine of the angle", "products", "angle", "distance"),
    "linf": Metric("largest absolute difference", "largest", "value", "distance"),
}


def find_metric(name: str) -> Metric:
    """Return the metric of that name.

    Raises:
        InputError: there is none.
    """
    try:
        return METRICS[name]
    except KeyError:
        raise InputError(f"no metric is called '{name}'; known: {', '.join(METRICS)}.") from None
