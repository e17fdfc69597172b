"""Files that may be compressed or not: their first bytes tell, not their names."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

# What a damaged file of these kinds raises while it is read.
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)

_OPENERS: dict[bytes, Callable[[BinaryIO], object]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
LONGEST_MARK = max(map(len, _OPENERS))


def is_compressed(path: Path) -> bool:
    """Whether a file begins as gzip, bzip2 or xz do."""
    with path.open("rb") as file:
        return file.read(LONGEST_MARK).startswith(tuple(_OPENERS))


def open_content(path: Path) -> "Content":
    """Open a file for reading its content, uncompressed."""
    file = path.open("rb")
    try:
        return Content(content_of(file), file)
    except BaseException:
        file.close()
        raise


def content_of(file: BinaryIO) -> BinaryIO:
    """Return the content, uncompressed, of a file that can be rewound."""
    mark = file.read(LONGEST_MARK)
    file.seek(0)
    for magic, opener in _OPENERS.items():
        if mark.startswith(magic):
            return cast(BinaryIO, opener(file))
    return file


class Content(io.BufferedReader):
    """What is in a file, uncompressed; it closes the file, too."""

    def __init__(self, content: BinaryIO, file: BinaryIO) -> None:
        super().__init__(cast(io.RawIOBase, content), 2**16)
        self._file = file

    @property
    def consumed(self) -> int:
        """Bytes of the file that have been read so far."""
        return self._file.tell()

    def close(self) -> None:
        """Close both."""
        try:
            super().close()
        finally:
            self._file.close()
