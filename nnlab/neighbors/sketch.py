"""Bounds from sketches of images, by which an exact search skips what cannot be among the nearest.

The sketch of an image holds the mean, rounded down, of every RUN values in a row. For a run with
the sums A and B of two images, sum |a_i - b_i| >= |A - B|, and since rounding down moves each mean
by less than 1, |A - B| > RUN (|mean a - mean b| - 1). So for L1 distances

    distance >= RUN (S - F)         S: sum of absolute differences of the two sketches of F means

This is the bound of the piecewise aggregate approximation (Keogh et al., "Dimensionality reduction
for fast similarity search in large time series databases", 2001) for L1 and for means in a byte.
A sketch is RUN times shorter than its image, and is compared by the same kernels; what the bound
does not rule out goes to `absolute_pairs_...` in `nnlab.neighbors.compiled`.
"""

import numpy as np
from numpy.typing import NDArray

from nnlab.jit import compiled

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]

RUN = 16


@compiled
def draw(values: Bytes, out: Bytes) -> None:
    """Write the sketches of packed images (n, W) to (n, W / RUN or more); the rest becomes 0."""
    means = values.shape[1] // RUN
    for i in range(values.shape[0]):
        image = values[i]
        for place in range(means):
            total = np.int32(0)
            for column in range(RUN):
                total = np.int32(total + np.int32(image[RUN * place + column]))
            out[i, place] = total // RUN
        out[i, means:] = 0


@compiled
def list_possible(
    sums: Integers, count: int, slack: int, nearest: Integers, pairs: Integers
) -> int:
    """List the pairs of a tile that may be among the nearest.

    Args:
        sums: (Q or more, `count` or more) S of query and row.
        count: the training rows in the tile.
        slack: F.
        nearest: (Q, k) L1 distances, ascending; empty places hold the largest number.
        pairs: (P, 2) places for their queries and rows, written in the order of the rows.

    Returns:
        How many there are; if more than P, the list is not complete.
    """
    found = 0
    for i in range(nearest.shape[0]):
        tile, worst = sums[i, :count], nearest[i, nearest.shape[1] - 1]
        hits = 0
        for j in range(len(tile)):  # without branches, so that it takes many at once
            hits += RUN * (tile[j] - slack) < worst
        if hits == 0:
            continue
        if found + hits > len(pairs):
            return found + hits
        for j in range(len(tile)):
            # A row as far as the worst kept one has the higher number: it stays out.
            if RUN * (tile[j] - slack) < worst:
                pairs[found, 0], pairs[found, 1] = i, j
                found += 1
    return found
