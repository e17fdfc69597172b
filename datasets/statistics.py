"""Mean, deviation and range of images, exactly and in one pass.

Pixels are counted in a histogram a channel: sums of integers are exact whatever the order, so the
same images give the same figures, and range and deviation need no second pass.
"""

from collections.abc import Iterable, Sequence
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


def measure_images(blocks: Iterable[NDArray[np.uint8]], shape: Sequence[int]) -> Statistics:
    """Measure images that come in blocks.

    Args:
        blocks: arrays (n, H, W, C), together at least one image.
        shape: (H, W, C).
    """
    height, width, channels = shape
    total = np.zeros((height, width, channels), np.int64)
    histogram = np.zeros((channels, 256), np.int64)
    count = 0
    for block in blocks:
        count += len(block)
        total += block.sum(axis=0, dtype=np.int64)
        for channel in range(channels):
            histogram[channel] += np.bincount(block[..., channel].ravel(), minlength=256)
    values = np.arange(256, dtype=np.float64)
    pixels = count * height * width
    mean = histogram @ values / pixels
    seen = np.flatnonzero(histogram.sum(axis=0))
    return Statistics(
        mean_image=total / count,
        channel_mean=mean,
        channel_std=np.sqrt((histogram * (values - mean[:, None]) ** 2).sum(axis=1) / pixels),
        low=int(seen[0]),
        high=int(seen[-1]),
    )
