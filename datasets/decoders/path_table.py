"""Tables of image files and their labels: a path and a class on each line of a CSV or TSV file.

A header names the columns (path and label, image and class, filename and target, ...; a column
called split, if there is one, says where an image belongs). Without a header the column of paths
is the one whose entries end like image files, and the label is the only other one.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nnlab.datasets.compressed import DAMAGE, open_content
from nnlab.datasets.decode_worker import Job
from nnlab.datasets.decoders.arrays import split_of
from nnlab.datasets.decoders.decoded import MAX_CLASSES, Decoded, DecodeOptions
from nnlab.datasets.decoders.pictures import Wanted, read_chosen
from nnlab.datasets.decoders.split_files import files_of, recogniser
from nnlab.datasets.decoders.text_lines import first_lines, lines_of, separator_of
from nnlab.datasets.rendering import SUFFIXES
from nnlab.errors import FileFormatError, InputError

PATH = re.compile(r"^(?:image|img)?[ _-]?(?:path|file[ _-]?(?:name|path)?|images?|img|id)$", re.I)
LABEL = re.compile(r"^(?:labels?|class(?:[ _-]?name)?|category|target|y)$", re.I)
SPLIT = re.compile(r"^(?:split|set|subset|fold|partition)$", re.I)
MOST_COLUMNS = 100


@dataclass(frozen=True)
class _Columns:
    """Which column holds what; `split` is -1 if none does."""

    path: int
    label: int
    split: int
    headed: bool


@dataclass
class _Split:
    """The images of one split: what the table calls them, where they lie, and their labels."""

    names: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


def is_table(path: Path) -> bool:
    """Whether the first lines name image files."""
    rows = _first_rows(path)
    return bool(rows) and _find_columns(rows) is not None


recognises = recogniser(is_table)


def decode(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read the chosen images of a table, or of one table a split.

    Paths are meant from the folder of the table, unless they are absolute.

    Raises:
        InputError: a file is missing or unreadable, images differ in size, or a label is missing.
        FileFormatError: a line has other columns than the first.
    """
    splits: dict[str, _Split] = {}
    for of_file, path in files_of(paths, is_table):
        try:
            _read(path, of_file, splits, options.skip_bad)
        except (*DAMAGE, csv.Error) as error:
            raise FileFormatError(f"{path} is damaged ({error}); get it again.") from error
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    source = paths[0]
    if "train" not in splits:
        raise InputError(f"{source} names no training images.")
    classes = sorted({label for split in splits.values() for label in split.labels})
    if all(label.isascii() and label.isdecimal() and len(label) < 10 for label in classes):
        classes.sort(key=int)
    if len(classes) > MAX_CLASSES:
        raise FileFormatError(f"{source} has {len(classes):,} different labels; these are none.")
    index = {name: label for label, name in enumerate(classes)}

    def jobs(wanted: Wanted) -> Iterator[Job]:
        for row, (split, place) in enumerate(wanted):
            yield Job(row, splits[split].names[place], str(splits[split].files[place]))

    return read_chosen(
        source,
        classes,
        {
            split: np.array([index[label] for label in content.labels], np.int64)
            for split, content in splits.items()
        },
        {split: content.names for split, content in splits.items()},
        jobs,
        options,
    )


def _read(path: Path, of_file: str, splits: dict[str, _Split], skip_bad: bool) -> None:
    rows = _first_rows(path)
    columns = _find_columns(rows)
    if columns is None:
        raise FileFormatError(f"{path} has no columns of image paths and labels.")
    width = len(rows[0])
    folder, seen = path.parent, set()
    with open_content(path) as content:
        numbered = lines_of(content, path)
        if columns.headed:
            next(numbered)
        separator = separator_of(first_lines(path)[0])
        for number, row in _rows(numbered, separator):
            where = f"{path}, line {number}"
            if len(row) != width:
                raise FileFormatError(f"{where} has {len(row)} columns, the first one has {width}.")
            name, label = row[columns.path].strip(), row[columns.label].strip()
            if not name or not label or not label.isprintable() or "\0" in name:
                raise FileFormatError(f"{where} lacks a path or a label.")
            if name in seen:
                raise InputError(f"{where} names {name} for the second time.")
            seen.add(name)
            image = folder / name
            if not image.is_file():
                # A pipe or a device would be waited for; what is not there is only unreadable.
                if image.exists():
                    raise InputError(f"{where} names {name}, which is no file.")
                if not skip_bad:
                    raise InputError(
                        f"{where} names {name}, which is not there; mend the path, or leave out "
                        "all such images with --skip-bad."
                    )
            split = of_file or "train"
            if columns.split >= 0:
                split = split_of(row[columns.split])
                if not split:
                    raise InputError(
                        f"{where} has the split {row[columns.split]!r}; known are train, val, test."
                    )
            found = splits.setdefault(split, _Split())
            found.names.append(name)
            found.files.append(image)
            found.labels.append(label)


def _rows(numbered: Iterator[tuple[int, str]], separator: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in numbered:
        yield number, next(csv.reader([line], delimiter=separator), [])


def _first_rows(path: Path) -> list[list[str]]:
    lines = first_lines(path)
    separator = separator_of(lines[0]) if lines else ""
    if not separator or lines[0].count(separator) >= MOST_COLUMNS:
        return []
    try:
        # The last line may be cut.
        return list(csv.reader(lines[: max(2, min(20, len(lines) - 1))], delimiter=separator))
    except csv.Error:
        return []


def _find_columns(rows: Sequence[Sequence[str]]) -> _Columns | None:
    names = [name.strip() for name in rows[0]]
    headed = not any(name.lower().endswith(SUFFIXES) for name in names)
    below = rows[1:] if headed else rows
    if not below or any(len(row) != len(names) for row in below):
        return None
    paths = [
        column
        for column in range(len(names))
        if all(row[column].strip().lower().endswith(SUFFIXES) for row in below)
    ]
    if headed and len(paths) > 1:
        paths = [column for column in paths if PATH.match(names[column])]
    if len(paths) != 1:
        return None

    def named(pattern: re.Pattern[str]) -> list[int]:
        found = [column for column, name in enumerate(names) if pattern.match(name)]
        return [column for column in found if headed and column != paths[0]]

    labels = named(LABEL) or [
        column for column in range(len(names)) if column not in {*paths, *named(SPLIT)}
    ]
    if len(labels) != 1:
        return None
    splits = named(SPLIT)
    return _Columns(paths[0], labels[0], splits[0] if len(splits) == 1 else -1, headed)
