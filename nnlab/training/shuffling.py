"""The order in which an epoch sees the images, and where a batch's pixels are read.

``full``    any order of all images: a batch reads rows from all over the data.
``blocks``  for data larger than memory. The file is read in blocks of a megabyte or two, and the
            images of a window of many blocks, held in memory, are mixed. The blocks of a window
            come from everywhere: the file is cut into as many stretches as a window has blocks,
            and of each stretch every window gets one block, by lot. Even of data sorted by class
            each window therefore holds nearly the whole data's share of every class, and reading
            it is one sweep from the beginning of the file to its end.

Both are functions of (seed, epoch, step) alone: any past batch can be made again.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nnlab import machine
from nnlab.mapping import expect, mapping_of, release
from nnlab.randomness import generator
from nnlab.training.images import ImageSet

Rows = NDArray[np.int64]
Pixels = NDArray[np.uint8]

SHUFFLES = ("auto", "full", "blocks")
# So many blocks are mixed at a time: with more of them, blocks become too short for a disk.
WINDOW_BLOCKS = 128
# Rows copied at a time when a window is filled.
COPIED_BYTES = 4 * 2**20
# Data above this share of the memory would push itself out of it.
MEMORY_SHARE = 0.5


def choose_shuffle(wanted: str, images: ImageSet) -> str:
    """Decide what ``auto`` means for these images: ``full``, or ``blocks`` if memory is too small.

    The answer depends on the machine's memory, not on what is free of it just now.
    """
    if wanted != "auto":
        return wanted
    limits = [limit for limit in (machine.memory()[0], machine.cgroup_memory()) if limit]
    size = len(images) * images.flat.shape[1]
    too_large = bool(limits) and size > MEMORY_SHARE * min(limits)
    return "blocks" if too_large and mapping_of(images.images) is not None else "full"


@dataclass(frozen=True)
class Portion:
    """The images of a batch, or of several.

    Attributes:
        pixels: (M, D) the array that holds them.
        places: (n,) where in it.
        rows: (n,) which rows of the data they are.
    """

    pixels: Pixels
    places: Rows
    rows: Rows


class Shuffle(Protocol):
    """What batches need of an order of the images."""

    def portion(self, epoch: int, step: int, most: int = 1) -> Portion:
        """Return the images of a batch, and of those that follow it, up to so many in all.

        There may be fewer of them. The pixels hold until the next call.
        """


class FullShuffle:
    """Every order of all images is equally likely.

    Args:
        images: the training set.
        batch_size: images a step.
        seed: the run's.
    """

    def __init__(self, images: ImageSet, batch_size: int, seed: int) -> None:
        self._images, self._batch_size, self._seed = images, batch_size, seed
        self._pixels = images.flat
        self._epoch, self._order = -1, images.rows

    def portion(self, epoch: int, step: int, most: int = 1) -> Portion:
        """Return the images of batches."""
        if epoch != self._epoch:
            self._order = generator(self._seed, "shuffle", epoch).permutation(self._images.rows)
            self._epoch = epoch
        start = step * self._batch_size
        rows = self._order[start : start + most * self._batch_size]
        return Portion(self._pixels, rows, rows)


@dataclass
class _Window:
    """What is held in memory: positions `first`, `first` + 1, ... of an epoch's order."""

    key: tuple[int, int]
    first: int
    rows: Rows
    pixels: Pixels


