"""Compiled loops that merge distances, a tile or listed pairs, into the k nearest of each image.

Nearer comes first, then the lower row. Empty places hold the largest number (for angles a dot
product of -1). The functions release the interpreter's lock and are cached on disk.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.jit import compiled
from nnlab.neighbors.intrinsics import smaller_angle

Integers = NDArray[np.int64]

# A float64 cosine is off by less than 4 units of 2^-53; whatever is closer than this to the worst
# kept neighbour is compared in exact integers.
ANGLE_MARGIN = 1 - 2.0**-48


@compiled
def keep_smallest(
    distances: NDArray[Any], count: int, first: int, nearest: NDArray[Any], rows: Integers
) -> None:
    """Merge a tile into the k nearest of each query.

    Args:
        distances: (Q or more, `count` or more); what is beyond is padding. Tiles come in the order
            of their rows.
        count: the training rows in the tile.
        first: the number of its first row.
        nearest: (Q, k) distances, ascending; empty places hold the largest number.
        rows: (Q, k) their row numbers. Of equal distances the lower row comes first.
    """
    k = nearest.shape[1]
    for i in range(nearest.shape[0]):
        tile = distances[i, :count]
        worst = nearest[i, k - 1]
        hits = 0
        for j in range(len(tile)):  # without branches, so that it takes many at once
            hits += tile[j] < worst
        if hits == 0:
            continue
        for j in range(len(tile)):
            distance = tile[j]
            if distance < worst:
                place = k - 1
                while place > 0 and nearest[i, place - 1] > distance:
                    nearest[i, place] = nearest[i, place - 1]
                    rows[i, place] = rows[i, place - 1]
                    place -= 1
                nearest[i, place] = distance
                rows[i, place] = first + j
                worst = nearest[i, k - 1]


@compiled
def insert(nearest: NDArray[Any], rows: Integers, distance: Any, row: int) -> None:
    """Insert one neighbour into (k,) nearest ones, if it belongs there.

    They are ascending by distance and then by row, in whatever order they come.
    """
    place = len(nearest) - 1
    if nearest[place] == distance and rows[place] < row:
        return
    while place > 0 and (
        nearest[place - 1] > distance or (nearest[place - 1] == distance and rows[place - 1] > row)
    ):
        nearest[place] = nearest[place - 1]
        rows[place] = rows[place - 1]
        place -= 1
    nearest[place] = distance
    rows[place] = row


@compiled
def keep_pairs(
    pairs: Integers, distances: Integers, first: int, nearest: Integers, rows: Integers
) -> None:
    """Merge listed pairs into the k nearest of each query.

    Args:
        pairs: (P, 2) queries and rows.
        distances: (P,).
        first: the number of row 0.
        nearest: (Q, k) distances, ascending; empty places hold the largest number.
        rows: (Q, k) their row numbers.
    """
    last = nearest.shape[1] - 1
    for place in range(len(pairs)):
        query, row = pairs[place]
        if distances[place] < nearest[query, last]:
            insert(nearest[query], rows[query], distances[place], first + row)


@compiled
def keep_rows(
    distances: Integers,
    a_numbers: Integers,
    b_numbers: Integers,
    a_nearest: Integers,
    a_rows: Integers,
) -> None:
    """Merge a tile of distances between a and b into the k nearest of each a.

    Args:
        distances: (A or more, B or more); what is beyond is padding.
        a_numbers: (A,) row numbers.
        b_numbers: (B,) row numbers; tiles may come in any order.
        a_nearest: (A, k) distances, ascending; empty places hold the largest number.
        a_rows: (A, k) their row numbers.
    """
    last = a_nearest.shape[1] - 1
    for i in range(len(a_numbers)):
        tile = distances[i, : len(b_numbers)]
        worst = a_nearest[i, last]
        hits = 0
        for j in range(len(tile)):
            hits += tile[j] <= worst
        if hits > 0:
            for j in range(len(tile)):
                if tile[j] <= a_nearest[i, last]:
                    insert(a_nearest[i], a_rows[i], tile[j], b_numbers[j])


@compiled
def keep_columns(
    distances: Integers,
    a_numbers: Integers,
    b_numbers: Integers,
    b_nearest: Integers,
    b_rows: Integers,
) -> None:
    """Merge the same tile into the k nearest of each b; arguments as in `keep_rows`."""
    last = b_nearest.shape[1] - 1
    worst = b_nearest[:, last].copy()
    for i in range(len(a_numbers)):
        tile = distances[i, : len(b_numbers)]
        hits = 0
        for j in range(len(tile)):
            hits += tile[j] <= worst[j]
        if hits > 0:
            for j in range(len(tile)):
                if tile[j] <= worst[j]:
                    insert(b_nearest[j], b_rows[j], tile[j], a_numbers[i])
                    worst[j] = b_nearest[j, last]


@compiled
def keep_smallest_angles(
    products: Integers,
    offsets: Integers,
    row_squares: Integers,
    first: int,
    dots: Integers,
    squares: Integers,
    rows: Integers,
) -> None:
    """Merge a tile of dot products into the k nearest by angle, compared in exact integers.

    Args:
        products: (Q or more, R or more) dot products, less `offsets` of each query.
        offsets: (Q,).
        row_squares: (R,) squared norms of the training rows; 1 in place of 0.
        first: the number of the tile's first row.
        dots: (Q, k) dot products of the nearest; -1 marks an empty place.
        squares: (Q, k) their squared norms.
        rows: (Q, k) their row numbers.
    """
    k = dots.shape[1]
    inverse = 1.0 / np.sqrt(row_squares.astype(np.float64))
    for i in range(dots.shape[0]):
        last = k - 1
        threshold = dots[i, last] / np.sqrt(np.float64(squares[i, last])) * ANGLE_MARGIN
        for j in range(len(row_squares)):
            dot = products[i, j] + offsets[i]
            if dot * inverse[j] < threshold:
                continue
            square = row_squares[j]
            if dots[i, last] >= 0 and not smaller_angle(
                dot, square, dots[i, last], squares[i, last]
            ):
                continue
            place = last
            while place > 0 and (
                dots[i, place - 1] < 0
                or smaller_angle(dot, square, dots[i, place - 1], squares[i, place - 1])
            ):
                dots[i, place] = dots[i, place - 1]
                squares[i, place] = squares[i, place - 1]
                rows[i, place] = rows[i, place - 1]
                place -= 1
            dots[i, place] = dot
            squares[i, place] = square
            rows[i, place] = first + j
            threshold = dots[i, last] / np.sqrt(np.float64(squares[i, last])) * ANGLE_MARGIN
