"""The compiled kernels: tiles of integer distances between bytes, and keeping the k nearest.

Every kernel fills `out[i, j]` from the packed bytes of query i and training row j: (Q, W) and
(R, W) uint8, contiguous, W a multiple of 64, the padding zero, Q and R multiples of 4. All results
are exact integers. The functions release the interpreter's lock and are cached on disk, so that
only the first call on a machine compiles.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.jit import compiled
from nnlab.neighbors.intrinsics import (
    absolute_256,
    absolute_512,
    largest_256,
    largest_512,
    products_256,
    products_512,
    products_vnni,
    smaller_angle,
)

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Reals = NDArray[np.float64]

# Columns that a 32-bit sum of the plain loops takes: 2^14 * 255^2 < 2^31.
CHUNK = 1 << 14
# A float64 cosine is off by less than 4 units of 2^-53; whatever is closer than this to the worst
# kept neighbour is compared in exact integers.
ANGLE_MARGIN = 1 - 2.0**-48


@compiled
def absolute_avx512(queries: Bytes, rows: Bytes, out: Integers) -> None:
    """Fill `out` with sums of absolute differences."""
    width = queries.shape[1]
    for i in range(0, queries.shape[0], 4):
        for j in range(0, rows.shape[0], 4):
            absolute_512(
                queries.ctypes.data + i * width, rows.ctypes.data + j * width,
                out.ctypes.data + 8 * (i * out.shape[1] + j), width, out.shape[1],
            )  # fmt: skip


@compiled
def absolute_avx2(queries: Bytes, rows: Bytes, out: Integers) -> None:
    """Fill `out` with sums of absolute differences."""
    width = queries.shape[1]
    for i in range(0, queries.shape[0], 2):
        for j in range(0, rows.shape[0], 4):
            absolute_256(
                queries.ctypes.data + i * width, rows.ctypes.data + j * width,
                out.ctypes.data + 8 * (i * out.shape[1] + j), width, out.shape[1],
            )  # fmt: skip


@compiled
def absolute_generic(queries: Bytes, rows: Bytes, out: Integers) -> None:
    """Fill `out` with sums of absolute differences.

    LLVM turns exactly this form (32-bit difference, negated below zero) into an instruction for
    sums of absolute differences where the processor has one.
    """
    for i in range(queries.shape[0]):
        for j in range(rows.shape[0]):
            total = 0
            for start in range(0, queries.shape[1], CHUNK):
                query, row = queries[i, start : start + CHUNK], rows[j, start : start + CHUNK]
                part = np.int32(0)
                for column in range(len(query)):
                    difference = np.int32(np.int32(query[column]) - np.int32(row[column]))
                    size = np.int32(-difference) if difference < 0 else difference
                    part = np.int32(part + size)
                total += part
            out[i, j] = total


@compiled
def products_avx512_vnni(queries: Bytes, rows: Bytes, out: Integers) -> None:
    """Fill `out` with dot products of bytes with signed bytes (training rows less 128)."""
    width = queries.shape[1]
    for i in range(0, queries.shape[0], 4):
        for j in range(0, rows.shape[0], 4):
            products_vnni(
                queries.ctypes.data + i * width, rows.ctypes.data + j * width,
                out.ctypes.data + 8 * (i * out.shape[1] + j), width, out.shape[1],
            )  # fmt: skip


@compiled
def products_avx512(queries: Bytes, rows: Bytes, out: Integers) -> None:
    """Fill `out` with dot products."""
    width = queries.shape[1]
    for i in range(0, queries.shape[0], 4):
        for j in range(0, rows.shape[0], 4):
            products_512(
                queries.ctypes.data + i * width, rows.ctypes.data + j * width,
                out.ctypes.data + 8 * (i * out.shape[1] + j), width, out.shape[1],
            )  # fmt: skip


@compiled
def products_avx2(queries: Bytes, rows: Bytes, out: Integers) -> None:
    """Fill `out` with dot products."""
    width = queries.shape[1]
    for i in range(0, queries.shape[0], 2):
        for j in range(0, rows.shape[0], 4):
            products_256(
                queries.ctypes.data + i * width, rows.ctypes.data + j * width,
                out.ctypes.data + 8 * (i * out.shape[1] + j), width, out.shape[1],
            )  # fmt: skip


@compiled
def products_generic(queries: Bytes, rows: Bytes, out: Integers) -> None:
    """Fill `out` with dot products."""
    for i in range(queries.shape[0]):
        for j in range(rows.shape[0]):
            total = 0
            for start in range(0, queries.shape[1], CHUNK):
                query, row = queries[i, start : start + CHUNK], rows[j, start : start + CHUNK]
                part = np.int32(0)
                for column in range(len(query)):
                    product = np.int32(np.int32(query[column]) * np.int32(row[column]))
                    part = np.int32(part + product)
                total += part
            out[i, j] = total


@compiled
def largest_avx512(queries: Bytes, rows: Bytes, out: Integers) -> None:
    """Fill `out` with the largest absolute differences."""
    width = queries.shape[1]
    for i in range(0, queries.shape[0], 4):
        for j in range(0, rows.shape[0], 4):
            largest_512(
                queries.ctypes.data + i * width, rows.ctypes.data + j * width,
                out.ctypes.data + 8 * (i * out.shape[1] + j), width, out.shape[1],
            )  # fmt: skip


@compiled
def largest_avx2(queries: Bytes, rows: Bytes, out: Integers) -> None:
    """Fill `out` with the largest absolute differences."""
    width = queries.shape[1]
    for i in range(0, queries.shape[0], 2):
        for j in range(0, rows.shape[0], 4):
            largest_256(
                queries.ctypes.data + i * width, rows.ctypes.data + j * width,
                out.ctypes.data + 8 * (i * out.shape[1] + j), width, out.shape[1],
            )  # fmt: skip


@compiled
def largest_generic(queries: Bytes, rows: Bytes, out: Integers) -> None:
    """Fill `out` with the largest absolute differences."""
    for i in range(queries.shape[0]):
        query = queries[i]
        for j in range(rows.shape[0]):
            row = rows[j]
            largest = np.uint8(0)
            for column in range(len(query)):
                a, b = query[column], row[column]
                largest = max(largest, np.uint8(max(a, b) - min(a, b)))
            out[i, j] = largest


@compiled
def pack(images: Bytes, out: Bytes, flip: np.uint8, sums: Integers, squares: Integers) -> None:
    """Copy (n, D) bytes into the first n rows of `out`, each combined with `flip` by xor.

    Writes each row's sum and sum of squares; the columns beyond D become zero.
    """
    columns = images.shape[1]
    for i in range(images.shape[0]):
        total = 0
        square = 0
        for start in range(0, columns, CHUNK):
            image = images[i, start : start + CHUNK]
            packed = out[i, start : start + len(image)]
            part = np.int32(0)
            part_square = np.int32(0)
            for column in range(len(image)):
                value = np.int32(image[column])
                part = np.int32(part + value)
                part_square = np.int32(part_square + np.int32(value * value))
                packed[column] = image[column] ^ flip
            total += part
            square += part_square
        sums[i] = total
        squares[i] = square
        out[i, columns:] = 0


@compiled
def squared_distances(products: Integers, query_terms: Integers, row_squares: Integers) -> None:
    """Turn dot products into |q|^2 + |t|^2 - 2 q.t, in place."""
    for i in range(len(query_terms)):
        tile = products[i, : len(row_squares)]
        for j in range(len(tile)):
            tile[j] = query_terms[i] + row_squares[j] - 2 * tile[j]


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


# Sums may be taken in any order (the documented tolerance allows for it), so that they vectorise.
compiled_float = functools.partial(compiled, fastmath={"reassoc", "nsz", "contract"})


@compiled_float
def float_absolute(queries: Reals, rows: Reals, out: Reals) -> None:
    """Fill `out` with sums of absolute differences of float64 rows."""
    for i in range(queries.shape[0]):
        query = queries[i]
        for j in range(rows.shape[0]):
            row = rows[j]
            total = 0.0
            for column in range(len(query)):
                total += abs(query[column] - row[column])
            out[i, j] = total


@compiled_float
def float_squares(queries: Reals, rows: Reals, out: Reals) -> None:
    """Fill `out` with sums of squared differences of float64 rows."""
    for i in range(queries.shape[0]):
        query = queries[i]
        for j in range(rows.shape[0]):
            row = rows[j]
            total = 0.0
            for column in range(len(query)):
                difference = query[column] - row[column]
                total += difference * difference
            out[i, j] = total


@compiled_float
def float_largest(queries: Reals, rows: Reals, out: Reals) -> None:
    """Fill `out` with the largest absolute differences of float64 rows."""
    for i in range(queries.shape[0]):
        query = queries[i]
        for j in range(rows.shape[0]):
            row = rows[j]
            largest = 0.0
            for column in range(len(query)):
                largest = max(largest, abs(query[column] - row[column]))
            out[i, j] = largest
