"""The compiled distance kernels: a tile of distances between some queries and training rows.

What becomes of a tile is in `nnlab.neighbors.keeping`. Every kernel of bytes fills `out[i, j]`
from the packed bytes of query i and training row j: (Q, W) and (R, W) uint8, contiguous, W a
multiple of 64, the padding zero, Q and R multiples of 4; `..._pairs_...` compute listed pairs
instead. All results are exact integers. The functions release the interpreter's lock and are
cached on disk, so that only the first call on a machine compiles.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from nnlab.jit import compiled
from nnlab.neighbors.intrinsics import (
    absolute_256,
    absolute_512,
    absolute_pair_256,
    absolute_pair_512,
    largest_256,
    largest_512,
    products_256,
    products_512,
    products_vnni,
)

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Reals = NDArray[np.float64]

# Columns that a 32-bit sum of the plain loops takes: 2^14 * 255^2 < 2^31.
CHUNK = 1 << 14


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
def absolute_pairs_avx512(queries: Bytes, rows: Bytes, pairs: Integers, out: Integers) -> None:
    """Fill `out` with the L1 distances of pairs (P, 2) of packed queries and rows."""
    width = queries.shape[1]
    for place in range(len(pairs)):
        absolute_pair_512(
            queries.ctypes.data + pairs[place, 0] * width,
            rows.ctypes.data + pairs[place, 1] * width,
            out.ctypes.data + 8 * place, width, 1,
        )  # fmt: skip


@compiled
def absolute_pairs_avx2(queries: Bytes, rows: Bytes, pairs: Integers, out: Integers) -> None:
    """Fill `out` with the L1 distances of pairs (P, 2) of packed queries and rows."""
    width = queries.shape[1]
    for place in range(len(pairs)):
        absolute_pair_256(
            queries.ctypes.data + pairs[place, 0] * width,
            rows.ctypes.data + pairs[place, 1] * width,
            out.ctypes.data + 8 * place, width, 1,
        )  # fmt: skip


@compiled
def absolute_pairs_generic(queries: Bytes, rows: Bytes, pairs: Integers, out: Integers) -> None:
    """Fill `out` with the L1 distances of pairs (P, 2) of packed queries and rows."""
    for place in range(len(pairs)):
        query, row = pairs[place]
        absolute_generic(
            queries[query : query + 1], rows[row : row + 1], out[place : place + 1].reshape(1, 1)
        )


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