class BlockShuffle:
    """Mixes the images of a window of blocks from all over the file.

    While one window trains, the next one is read by a thread.

    Args:
        images: the training set.
        batch_size: images a step.
        seed: the run's.
        window_bytes: how large a window may be; two of them are held.
    """

    def __init__(self, images: ImageSet, batch_size: int, seed: int, window_bytes: int) -> None:
        self._flat = images.flat
        self._rows = np.sort(images.rows)
        self._batch_size, self._seed = batch_size, seed
        count, width = len(self._rows), self._flat.shape[1]
        window = max(batch_size, window_bytes // width)
        self.block_rows = max(1, window // WINDOW_BLOCKS)
        blocks = -(-count // self.block_rows)
        self.windows = -(-count // window)
        self._stretches = -(-blocks // self.windows)
        self._epoch = -1
        self._dealt = np.empty((0, 0), np.int64)
        self._edges = self._starts = np.empty(0, np.int64)
        self._now: _Window | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._ahead: tuple[tuple[int, int], Future[_Window]] | None = None
        self._spare: Pixels | None = None

    def portion(self, epoch: int, step: int, most: int = 1) -> Portion:
        """Return the images of batches, all of one window."""
        self._deal(epoch)
        start = step * self._batch_size
        number = int(np.searchsorted(self._starts, start, side="right")) - 1
        window = self._window(epoch, number)
        size = min(most * self._batch_size, int(self._starts[number + 1]) - start)
        places = np.arange(start - window.first, start - window.first + size)
        return Portion(window.pixels, places, window.rows[places])

    def _deal(self, epoch: int) -> None:
        """Deal the blocks of every stretch to the windows of an epoch."""
        if epoch == self._epoch:
            return
        self._finish_reading()
        rng = generator(self._seed, "shuffle", epoch)
        tickets = np.tile(np.arange(self.windows), (self._stretches, 1))
        first = np.arange(self._stretches)[:, None] * self.windows
        self._dealt = (first + rng.permuted(tickets, axis=1)).T
        begin = np.minimum(self._dealt * self.block_rows, len(self._rows))
        end = np.minimum(begin + self.block_rows, len(self._rows))
        self._edges = np.concatenate([[0], (end - begin).sum(axis=1).cumsum()])
        # A batch belongs to the window in which it begins, with what it needs of the next one.
        starts = -(-self._edges // self._batch_size) * self._batch_size
        self._starts = np.minimum(starts, len(self._rows))
        self._epoch = epoch

    def _order(self, epoch: int, number: int) -> Rows:
        """Return the rows of one window's own blocks, mixed."""
        begin = self._dealt[number] * self.block_rows
        blocks = [self._rows[start : start + self.block_rows] for start in begin]
        rng = generator(self._seed, "shuffle", epoch, number)
        return rng.permutation(np.concatenate(blocks))

    def _window(self, epoch: int, number: int) -> _Window:
        key = (epoch, number)
        if self._now is None or self._now.key != key:
            if self._ahead is not None and self._ahead[0] == key:
                found = self._ahead[1].result()
                self._ahead = None
            else:
                self._finish_reading()
                found = self._read(epoch, number, self._spare)
            self._spare = None if self._now is None else self._now.pixels
            self._now = found
            if number + 1 < self.windows:
                if self._reader is None:
                    self._reader = ThreadPoolExecutor(1, "next images")
                future = self._reader.submit(self._read, epoch, number + 1, self._spare)
                self._ahead = ((epoch, number + 1), future)
        return self._now

    def _finish_reading(self) -> None:
        if self._ahead is not None:
            self._spare = self._ahead[1].result().pixels
            self._ahead = None

    def _read(self, epoch: int, number: int, buffer: Pixels | None) -> _Window:
        """Read the images of all batches that begin in a window, in the order of the file."""
        first, last = int(self._starts[number]), int(self._starts[number + 1])
        parts, reached = [], number
        while reached < self.windows and self._edges[reached] < last:
            low, high = self._edges[reached], self._edges[reached + 1]
            order = self._order(epoch, reached)
            parts.append(order[max(first - low, 0) : min(last, high) - low])
            reached += 1
        rows = np.concatenate(parts) if parts else np.empty(0, np.int64)
        if buffer is None or len(buffer) < len(rows):
            buffer = np.empty((len(rows), self._flat.shape[1]), np.uint8)
        by_place = np.argsort(rows)
        size = max(1, COPIED_BYTES // self._flat.shape[1])
        parts = [by_place[begin : begin + size] for begin in range(0, len(rows), size)]
        copied = np.empty((size, self._flat.shape[1]), np.uint8)
        for places, following in zip(parts, [*parts[1:], by_place[:0]], strict=True):
            self._expect(rows[following])
            # `take` lets the other threads go on while it waits for the disk.
            np.take(self._flat, rows[places], 0, copied[: len(places)], "clip")
            buffer[places] = copied[: len(places)]
        release(self._flat)
        return _Window((epoch, number), first, rows, buffer)

    def _expect(self, rows: Rows) -> None:
        """Let the system begin to read the blocks of these rows."""
        gaps = np.flatnonzero(np.diff(rows) > self.block_rows) + 1
        for piece in np.split(rows, gaps):
            if len(piece):
                expect(self._flat, int(piece[0]), int(piece[-1]) + 1)


def make_shuffle(
    kind: str, images: ImageSet, batch_size: int, seed: int, window_megabytes: int
) -> Shuffle:
    """Build the order that a setting names.

    Args:
        kind: one of `SHUFFLES`.
        images: the training set.
        batch_size: images a step.
        seed: the run's.
        window_megabytes: of ``blocks``: how much is mixed at a time.
    """
    if choose_shuffle(kind, images) == "full":
        return FullShuffle(images, batch_size, seed)
    return BlockShuffle(images, batch_size, seed, window_megabytes * 2**20)
