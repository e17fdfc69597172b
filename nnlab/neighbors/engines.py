"""What a search does with a block of queries and a block of training rows.

    pack(rows)  ->  Packed          bytes (or float64) in the layout that the kernels read
    scan(queries, rows, first, nearest)     distances of the block, merged into the k nearest
    distances(nearest, ...)         what the search returns

`ByteEngine` is exact. `FloatEngine` computes in float64: each distance is off by at most
(D + 2) 2^-53 of itself (for cosine of 1), so two neighbours may change places only where their
distances agree to that many digits.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError
from nnlab.neighbors.levels import best_level, choose, modules_of
from nnlab.neighbors.metrics import Metric

ALIGNMENT = 64  # bytes of a cache line and of the widest vector
GROUP = 4  # a kernel takes queries and rows by so many
TILE_BYTES = 256 * 1024  # training rows of a tile; they stay in the second-level cache
TILE_ROWS = 512
EMPTY = np.iinfo(np.int64).max
# Sketches pay off for rows of so many bytes, and in a tile of whose pairs they leave at most a
# share: a pair alone takes about twice as long as in a whole tile.
SKETCH_FROM = 512
SKETCH_SHARE = 0.3

Stop = Callable[[], bool]


def never() -> bool:
    """Say that nobody asked to stop."""
    return False


@dataclass
class Packed:
    """A block of images as the kernels read them.

    Attributes:
        values: (n rounded up, W).
        count: n, the images in it.
        sums, squares: (n,) sum of pixel values and of their squares; engines leave out what they
            do not need.
        sketches: (n rounded up, F rounded up) of `nnlab.neighbors.sketch`, where they are used.
    """

    values: NDArray[Any]
    count: int
    sums: NDArray[Any]
    squares: NDArray[Any]
    sketches: NDArray[np.uint8] | None = None


@dataclass
class Nearest:
    """The k nearest of each query so far: (Q, k) arrays, nearest first.

    Attributes:
        keys: what orders them: distances, squared distances, or dot products for angles.
        rows: numbers of the training rows.
        squares: squared norms of the training rows, for angles only.
        query_squares: (Q,) squared norms of the queries, for angles only.
    """

    keys: NDArray[Any]
    rows: NDArray[np.int64]
    squares: NDArray[np.int64]
    query_squares: NDArray[np.int64]

    def part(self, block: slice) -> "Nearest":
        """Return views of some queries."""
        return Nearest(
            self.keys[block], self.rows[block], self.squares[block], self.query_squares[block]
        )


class Engine(Protocol):
    """What a search needs of an engine."""

    row_bytes: int

    def start(self, queries: int, k: int) -> Nearest:
        """Return empty places for the k nearest of each query."""

    def pack(self, images: NDArray[Any], queries: bool) -> Packed:
        """Bring (n, D) images into the kernels' layout."""

    def sketch(self, packed: Packed) -> None:
        """Add to a packed block what `scan` may skip rows by."""

    def scan(
        self, queries: Packed, rows: Packed, first: int, nearest: Nearest, stop: Stop = never
    ) -> None:
        """Merge the training rows `first`, `first` + 1, ... into the k nearest."""

    def distances(self, nearest: Nearest) -> NDArray[Any]:
        """Return (Q, k) of what the metric stores."""


def aligned(count: int, width: int, dtype: Any) -> NDArray[Any]:
    """Return an uninitialised (count, width) array that begins at a cache line."""
    size = count * width * np.dtype(dtype).itemsize
    raw = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(count, width)


def _rounded_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


