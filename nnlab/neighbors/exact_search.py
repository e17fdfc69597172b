"""Exact search of the k nearest training images, in blocks, with flat memory.

    for each block of training rows (8 MB, read once, from a mapped file if need be):
        pack it, once for all threads, while they still search the block before
        for each block of queries, on all threads:
            for each tile of rows: distances -> merge into the k nearest of each query

L1 distances of bytes come with a proven lower bound from short sketches of the images
(`nnlab.neighbors.sketch`); where it rules out most pairs of a tile, only the others are compared.

Beyond its arguments and its result a search holds two packed blocks of training rows, and a block
of queries and one tile of distances a thread, whatever the sizes of the two sets.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab import machine
from nnlab.errors import InputError
from nnlab.neighbors.engines import ByteEngine, Engine, FloatEngine, Packed
from nnlab.neighbors.levels import best_level
from nnlab.neighbors.metrics import find_metric

BLOCK_BYTES = 8 * 2**20
QUERY_BLOCK = 512

Progress = Callable[[int, int], None]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Neighbors:
    """The k nearest training images of each query, nearest first, then the lower index.

    Attributes:
        distances: (Q, k). On uint8 images exact int64: the distance itself for ``l1`` and
            ``linf``, its *square* for ``l2``; float64 for ``cosine`` and for float images.
        indices: (Q, k) int64, rows of the training set.
    """

    distances: NDArray[Any]
    indices: Rows


def search(
    queries: NDArray[Any],
    training: NDArray[Any],
    k: int,
    metric: str = "l1",
    *,
    query_rows: Rows | None = None,
    training_rows: Rows | None = None,
    columns: Rows | None = None,
    threads: int | None = None,
    level: str | None = None,
    progress: Progress | None = None,
) -> Neighbors:
    """Find the k nearest training images of each query, exactly.

    Args:
        queries: (Q, ...) images; what follows the first axis is flattened.
        training: (N, ...) images of the same shape; may map a file larger than memory.
        k: how many neighbours, from 1 to N.
        metric: a name in `nnlab.neighbors.METRICS`.
        query_rows: search for these rows of `queries` only.
        training_rows: search among these rows of `training` only, ascending.
        columns: compare these of the flattened values only.
        threads: how many to compute with; by default what the machine gives this process.
        level: the kernels to use instead of the processor's best, see `nnlab.neighbors.levels`.
        progress: called now and then with (pairs decided, pairs in all).

    Returns:
        The neighbours; `indices` are rows of `training` in any case.

    Raises:
        InputError: images of two sizes, no images, a k out of range, an unknown metric, or float
            images that are not finite.
    """
    queries, training = _flat(queries), _flat(training)
    _check(queries, training)
    query_count = len(queries) if query_rows is None else len(query_rows)
    row_count = len(training) if training_rows is None else len(training_rows)
    check_k(k, row_count)
    engine = _engine(metric, queries, training, columns, level)
    nearest = engine.start(query_count, k)
    block_rows = max(64, BLOCK_BYTES // engine.row_bytes)
    done, total = 0, query_count * row_count

    def scan(block: slice, rows: Packed, first: int) -> int:
        chosen = engine.pack(_take(queries, query_rows, columns, block), queries=True)
        engine.sketch(chosen)
        engine.scan(chosen, rows, first, nearest.part(block), stop.is_set)
        return chosen.count * rows.count

    def pack(first: int) -> Packed:
        block = slice(first, min(first + block_rows, row_count))
        packed = engine.pack(_take(training, training_rows, columns, block), queries=False)
        engine.sketch(packed)
        return packed

    stop = threading.Event()
    count = machine.thread_count(threads)
    firsts = range(0, row_count, block_rows)
    with (
        ThreadPoolExecutor(count) as pool,
        ThreadPoolExecutor(1) as reader,
        one_blas_thread(level),
    ):
        try:
            ahead = reader.submit(pack, 0)
            for first in firsts:
                rows = ahead.result()
                if first != firsts[-1]:
                    ahead = reader.submit(pack, first + block_rows)
                tasks = [pool.submit(scan, part, rows, first)
                         for part in query_blocks(query_count, count)]  # fmt: skip
                for task in as_completed(tasks):
                    done += task.result()
                    if progress is not None:
                        progress(done, total)
        except BaseException:  # Ctrl-C above all: the threads end with their present tile
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    indices = nearest.rows if training_rows is None else training_rows[nearest.rows]
    return Neighbors(engine.distances(nearest), indices)


def check_k(k: int, available: int) -> None:
    """Raise `InputError` unless there are k training images to find."""
    if k < 1:
        raise InputError(f"k is {k}; it must be at least 1.")
    if k > available:
        raise InputError(f"k is {k}, but there are only {available} training images to find.")


def _flat(images: NDArray[Any]) -> NDArray[Any]:
    images = np.asarray(images)
    if images.ndim < 2:
        raise InputError(f"images of shape {images.shape}: expected (N, height, width, channels).")
    return images.reshape(len(images), -1)


def _check(queries: NDArray[Any], training: NDArray[Any]) -> None:
    for images in (queries, training):
        if images.dtype.kind not in "buif":
            raise InputError(f"images of type {images.dtype} cannot be compared; use numbers.")
    if queries.shape[1] != training.shape[1]:
        raise InputError(
            f"images of {queries.shape[1]} values cannot be compared with training images of "
            f"{training.shape[1]}; resize them alike."
        )
    if queries.shape[1] == 0:
        raise InputError("the images have no pixels.")


def _engine(
    metric: str,
    queries: NDArray[Any],
    training: NDArray[Any],
    columns: Rows | None,
    level: str | None,
) -> Engine:
    found = find_metric(metric)
    width = training.shape[1] if columns is None else len(columns)
    if queries.dtype == np.uint8 and training.dtype == np.uint8:
        return ByteEngine(found, width, level)
    return FloatEngine(found, width, level)


def _take(
    images: NDArray[Any], rows: Rows | None, columns: Rows | None, block: slice
) -> NDArray[Any]:
    taken = images[block] if rows is None else images[rows[block]]
    return taken if columns is None else taken[:, columns]


def query_blocks(count: int, threads: int) -> list[slice]:
    """Cut queries into blocks of about QUERY_BLOCK, as many for each thread."""
    number = max(1, -(-count // (QUERY_BLOCK * threads))) * threads
    edges = np.linspace(0, count, number + 1).astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges) if a < b]


def one_blas_thread(level: str | None) -> AbstractContextManager[object]:
    """Keep the BLAS, which only the NumPy kernels call, from starting threads under ours."""
    if best_level(level) != "numpy":
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")
