"""Files that may be gzipped or not: their first bytes tell, not their names."""

import gzip
import io
from pathlib import Path

MAGIC = b"\x1f\x8b"


def is_gzipped(path: Path) -> bool:
    """Whether a file begins as gzip does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def open_content(path: Path) -> io.BufferedIOBase:
    """Open a file for reading its content, uncompressed."""
    return gzip.GzipFile(path, "rb") if is_gzipped(path) else path.open("rb")
