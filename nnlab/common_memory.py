"""Memory that the ranks of one machine have in common: what one writes there, the others read.

It has no name in any folder and is gone with the last process that uses it, however that one ends.
"""

import contextlib
import ctypes
import mmap
import os
import secrets
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.ranks import Alone

LARGE = 1 << 21  # bytes of a large page; `nnlab.core.memory` says what they are good for
NAME = "nnlab"
TOKEN = 16  # bytes
# Linux's numbers of what Python has no names for.
MAP_FIXED, MADV_COLLAPSE = 0x10, 25


def common_memory(ranks: Alone, size: int) -> NDArray[Any] | None:
    """Return bytes, all zero, in memory that every rank sees; all ranks ask together.

    Args:
        ranks: the processes.
        size: how many bytes, whole large pages.

    Returns:
        The bytes; None, on every rank, where one of them cannot see what another has: on several
        machines, in containers apart, or on a system that is not Linux.
    """
    file, mine = -1, ("", b"")
    if ranks.rank == 0:
        with contextlib.suppress(AttributeError, OSError):
            file = os.memfd_create(NAME)
            os.truncate(file, size)
            mine = f"/proc/{os.getpid()}/fd/{file}", secrets.token_bytes(TOKEN)
            os.pwrite(file, mine[1], 0)
    place, token = ranks.hand_out(mine)
    found = None
    with contextlib.suppress(OSError):
        if ranks.rank:
            file = _open(place, token)
        found = _map(file, size) if file >= 0 and place else None
    everywhere = all(ranks.collect(found is not None))
    if file >= 0:
        os.close(file)  # the mapping stays
    if found is None or not everywhere:
        return None
    memory, space, first = found
    # Small pages become large ones where they are there. Each rank makes some, near itself.
    part = ranks.block(size, LARGE)
    memory[part][::LARGE] = 0
    _enlarge(space, first + part.start, part.stop - part.start)
    if ranks.rank == 0:
        memory[:TOKEN] = 0
    ranks.collect(None)  # nobody goes on before that
    _enlarge(space, first, size)
    return memory


def _open(place: str, token: bytes) -> int:
    """Open the memory of rank 0; -1 if what is there is something else by that name."""
    if not os.readlink(place).startswith(f"/memfd:{NAME} "):
        return -1
    file = os.open(place, os.O_RDWR)
    if os.pread(file, TOKEN, 0) == token:
        return file
    os.close(file)
    return -1


def _map(file: int, size: int) -> tuple[NDArray[Any], mmap.mmap, int]:
    """Return a file's bytes, the mapping that they lie in, and where they begin there.

    They begin at a multiple of a large page, which Python's mmap cannot ask for: they are put into
    the middle of memory that it has got, and go with it.
    """
    space = mmap.mmap(-1, size + LARGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    whole = np.frombuffer(space, np.uint8)
    first = -whole.ctypes.data % LARGE
    place, access = whole.ctypes.data + first, mmap.PROT_READ | mmap.PROT_WRITE
    put = ctypes.CDLL(None, use_errno=True).mmap
    put.restype = ctypes.c_void_p
    put.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    if put(place, size, access, mmap.MAP_SHARED | MAP_FIXED, file, 0) != place:
        raise OSError(ctypes.get_errno(), "mmap")
    return whole[first : first + size], space, first


def _enlarge(space: mmap.mmap, first: int, size: int) -> None:
    # Linux 6.1 and later do it whatever the system's setting for common memory, which is "never"
    # nearly everywhere; else the pages are small, and everything works.
    with contextlib.suppress(OSError):
        if size:
            space.madvise(MADV_COLLAPSE, first, size)
