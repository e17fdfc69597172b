"""Lines of text, compressed or not, read a few at a time."""

from collections.abc import Iterator
from pathlib import Path

from nnlab.datasets.compressed import DAMAGE, Content, open_content
from nnlab.errors import FileFormatError

SEPARATORS = (",", "\t", ";")
LONGEST_LINE = 4 * 2**20
# Text may be compressed so far, and no further once it is longer than this.
EXPANSION = 32
FREE_BYTES = 16 * 2**20
GLANCE_BYTES = 2**18


def lines_of(content: Content, path: Path) -> Iterator[tuple[int, str]]:
    """Yield each line with its number; empty ones are passed over.

    Raises:
        FileFormatError: it is no text, has a line that is too long, or was compressed too far.
    """
    number, read = 0, 0
    while raw := content.readline(LONGEST_LINE):
        number += 1
        read += len(raw)
        if len(raw) == LONGEST_LINE:
            raise FileFormatError(f"{path}, line {number} is too long for an image.")
        if read > FREE_BYTES + EXPANSION * content.consumed:
            raise FileFormatError(f"{path} is refused: it holds far more text than its size.")
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise FileFormatError(f"{path}, line {number} is not text in UTF-8.") from error
        if line:
            yield number, line


def separator_of(line: str) -> str:
    """Return what separates the columns of a line; empty if there is only one."""
    counts = {separator: line.count(separator) for separator in SEPARATORS}
    best = max(counts, key=lambda separator: counts[separator])
    return best if counts[best] else ""


def first_lines(path: Path) -> list[str]:
    """Return the first lines of a text, the last one maybe cut; none if it is no text."""
    try:
        with open_content(path) as content:
            head = content.read(GLANCE_BYTES)
        return [line for line in head.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        if error.end >= len(head) - 3 and error.start > 0:  # a sign cut in two
            return head[: error.start].decode("utf-8-sig", "replace").splitlines()
        return []
    except (*DAMAGE, OSError):
        return []
