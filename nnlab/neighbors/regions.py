"""Border and centre of an image, and what each pixel adds to a distance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError


@dataclass(frozen=True)
class Regions:
    """An image cut into an outer ring of about half its pixels, and the rest.

    Attributes:
        width: how many pixels wide the ring is.
        border: (H, W) True in the ring.
    """

    width: int
    border: NDArray[np.bool_]

    @property
    def border_share(self) -> float:
        """The share of the pixels that lies in the ring."""
        return float(self.border.mean())

    def columns(self, channels: int) -> dict[str, NDArray[np.int64] | None]:
        """Return the flattened (H, W, C) values of each region; None for all of them."""
        flat = np.repeat(self.border.ravel(), channels)
        return {
            "all": None,
            "centre": np.flatnonzero(~flat),
            "border": np.flatnonzero(flat),
        }


def halve(height: int, width: int) -> Regions:
    """Cut an image where the ring's share of the pixels comes nearest to one half.

    Raises:
        InputError: the image is too small to have a border and a centre.
    """
    if min(height, width) < 3:
        raise InputError(f"images of {height} x {width} have no border and centre to compare.")
    rings = range(1, (min(height, width) + 1) // 2)
    inner = {ring: (height - 2 * ring) * (width - 2 * ring) for ring in rings}
    ring = min(rings, key=lambda ring: abs(inner[ring] / (height * width) - 0.5))
    border = np.ones((height, width), dtype=bool)
    border[ring : height - ring, ring : width - ring] = False
    return Regions(ring, border)


def pixel_parts(a: NDArray[Any], b: NDArray[Any], metric: str) -> NDArray[Any]:
    """Split the distance of image pairs into what each pixel adds.

    Args:
        a: (n, H, W, C) uint8.
        b: (n, H, W, C) uint8.
        metric: ``l1`` gives |a - b|, ``l2`` (a - b)^2, both exact integers; ``cosine`` half the
            squared difference of the images scaled to length 1; ``linf`` the distance shared
            among the pixels that reach it.

    Returns:
        (n, H, W), summed over channels. Its sum over H and W is the distance (for ``l2`` the
        squared one), exactly for integers.
    """
    if metric == "l1":
        return np.abs(a.astype(np.int64) - b).sum(axis=3)
    if metric == "l2":
        return np.square(a.astype(np.int64) - b).sum(axis=3)
    if metric == "linf":
        size = np.abs(a.astype(np.int64) - b).max(axis=3)
        largest = size.max(axis=(1, 2), keepdims=True)
        reached = size == largest
        return np.asarray(largest * reached / reached.sum(axis=(1, 2), keepdims=True))
    if metric == "cosine":
        return np.asarray(np.square(_unit(a) - _unit(b)).sum(axis=3) / 2)
    raise ValueError(f"no split into pixels for the metric {metric}")


def _unit(images: NDArray[Any]) -> NDArray[np.float64]:
    values = images.astype(np.float64)
    length = np.sqrt(np.square(values).sum(axis=(1, 2, 3), keepdims=True))
    return np.asarray(values / np.where(length > 0, length, 1.0))
