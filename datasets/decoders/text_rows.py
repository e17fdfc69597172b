"""Images as lines of text: pixels separated by commas or the like, and LIBSVM's sparse rows.

Lines are read in blocks, so that the text of a large file is never in memory as a whole.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.compressed import DAMAGE, open_content
from nnlab.datasets.decoders.arrays import Found, decoded_from
from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions
from nnlab.datasets.decoders.split_files import files_of, recogniser
from nnlab.errors import FileFormatError, InputError

LABEL = re.compile(r"^(?:label|class|target|y|digit)$", re.I)
SEPARATORS = (",", "\t", ";")
# Fewer columns than this are no pixels of an image.
FEWEST_PIXELS = 16
MOST_PIXELS = 4096 * 4096 * 3
BLOCK_ROWS = 2000
LONGEST_LINE = 64 * 2**20
GLANCE_BYTES = 2**18
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
NUMBERS = re.compile(rf"\s*{NUMBER}\s*$")
SPARSE_LINE = re.compile(rf"\s*[-+]?\d+(?:\.0*)?(?:\s+\d+:{NUMBER})+\s*(?:#.*)?$")


def is_libsvm(path: Path) -> bool:
    """Whether the first line is a label and numbered values."""
    line = _first_line(path)
    return len(line) > 2 and SPARSE_LINE.match(line[:2000].rsplit(" ", 1)[0]) is not None


def is_pixels(path: Path) -> bool:
    """Whether the first lines are columns enough for an image, numbers below a header at most."""
    lines = _first_lines(path)
    separator = _separator(lines[0]) if lines else ""
    if not separator or lines[0].count(separator) < FEWEST_PIXELS:
        return False
    # The last line may be cut; a single one may be a header.
    below = lines[1:-1] or lines[-1:]
    fields = below[0].split(separator)[1:-1]
    return bool(fields) and all(NUMBERS.match(field.strip('"')) for field in fields)


recognises_libsvm = recogniser(is_libsvm)
recognises_pixels = recogniser(is_pixels)


def decode_libsvm(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read LIBSVM files: a label, and index:value for each pixel, from 1, that is not 0.

    Raises:
        InputError: a file cannot be read.
        FileFormatError: a line is something else.
    """
    return _decode(paths, options, is_libsvm, _sparse)


