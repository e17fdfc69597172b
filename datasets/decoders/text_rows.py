"""Images as lines of text: pixels separated by commas or the like, and LIBSVM's sparse rows.

Lines are read in blocks, so that the text of a large file is never in memory as a whole.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.compressed import DAMAGE, open_content
from nnlab.datasets.decoders.arrays import Found, decoded_from
from nnlab.datasets.decoders.containers import MAX_CLAIM
from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions
from nnlab.datasets.decoders.split_files import files_of, recogniser
from nnlab.datasets.decoders.text_lines import EXPANSION, first_lines, lines_of, separator_of
from nnlab.errors import FileFormatError, InputError

LABEL = re.compile(r"^(?:label|class|target|y|digit)$", re.I)
# Fewer columns than this are no pixels of an image.
FEWEST_PIXELS = 16
MOST_PIXELS = 4096 * 4096 * 3
# So much of a line tells whether it is one of LIBSVM's.
GLANCE_SIGNS = 2000
# Lines are turned into numbers in blocks of so many, or so many bytes.
BLOCK_ROWS = 2000
BLOCK_BYTES = 4 * 2**20
# Possessive: what has matched is never tried otherwise, or a damaged line would take for ever.
NUMBER = r"[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?"
NUMBERS = re.compile(rf"\s*+{NUMBER}\s*+$")
SPARSE_LINE = re.compile(rf"\s*+[-+]?\d++(?:\.0*+)?(?:\s++\d++:{NUMBER})++\s*+(?:#.*+)?$")


def is_libsvm(path: Path) -> bool:
    """Whether the first line is a label and numbered values."""
    line = next(iter(first_lines(path)), "")
    if len(line) > GLANCE_SIGNS:  # without the value that is cut
        line = line[:GLANCE_SIGNS].rpartition(" ")[0]
    return SPARSE_LINE.match(line) is not None


def is_pixels(path: Path) -> bool:
    """Whether the first lines are columns enough for an image, numbers below a header at most."""
    lines = first_lines(path)
    separator = separator_of(lines[0]) if lines else ""
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


# Pixels, bytes or float32, and labels.
Rows = tuple[NDArray[Any], NDArray[np.int64]]


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
                pixels, labels = parse(lines_of(content, path), path, options)
        except DAMAGE as error:
            raise FileFormatError(f"{path} is damaged ({error}); get it again.") from error
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
        found[split] = Found(pixels, labels, str(path), str(path))
    return decoded_from(found, str(paths[0]), options.reading)


def _sparse(lines: Iterator[tuple[int, str]], path: Path, options: DecodeOptions) -> Rows:
    rows = _Sparse(path)
    for block in _blocks(lines):
        rows.take(block)
        _tell(options, sum(map(len, rows.labels)))
    width = _full_width(rows.width, options)
    _check_room(sum(map(len, rows.labels)), width, path)
    return rows.dense(width), np.concatenate(rows.labels)


def _blocks(lines: Iterator[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Gather lines that are turned into numbers together."""
    block: list[tuple[int, str]] = []
    size = 0
    for item in lines:
        block.append(item)
        size += len(item[1])
        if len(block) == BLOCK_ROWS or size > BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def _full_width(width: int, options: DecodeOptions) -> int:
    """Add the pixels at the end that are 0 everywhere, and so are never told."""
    if options.reading.shape is not None:
        return max(width, math.prod(options.reading.shape))
    side = math.ceil(math.sqrt(width))
    return side * side if side * side - width < side else width