class ByteEngine:
    """Exact distances between uint8 images.

    Args:
        metric: the metric.
        columns: D, the pixel values of an image.
        level: the kernels to take instead of the best ones.
    """

    def __init__(self, metric: Metric, columns: int, level: str | None = None) -> None:
        self.metric = metric
        self.row_bytes = _rounded_up(columns, ALIGNMENT)
        self.kernels = choose(metric.product, self.row_bytes, level)
        self.tile_rows = max(GROUP, min(TILE_ROWS, TILE_BYTES // self.row_bytes) // GROUP * GROUP)
        self._sketching: Any = None
        if self.kernels.fill_pairs is not None and self.row_bytes >= SKETCH_FROM:
            from nnlab.neighbors import sketch

            self._sketching = sketch

    def start(self, queries: int, k: int) -> Nearest:
        """Return empty places for the k nearest of each query."""
        angle = self.metric.order == "angle"
        keys = np.full((queries, k), -1 if angle else EMPTY, dtype=np.int64)
        squares = np.ones((queries, k if angle else 0), dtype=np.int64)
        rows = np.zeros((queries, k), dtype=np.int64)
        return Nearest(keys, rows, squares, np.ones(queries, dtype=np.int64))

    def pack(self, images: NDArray[np.uint8], queries: bool) -> Packed:
        """Bring (n, D) bytes into rows padded with zeros to whole vectors."""
        count = len(images)
        values = aligned(_rounded_up(count, GROUP), self.row_bytes, np.uint8)
        values[count:] = 0
        sums, squares = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        if self.metric.order == "value":
            values[:count, : images.shape[1]] = images
            values[:count, images.shape[1] :] = 0
            return Packed(values, count, sums, squares)
        flip = np.uint8(0 if queries else self.kernels.flip)
        self.kernels.module.pack(images, values, flip, sums, squares)
        return Packed(values, count, sums, squares)

    def sketch(self, packed: Packed) -> None:
        """Add the sketches of packed images, where `scan` makes use of them."""
        if self._sketching is not None:
            means = self.row_bytes // self._sketching.RUN
            packed.sketches = aligned(len(packed.values), _rounded_up(means, ALIGNMENT), np.uint8)
            self._sketching.draw(packed.values, packed.sketches)

    def scan(
        self, queries: Packed, rows: Packed, first: int, nearest: Nearest, stop: Stop = never
    ) -> None:
        """Merge a block of training rows into the k nearest, tile by tile."""
        nearest.query_squares[...] = queries.squares
        space = self._space(queries)
        for block in self._blocks(rows, stop):
            if not self._scan_sketches(queries, rows, block, first, nearest, space):
                self._scan_tile(queries, rows, block, first, nearest, space)

    def _scan_sketches(
        self, queries: Packed, rows: Packed, block: slice, first: int, nearest: Nearest,
        space: NDArray[np.int64],
    ) -> bool:  # fmt: skip
        """Compare what the sketches leave; do nothing and say so if it is too much."""
        fill_pairs = self.kernels.fill_pairs
        if fill_pairs is None or queries.sketches is None or rows.sketches is None:
            return False
        count, slack = block.stop - block.start, self.row_bytes // self._sketching.RUN
        some = slice(block.start, block.start + _rounded_up(count, GROUP))
        sums = space[: len(queries.values) * (some.stop - some.start)]
        sums = sums.reshape(len(queries.values), -1)
        self.kernels.fill(queries.sketches, rows.sketches[some], sums)
        pairs = np.empty((int(SKETCH_SHARE * count * queries.count), 2), dtype=np.int64)
        found = self._sketching.list_possible(sums, count, slack, nearest.keys, pairs)
        if found > len(pairs):
            return False
        pairs, distances = pairs[:found], np.empty(found, dtype=np.int64)
        fill_pairs(queries.values, rows.values[some], pairs, distances)
        self.kernels.keeping.keep_pairs(
            pairs, distances, first + block.start, nearest.keys, nearest.rows
        )
        return True

    def _scan_tile(
        self, queries: Packed, rows: Packed, block: slice, first: int, nearest: Nearest,
        space: NDArray[np.int64],
    ) -> None:  # fmt: skip
        tile, number = self._tile(queries, rows, block, space), first + block.start
        if self.metric.order == "angle":
            self.kernels.keeping.keep_smallest_angles(
                tile, self.offsets(queries), np.maximum(rows.squares[block], 1), number,
                nearest.keys, nearest.squares, nearest.rows,
            )  # fmt: skip
        else:
            count = block.stop - block.start
            self.kernels.keeping.keep_smallest(tile, count, number, nearest.keys, nearest.rows)

    def offsets(self, queries: Packed) -> NDArray[np.int64]:
        """Return what each query's products lack: with flipped rows they are q.(t - 128)."""
        return self.kernels.flip * queries.sums

    def tiles(
        self, queries: Packed, rows: Packed, stop: Stop
    ) -> Iterator[tuple[slice, NDArray[np.int64]]]:
        """Yield some training rows at a time with their tile.

        A tile holds distances (for ``square`` squared ones, for ``angle`` dot products without
        `offsets`) and padding beyond the queries and rows. It is overwritten by the next one.
        """
        space = self._space(queries)
        for block in self._blocks(rows, stop):
            yield block, self._tile(queries, rows, block, space)

    def _space(self, queries: Packed) -> NDArray[np.int64]:
        return np.empty(len(queries.values) * self.tile_rows, dtype=np.int64)

    def _blocks(self, rows: Packed, stop: Stop) -> Iterator[slice]:
        for start in range(0, rows.count, self.tile_rows):
            if stop():
                return
            yield slice(start, min(start + self.tile_rows, rows.count))

    def _tile(
        self, queries: Packed, rows: Packed, block: slice, space: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        count = _rounded_up(block.stop - block.start, GROUP)
        values = rows.values[block.start : block.start + count]
        tile = space[: len(queries.values) * len(values)].reshape(-1, len(values))
        self.kernels.fill(queries.values, values, tile)
        if self.metric.order == "square":
            terms = queries.squares - 2 * self.offsets(queries)
            self.kernels.module.squared_distances(tile, terms, rows.squares[block])
        return tile

    def distances(self, nearest: Nearest) -> NDArray[Any]:
        """Return exact integers, and for angles 1 - cosine in float64, exactly 0 where it is 0."""
        if self.metric.order != "angle":
            return nearest.keys
        query_squares = np.maximum(nearest.query_squares, 1)[:, None]
        lengths = np.sqrt(query_squares.astype(np.float64)) * np.sqrt(nearest.squares)
        cosine = nearest.keys / lengths
        # Within the rounding of 1 the integers decide whether two images are parallel.
        for i, j in np.argwhere(cosine > 1 - 2.0**-48):
            dot, square = int(nearest.keys[i, j]), int(nearest.squares[i, j])
            if dot**2 == square * int(query_squares[i, 0]):
                cosine[i, j] = 1.0
        return np.asarray(np.clip(1.0 - cosine, 0.0, 2.0))


class FloatEngine:
    """Distances between images of real numbers, in float64 and never by an expanded form.

    The cosine distance is half the squared distance of the images scaled to length 1, which keeps
    its digits where the angle is small.

    Args:
        metric: the metric.
        columns: D, the pixel values of an image.
        level: the kernels to take instead of the best ones.
    """

    def __init__(self, metric: Metric, columns: int, level: str | None = None) -> None:
        self.metric = metric
        self.row_bytes = 8 * columns
        module, self.keeping = modules_of(best_level(level))
        name = {"absolute": "float_absolute", "largest": "float_largest"}
        self.fill = getattr(module, name.get(metric.product, "float_squares"))

    def start(self, queries: int, k: int) -> Nearest:
        """Return empty places for the k nearest of each query."""
        nothing = np.zeros((queries, 0), dtype=np.int64)
        rows = np.zeros((queries, k), dtype=np.int64)
        return Nearest(np.full((queries, k), np.inf), rows, nothing, nothing)

    def pack(self, images: NDArray[Any], queries: bool) -> Packed:  # noqa: ARG002
        """Bring (n, D) numbers into float64, for angles scaled to length 1 (or 0)."""
        values = np.ascontiguousarray(images, dtype=np.float64)
        if not np.isfinite(values).all():
            raise InputError("the images hold values that are not finite (NaN or infinity).")
        squares = np.ones(len(values))
        if self.metric.order == "angle":
            largest = np.abs(values).max(axis=1, keepdims=True, initial=0.0)
            values = values / np.where(largest > 0, largest, 1.0)
            lengths = np.sqrt(np.square(values).sum(axis=1))
            values = values / np.where(lengths > 0, lengths, 1.0)[:, None]
            squares = (lengths > 0).astype(np.float64)
        return Packed(values, len(values), squares, squares)

    def sketch(self, packed: Packed) -> None:
        """Every pair is compared in full."""

    def scan(
        self, queries: Packed, rows: Packed, first: int, nearest: Nearest, stop: Stop = never
    ) -> None:
        """Merge a block of training rows into the k nearest, tile by tile."""
        for start in range(0, rows.count, TILE_ROWS):
            if stop():
                return
            block = slice(start, min(start + TILE_ROWS, rows.count))
            tile = np.empty((queries.count, block.stop - block.start))
            self.fill(queries.values, rows.values[block], tile)
            if self.metric.order == "angle":
                tile /= 2
                tile[queries.squares == 0] = 1.0
                tile[:, rows.squares[block] == 0] = 1.0
            count = tile.shape[1]
            self.keeping.keep_smallest(tile, count, first + start, nearest.keys, nearest.rows)

    def distances(self, nearest: Nearest) -> NDArray[Any]:
        """Return float64."""
        return nearest.keys
