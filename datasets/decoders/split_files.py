"""Formats of one file a split, or one file with all: what they have in common.

A folder belongs to such a format if it holds files of it that are named after splits.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from nnlab.datasets.decoders.arrays import split_of
from nnlab.errors import InputError

# Folders with more entries hold images, not files of arrays.
MOST_ENTRIES = 1000


def recogniser(is_one: Callable[[Path], bool]) -> Callable[[Path], bool]:
    """Return what recognises a file by `is_one`, or a folder of such files named after splits."""

    def recognises(path: Path) -> bool:
        if path.is_file():
            return is_one(path)
        return path.is_dir() and bool(_inside(path, is_one))

    return recognises


def files_of(paths: Sequence[Path], is_one: Callable[[Path], bool]) -> list[tuple[str, Path]]:
    """Return the files with the split that each is named after; "" for a single file.

    Raises:
        InputError: there are none, or two of one split.
    """
    if len(paths) == 1 and not paths[0].is_dir():
        return [("", paths[0])]
    files = _inside(paths[0], is_one) if len(paths) == 1 else list(paths)
    found = [(split_of(file.name), file) for file in files]
    if not found:
        raise InputError(f"{paths[0]} holds no files named after train and test.")
    splits = [split for split, _ in found]
    for split, file in found:
        if splits.count(split) > 1:
            what = f"several files of the {split} split" if split else "files of no split"
            raise InputError(f"{file.parent} has {what}, among them {file.name}; name one of them.")
    return found


def _inside(folder: Path, is_one: Callable[[Path], bool]) -> list[Path]:
    found: list[Path] = []
    for number, file in enumerate(folder.iterdir()):
        if number == MOST_ENTRIES:
            return []
        if not file.name.startswith(".") and split_of(file.name) and file.is_file():
            found += [file] if is_one(file) else []
    return sorted(found)
