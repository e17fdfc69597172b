"""The same kernels in plain NumPy, for machines without Numba: slower, with the same answers.

Arguments and results are those of `nnlab.neighbors.compiled` and `nnlab.neighbors.keeping`.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]

# 2^24 // 255^2: that many products of bytes add up to an integer below 2^24. float32 holds each of
# them exactly, so a float32 matrix product over so many columns is exact in whatever order (and
# with or without fused multiply-add) the BLAS sums.
EXACT_COLUMNS = 258


def absolute(queries: Bytes, rows: Bytes, out: Integers) -> None:
    """Fill `out` with sums of absolute differences."""
    for i, query in enumerate(queries):
        difference = np.maximum(rows, query) - np.minimum(rows, query)
        out[i] = difference.sum(axis=1, dtype=np.int64)


def products(queries: Bytes, rows: Bytes, out: Integers) -> None:
    """Fill `out` with dot products, by float32 matrix products that are exact."""
    out[...] = 0
    for start in range(0, queries.shape[1], EXACT_COLUMNS):
        part = slice(start, start + EXACT_COLUMNS)
        product = queries[:, part].astype(np.float32) @ rows[:, part].astype(np.float32).T
        out += product.astype(np.int64)


def largest(queries: Bytes, rows: Bytes, out: Integers) -> None:
    """Fill `out` with the largest absolute differences."""
    for i, query in enumerate(queries):
        out[i] = (np.maximum(rows, query) - np.minimum(rows, query)).max(axis=1)


def pack(images: Bytes, out: Bytes, flip: int, sums: Integers, squares: Integers) -> None:
    """Copy the rows into `out` and write each one's sum and sum of squares."""
    out[: len(images), : images.shape[1]] = images ^ np.uint8(flip)
    out[: len(images), images.shape[1] :] = 0
    sums[: len(images)] = images.sum(axis=1, dtype=np.int64)
    squares[: len(images)] = np.square(images, dtype=np.uint16).sum(axis=1, dtype=np.int64)


def squared_distances(products: Integers, query_terms: Integers, row_squares: Integers) -> None:
    """Turn dot products into squared distances, in place."""
    part = products[: len(query_terms), : len(row_squares)]
    part *= -2
    part += query_terms[:, None]
    part += row_squares


def keep_smallest(distances: Any, count: int, first: int, nearest: Any, rows: Integers) -> None:
    """Merge a tile into the k nearest of each query."""
    k = nearest.shape[1]
    distances = distances[: len(nearest), :count]
    better = np.flatnonzero((distances < nearest[:, -1:]).any(axis=1))
    numbers = np.arange(first, first + count)
    every = np.concatenate([nearest[better], distances[better]], axis=1)
    every_row = np.concatenate(
        [rows[better], np.broadcast_to(numbers, (len(better), len(numbers)))], axis=1
    )
    # Stable: what came earlier, with the lower row, stays in front of its equals.
    order = np.argsort(every, axis=1, kind="stable")[:, :k]
    nearest[better] = np.take_along_axis(every, order, axis=1)
    rows[better] = np.take_along_axis(every_row, order, axis=1)


def keep_rows(
    distances: Integers,
    a_numbers: Integers,
    b_numbers: Integers,
    a_nearest: Integers,
    a_rows: Integers,
) -> None:
    """Merge a tile of distances between a and b, in any order, into the k nearest of each a."""
    part = distances[: len(a_numbers), : len(b_numbers)]
    every = np.concatenate([a_nearest, part], axis=1)
    every_row = np.concatenate([a_rows, np.broadcast_to(b_numbers, part.shape)], axis=1)
    order = np.lexsort((every_row, every), axis=1)[:, : a_nearest.shape[1]]
    a_nearest[...] = np.take_along_axis(every, order, axis=1)
    a_rows[...] = np.take_along_axis(every_row, order, axis=1)


def keep_columns(
    distances: Integers,
    a_numbers: Integers,
    b_numbers: Integers,
    b_nearest: Integers,
    b_rows: Integers,
) -> None:
    """Merge the same tile into the k nearest of each b."""
    keep_rows(distances.T, b_numbers, a_numbers, b_nearest, b_rows)


def keep_smallest_angles(
    products: Integers,
    offsets: Integers,
    row_squares: Integers,
    first: int,
    dots: Integers,
    squares: Integers,
    rows: Integers,
) -> None:
    """Merge a tile of dot products into the k nearest by angle, compared in exact integers."""
    k = dots.shape[1]
    products = products[: len(dots), : len(row_squares)]
    similarity = (products + offsets[:, None]) / np.sqrt(row_squares)
    # 2^-48 is far more than the rounding of a float64 cosine; the rest is settled in integers.
    threshold = dots[:, -1:] / np.sqrt(squares[:, -1:]) * (1 - 2.0**-48)
    for i in np.flatnonzero((similarity >= threshold).any(axis=1)):
        kept = [
            (int(dot), int(square), int(row))
            for dot, square, row in zip(dots[i], squares[i], rows[i], strict=True)
            if dot >= 0
        ]
        candidates = np.flatnonzero(similarity[i] >= threshold[i])
        if len(candidates) > 4 * k:  # the first tiles: only those that can be among the k nearest
            limit = np.partition(similarity[i], -k)[-k] * (1 - 2.0**-48)
            candidates = candidates[similarity[i, candidates] >= limit]
        kept += [
            (int(products[i, j] + offsets[i]), int(row_squares[j]), first + int(j))
            for j in candidates
        ]
        kept = sorted(kept, key=functools.cmp_to_key(_by_angle))[:k]
        dots[i, : len(kept)], squares[i, : len(kept)], rows[i, : len(kept)] = zip(
            *kept, strict=True
        )


def _by_angle(a: tuple[int, int, int], b: tuple[int, int, int]) -> int:
    left, right = a[0] ** 2 * b[1], b[0] ** 2 * a[1]
    return (left < right) - (left > right)


def float_absolute(queries: Any, rows: Any, out: Any) -> None:
    """Fill `out` with sums of absolute differences of float64 rows."""
    for i, query in enumerate(queries):
        out[i] = np.abs(rows - query).sum(axis=1)


def float_squares(queries: Any, rows: Any, out: Any) -> None:
    """Fill `out` with sums of squared differences of float64 rows."""
    for i, query in enumerate(queries):
        out[i] = np.square(rows - query).sum(axis=1)


def float_largest(queries: Any, rows: Any, out: Any) -> None:
    """Fill `out` with the largest absolute differences of float64 rows."""
    for i, query in enumerate(queries):
        out[i] = np.abs(rows - query).max(axis=1)
