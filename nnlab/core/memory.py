"""Memory for large arrays, in pages so large that the processor knows where all of them lie.

Vectors of millions of numbers, of which a step reads a piece here and a piece there, lie in
thousands of ordinary pages (4 kB). The processor remembers where some hundreds are; for any other
it has to look first, in a virtual machine in two tables. Linux gives pages of 2 MB to whoever asks.
"""

import mmap
from math import prod
from typing import Any

import numpy as np

from nnlab.core.layer import Array

LARGE = 1 << 21


def zeros(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """Return an array of zeros, in large pages if it fills one and the system has them.

    Args:
        shape: of the array.
        dtype: of its numbers.

    Raises:
        MemoryError: there is not so much memory.
    """
    dtype = np.dtype(dtype)
    size = dtype.itemsize * (shape if isinstance(shape, int) else prod(shape))
    if size < LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros(shape, dtype)
    try:
        memory = mmap.mmap(-1, size + LARGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_HUGEPAGE)
    except (OSError, OverflowError):  # a system without them, or more than there is memory
        return np.zeros(shape, dtype)
    whole = np.frombuffer(memory, np.uint8)
    first = -whole.ctypes.data % LARGE
    return whole[first : first + size].view(dtype).reshape(shape)
