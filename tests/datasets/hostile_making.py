"""The table of files that are made to harm, and what several of them are made of."""

import bz2
import gzip
import io
import lzma
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

MEGA = 2**20


@dataclass(frozen=True)
class Hostile:
    """A file that is made to harm.

    Attributes:
        make: writes it into a folder and returns its path.
        reason: what the one line says, a pattern: refused for another reason, a file does not try
            what it is for.
        long: making or refusing it takes seconds.
    """

    make: Callable[[Path], Path]
    reason: str
    long: bool = False


MAKERS: dict[str, Hostile] = {}


def hostile(reason: str, long: bool = False):
    """Enter a function that makes such a file into the table."""

    def enter(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
        MAKERS[make.__name__] = Hostile(make, reason, long)
        return make

    return enter


@cache
def picture() -> bytes:
    """A small picture."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, "PNG")
    return stream.getvalue()


def zeros(kind: str) -> bytes:
    """64 MB of zeros, compressed."""
    return {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}[kind](bytes(64 * MEGA))


def compressed(kind: str, data: bytes) -> bytes:
    return {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}[kind](data)


@cache
def deflated(copies: int) -> bytes:
    """A raw deflate stream of so many times 16 MB of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    segment = packer.compress(bytes(16 * MEGA)) + packer.flush(zlib.Z_FULL_FLUSH)
    return segment * copies + zlib.compressobj(9, zlib.DEFLATED, -15).flush()


def raw_zip(path: Path, name: str, data: bytes, size: int, entries: int = 1) -> Path:
    """Write a zip by hand: `entries` names for the same data, each claiming `size` bytes."""
    fields = (20, 0, 8, 0, 0, 0, len(data), size)
    names = [name.format(index).encode() for index in range(entries)]
    content = struct.pack("<4s5H3I2H", b"PK\3\4", *fields, len(names[0]), 0) + names[0] + data
    start = len(content)
    for item in names:
        content += (
            struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, *fields, len(item), 0, 0, 0, 0, 0, 0) + item
        )
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, entries, entries, len(content) - start, start, 0)
    path.write_bytes(content + end)
    return path
