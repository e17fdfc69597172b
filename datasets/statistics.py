"""Mean, deviation and range of images, exactly and in one pass.

Pixels are counted in a histogram a channel: sums of integers are exact whatever the order, so the
same images give the same figures, and range and deviation need no second pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Statistics:
    """Figures of a set of images, in the units of a pixel, 0..255.

    Attributes:
        mean_image: (H, W, C) float64.
        channel_mean: (C,) float64.
        channel_std: (C,) float64, of the population (divided by the number of pixels).
        low: the smallest value.
        high: the largest.
    """

    mean_image: NDArray[np.float64]
    channel_mean: NDArray[np.float64]
    channel_std: NDArray[np.float64]
    low: int
    high: int


class Measurement:
    """Takes images block by block and gives their figures at the end.

    Args:
        shape: (H, W, C).
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self._total = np.zeros(tuple(shape), np.int64)
        self._histogram = np.zeros((shape[2], 256), np.int64)
        self._count = 0

    def add(self, block: NDArray[np.uint8]) -> None:
        """Take images (n, H, W, C)."""
        self._count += len(block)
        self._total += block.sum(axis=0, dtype=np.int64)
        for channel, counts in enumerate(self._histogram):
            counts += np.bincount(block[..., channel].ravel(), minlength=256)

    def result(self) -> Statistics:
        """Return the figures of all images so far; there must be one at least."""
        values = np.arange(256, dtype=np.float64)
        pixels = self._count * self._total.shape[0] * self._total.shape[1]
        mean = self._histogram @ values / pixels
        seen = np.flatnonzero(self._histogram.sum(axis=0))
        squares = self._histogram * (values - mean[:, None]) ** 2
        return Statistics(
            mean_image=self._total / self._count,
            channel_mean=mean,
            channel_std=np.sqrt(squares.sum(axis=1) / pixels),
            low=int(seen[0]),
            high=int(seen[-1]),
        )