class _Sparse:
    """Rows of which only some values are told; the others are 0.

    Args:
        path: the file, for messages.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.width = path, 0
        self.labels: list[NDArray[np.int64]] = []
        self._values: list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]] = []

    def take(self, block: Sequence[tuple[int, str]]) -> None:
        """Add lines, each with its number."""
        texts = [line.partition("#")[0].replace(":", " ").split() for _, line in block]
        counts = np.array([len(text) for text in texts])
        where = f"{self.path}, lines {block[0][0]} to {block[-1][0]}"
        try:
            numbers = np.array([item for text in texts for item in text], np.float64)
        except ValueError as error:
            raise FileFormatError(f"{where}: not a label and index:value pairs.") from error
        if (counts % 2 == 0).any():
            raise FileFormatError(f"{where}: not a label and index:value pairs.")
        if not (abs(numbers) < 2**31).all():
            raise FileFormatError(f"{where}: numbers that are not finite, or too large.")
        starts = np.cumsum(counts) - counts
        labels, pairs = numbers[starts], np.delete(numbers, starts).reshape(-1, 2)
        rows = np.repeat(np.arange(len(block)), counts // 2)
        places = pairs[:, 0]
        if (labels % 1 != 0).any():
            raise FileFormatError(f"{where}: labels that are no whole numbers.")
        rising = (np.diff(places) > 0) | (np.diff(rows) > 0)
        if len(places) and (places.min() < 1 or (places % 1 != 0).any() or not rising.all()):
            raise FileFormatError(f"{where}: indices that do not rise from 1.")
        if len(places) and places.max() > MOST_PIXELS:
            raise FileFormatError(f"{where}: more values than an image.")
        self.width = max(self.width, int(places.max(initial=0)))
        self.labels.append(labels.astype(np.int64))
        self._values.append((rows, places.astype(np.int32) - 1, pairs[:, 1].astype(np.float32)))

    def dense(self, width: int) -> NDArray[np.float32]:
        """Return all rows (n, width), with 0 where nothing was told."""
        pixels = np.zeros((sum(map(len, self.labels)), width), np.float32)
        start = 0
        for labels, (rows, places, values) in zip(self.labels, self._values, strict=True):
            pixels[start + rows, places] = values
            start += len(labels)
        return pixels


def _check_room(rows: int, width: int, path: Path) -> None:
    """Refuse rows that are nearly all zeros: a few bytes must not ask for gigabytes."""
    if not rows or not width:
        raise InputError(f"{path} holds no images.")
    if 4 * rows * width > max(MAX_CLAIM, EXPANSION * path.stat().st_size):
        raise FileFormatError(f"{path} is refused: {rows:,} rows of {width:,} values are too many.")


def _dense(lines: Iterator[tuple[int, str]], path: Path, options: DecodeOptions) -> Rows:
    number, first = next(lines, (0, ""))
    separator = separator_of(first)
    if not separator:
        raise FileFormatError(f"{path} has no columns in its first line.")
    names = [name.strip().strip('"') for name in first.split(separator)]
    column, headed = _label_column(names)
    rows = _Rows(path, separator, len(names), column)
    for block in _blocks(lines if headed else itertools.chain([(number, first)], lines)):
        rows.take(block)
        _tell(options, sum(map(len, rows.labels)))
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
        self.pixels: list[NDArray[Any]] = []
        self.labels: list[NDArray[np.int64]] = []

    def take(self, block: Sequence[tuple[int, str]]) -> None:
        """Add lines, each with its number."""
        table = self._numbers(block)
        if self.column is None:
            self.column = _guess_label_column(table, self.path)
        values = table[:, self.column]
        if (values % 1 != 0).any():
            raise FileFormatError(
                f"{self.path} has labels that are no whole numbers, in column {self.column + 1}."
            )
        self.labels.append(values.astype(np.int64))
        pixels = np.delete(table, self.column, axis=1)
        is_bytes = ((pixels >= 0) & (pixels <= 255) & (pixels % 1 == 0)).all()
        self.pixels.append(pixels.astype(np.uint8 if is_bytes else np.float32))

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
        if not (abs(table) < 2**31).all():
            raise FileFormatError(f"{self.path} has numbers that are not finite, or too large.")
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


def _tell(options: DecodeOptions, done: int) -> None:
    if options.progress is not None:
        options.progress(done, 0)
