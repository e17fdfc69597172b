"""Arrays that map a file: which they are, and what the system should do with their pages."""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def mapping_of(array: NDArray[Any]) -> mmap.mmap | None:
    """Return the mapping of the file that an array shows, or None: its values are in memory."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def expect(array: NDArray[Any], first: int, last: int) -> None:
    """Let the system begin to read the rows `first` to `last` - 1 of a mapped array.

    The call does not wait for them. An array in memory is left alone.
    """
    _advise(array[first:last], mmap.MADV_WILLNEED)


def release(array: NDArray[Any]) -> None:
    """Take the pages of a mapped array off this process's account; they are read again on use.

    They stay in the system's cache of files as long as nobody else needs the memory. A mapping
    that can be written is left alone: private changes would be lost.
    """
    mapping = mapping_of(array)
    if mapping is not None and memoryview(mapping).readonly:
        _advise(array, mmap.MADV_DONTNEED)


def _advise(array: NDArray[Any], advice: int) -> None:
    mapping = mapping_of(array)
    if mapping is None or array.nbytes == 0 or not array.flags.c_contiguous:
        return
    start = array.ctypes.data - np.frombuffer(mapping, np.uint8).ctypes.data
    page = start - start % mmap.PAGESIZE
    mapping.madvise(advice, page, start + array.nbytes - page)