def decode_pixels(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read tables of pixels, one image a line, with the label in front, behind, or in the header.

    Raises:
        InputError: a file cannot be read.
        FileFormatError: a line is something else.
    """
    return _decode(paths, options, is_pixels, _dense)


Rows = tuple[NDArray[np.float32], NDArray[np.int64]]


def _decode(
    paths: Sequence[Path],
    options: DecodeOptions,
    is_one: Callable[[Path], bool],
    parse: Callable[[Iterator[tuple[int, str]], Path, DecodeOptions], Rows],
) -> Decoded:
    found: dict[str, Found] = {}
    for split, path in files_of(paths, is_one):
        try:
            with open_content(path) as content:
                pixels, labels = parse(_lines(content, path), path, options)
        except DAMAGE as error:
            raise FileFormatError(f"{path} is damaged ({error}); get it again.") from error
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
        found[split] = Found(pixels, labels, str(path), str(path))
    return decoded_from(found, str(paths[0]), options.reading)


def _lines(content: io.BufferedIOBase, path: Path) -> Iterator[tuple[int, str]]:
    """Yield each line with its number; empty ones are passed over."""
    number = 0
    while raw := content.readline(LONGEST_LINE):
        number += 1
        if len(raw) == LONGEST_LINE:
            raise FileFormatError(f"{path}, line {number} is too long for an image.")
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise FileFormatError(f"{path}, line {number} is not text in UTF-8.") from error
        if line:
            yield number, line


def _sparse(lines: Iterator[tuple[int, str]], path: Path, options: DecodeOptions) -> Rows:
    labels: list[int] = []
    pairs: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
    width = 0 if options.reading.shape is None else int(np.prod(options.reading.shape))
    for number, line in lines:
        label, _, rest = line.partition("#")[0].partition(" ")
        try:
            numbers = np.array(rest.replace(":", " ").split(), np.float64).reshape(-1, 2)
            labels.append(_whole(label))
        except ValueError as error:
            raise FileFormatError(
                f"{path}, line {number} is not a label and index:value pairs."
            ) from error
        places = numbers[:, 0].astype(np.int64)
        if len(places) and (places.min() < 1 or (np.diff(places) <= 0).any()):
            raise FileFormatError(f"{path}, line {number} has indices that do not rise from 1.")
        if len(places) and places[-1] > MOST_PIXELS:
            raise FileFormatError(f"{path}, line {number} has more values than an image.")
        width = max(width, int(places[-1]) if len(places) else 0)
        pairs.append((places - 1, numbers[:, 1].astype(np.float32)))
        _tell(options, len(labels))
    _check_room(len(labels), width, path)
    pixels = np.zeros((len(labels), width), np.float32)
    for row, (places, values) in zip(pixels, pairs, strict=True):
        row[places] = values
    return pixels, np.array(labels, np.int64)


def _check_room(rows: int, width: int, path: Path) -> None:
    """Refuse rows that are nearly all zeros: a few bytes must not ask for gigabytes."""
    if not rows or not width:
        raise InputError(f"{path} holds no images.")
    if 4 * rows * width > max(2**28, 1000 * path.stat().st_size):
        raise FileFormatError(f"{path} is refused: {rows:,} rows of {width:,} values are too many.")


def _dense(lines: Iterator[tuple[int, str]], path: Path, options: DecodeOptions) -> Rows:
    number, first = next(lines, (0, ""))
    separator = _separator(first)
    if not separator:
        raise FileFormatError(f"{path} has no columns in its first line.")
    names = [name.strip().strip('"') for name in first.split(separator)]
    column, headed = _label_column(names)
    rows = _Rows(path, separator, len(names), column)
    block = [] if headed else [(number, first)]
    for item in lines:
        block.append(item)
        if len(block) == BLOCK_ROWS:
            rows.take(block)
            block = []
            _tell(options, sum(map(len, rows.labels)))
    if block:
        rows.take(block)
    if not rows.pixels:
        raise InputError(f"{path} holds no images.")
    return np.concatenate(rows.pixels), np.concatenate(rows.labels)


class _Rows:
    """Lines of one table as numbers, a block at a time.

    Args:
        path: the file, for messages.
        separator: of the columns.
        width: the number of columns.
        column: where the labels stand; None to find out.
    """

    def __init__(self, path: Path, separator: str, width: int, column: int | None) -> None:
        self.path, self.separator, self.width, self.column = path, separator, width, column
        self.pixels: list[NDArray[np.float32]] = []
        self.labels: list[NDArray[np.int64]] = []

    def take(self, block: Sequence[tuple[int, str]]) -> None:
        """Add lines, each with its number."""
        table = self._numbers(block)
        if self.column is None:
            self.column = _guess_label_column(table, self.path)
        values = table[:, self.column]
        whole = np.isfinite(values).all() and (values % 1 == 0).all()
        if not whole or (abs(values) >= 2**31).any():
            raise FileFormatError(
                f"{self.path} has labels that are no whole numbers, in column {self.column + 1}."
            )
        self.labels.append(values.astype(np.int64))
        pixels = np.delete(table, self.column, axis=1)
        if not (abs(pixels) < 2**31).all():
            raise FileFormatError(f"{self.path} has pixels that are no finite numbers.")
        self.pixels.append(pixels.astype(np.float32))

    def _numbers(self, block: Sequence[tuple[int, str]]) -> NDArray[np.float64]:
        for number, line in block:
            columns = line.count(self.separator) + 1
            if columns != self.width:
                raise FileFormatError(
                    f"{self.path}, line {number} has {columns:,} columns, the first one has "
                    f"{self.width:,}."
                )
        text = self.separator.join(line.replace('"', "") for _, line in block)
        try:
            table = np.array(text.split(self.separator), np.float64)
        except ValueError as error:
            raise FileFormatError(
                f"{self.path}, lines {block[0][0]} to {block[-1][0]}: not all columns are numbers."
            ) from error
        return table.reshape(len(block), self.width)


def _label_column(names: Sequence[str]) -> tuple[int | None, bool]:
    """Return the column of the labels, if a header names it, and whether there is a header."""
    named = [index for index, name in enumerate(names) if LABEL.match(name)]
    words = sum(NUMBERS.match(name) is None for name in names)
    headed = bool(named) or 2 * words > len(names)
    return (named[0] if len(named) == 1 else None), headed


def _guess_label_column(table: NDArray[np.float64], path: Path) -> int:
    """Return the first column, which MNIST as CSV has, or the last.

    The last one, if the first holds no whole numbers, or always the same one: the corner of an
    image is the same everywhere more often than its class.
    """
    first, last = table[:, 0], table[:, -1]
    fits = [bool((column % 1 == 0).all()) for column in (first, last)]
    if not any(fits):
        raise FileFormatError(f"{path} has no column of labels, neither the first nor the last.")
    if fits[1] and (not fits[0] or ((first == first[0]).all() and (last != last[0]).any())):
        return table.shape[1] - 1
    return 0


def _whole(text: str) -> int:
    value = float(text)
    if value % 1 or abs(value) >= 2**31:
        raise ValueError(text)
    return int(value)


def _tell(options: DecodeOptions, done: int) -> None:
    if options.progress is not None and done % BLOCK_ROWS == 0:
        options.progress(done, 0)


def _separator(line: str) -> str:
    counts = {separator: line.count(separator) for separator in SEPARATORS}
    best = max(counts, key=lambda separator: counts[separator])
    return best if counts[best] else ""


def _first_lines(path: Path) -> list[str]:
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


def _first_line(path: Path) -> str:
    return next(iter(_first_lines(path)), "")
