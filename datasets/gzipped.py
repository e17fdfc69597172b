"""Files that may be gzipped or not: their first bytes tell, not their names."""

import gzip
import io
from pathlib import Path

MAGIC = b"\x1f\x8b"


def open_content(path: Path) -> io.BufferedIOBase:
    """Open a file for reading its content, uncompressed."""
    with path.open("rb") as file:
        zipped = file.read(len(MAGIC)) == MAGIC
    return gzip.GzipFile(path, "rb") if zipped else path.open("rb")
