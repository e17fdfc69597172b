"""Exact search among groups of one set: for each image the k nearest of all other groups.

    for each pair of groups, in blocks:
        for each tile of a x b: distances -> merged into the k nearest of the a's and of the b's

A distance is the same from both ends, so each pair of images is compared once, which halves the
work of searching every group among the others. Images of one group are never compared. Neighbours
come in no particular order of rows here; they are ranked by (distance, row), which gives the same
result as `search`.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab import machine
from nnlab.neighbors.engines import ByteEngine, Nearest, Packed
from nnlab.neighbors.exact_search import (
    BLOCK_BYTES,
    Neighbors,
    Progress,
    Rows,
    one_blas_thread,
    query_blocks,
)
from nnlab.neighbors.metrics import find_metric


def has_mutual_search(images: NDArray[Any], metric: str) -> bool:
    """Say whether `mutual_search` takes these images and this metric."""
    return images.dtype == np.uint8 and find_metric(metric).order != "angle"


def mutual_search(
    images: NDArray[np.uint8],
    groups: Sequence[Rows],
    k: int,
    metric: str,
    *,
    threads: int | None = None,
    level: str | None = None,
    progress: Progress | None = None,
) -> list[Neighbors]:
    """Find each image's k nearest among the images of all other groups.

    Args:
        images: (N, ...); may map a file larger than memory.
        groups: the rows of each group, ascending; the groups without common rows.
        k: how many neighbours, at most the number of images outside the largest group.
        metric: ``l1``, ``l2`` or ``linf``.
        threads: how many to compute with; by default what the machine gives this process.
        level: the kernels to use instead of the processor's best.
        progress: called with (pairs compared, pairs in all).

    Returns:
        The neighbours of each group's images; what `search` returns for the group's rows as
        queries and all others as training rows.
    """
    flat = images.reshape(len(images), -1)
    engine = ByteEngine(find_metric(metric), flat.shape[1], level)
    nearest = [engine.start(len(rows), k) for rows in groups]
    size = max(64, BLOCK_BYTES // engine.row_bytes)
    total = sum(len(a) * len(b) for a, b in combinations(groups, 2))
    done = 0
    stop = threading.Event()
    count = machine.thread_count(threads)
    with ThreadPoolExecutor(count) as pool, one_blas_thread(level):
        try:
            for (a, b), block in _pairs(groups, size):
                rows = groups[b][block]
                packed = engine.pack(flat[rows], queries=False)
                pair = _Pair(
                    engine, flat, groups[a], nearest[a], rows, packed, nearest[b].part(block), stop
                )
                tasks = [pool.submit(pair.scan, part)
                         for part in query_blocks(len(groups[a]), count)]  # fmt: skip
                for task in as_completed(tasks):
                    done += task.result()
                    if progress is not None:
                        progress(done, total)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [Neighbors(engine.distances(found), found.rows) for found in nearest]


def _pairs(groups: Sequence[Rows], size: int) -> list[tuple[tuple[int, int], slice]]:
    """Return every pair of groups with the second one cut into blocks of `size` rows."""
    return [
        ((a, b), slice(start, min(start + size, len(groups[b]))))
        for a, b in combinations(range(len(groups)), 2)
        for start in range(0, len(groups[b]), size)
    ]


class _Pair:
    """The images of one group and a block of another one's, compared once for both sides.

    Args:
        engine: what compares.
        flat: (N, D) all images.
        a_rows: rows of the first group.
        a_nearest: its places.
        b_rows: rows of the block.
        b_packed: the block.
        b_nearest: its places.
        stop: set when it is time to stop.
    """

    def __init__(
        self,
        engine: ByteEngine,
        flat: NDArray[np.uint8],
        a_rows: Rows,
        a_nearest: Nearest,
        b_rows: Rows,
        b_packed: Packed,
        b_nearest: Nearest,
        stop: threading.Event,
    ) -> None:
        self._engine, self._flat, self._stop = engine, flat, stop
        self._a_rows, self._a_nearest = a_rows, a_nearest
        self._b_rows, self._b_packed, self._b_nearest = b_rows, b_packed, b_nearest
        # All threads write to the places of the same b's, each to those of its own a's.
        self._locks = [threading.Lock() for _ in range(0, len(b_rows), engine.tile_rows)]

    def scan(self, block: slice) -> int:
        """Compare some a's with all b's; returns how many pairs."""
        engine, a_rows = self._engine, self._a_rows[block]
        queries = engine.pack(self._flat[a_rows], queries=True)
        mine = self._a_nearest.part(block)
        keep = engine.kernels.keeping
        for columns, tile in engine.tiles(queries, self._b_packed, self._stop.is_set):
            b_rows, theirs = self._b_rows[columns], self._b_nearest.part(columns)
            keep.keep_rows(tile, a_rows, b_rows, mine.keys, mine.rows)
            with self._locks[columns.start // engine.tile_rows]:
                keep.keep_columns(tile, a_rows, b_rows, theirs.keys, theirs.rows)
        return len(a_rows) * len(self._b_rows)
