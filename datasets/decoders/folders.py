"""Images in class folders, in a folder or an archive: `train/<class>/`, `test/<class>/`, ...

A class is the name of a folder. Without folders called train, test or val at the top, the top
folders are the classes and everything is training data. Folders that hold nothing but one other
folder are looked through, as archives often begin with one.

The paths alone decide which images are wanted; only those are decoded. An archive is gone through
twice: for its paths, and for its images.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.decode_worker import Job
from nnlab.datasets.decoders.containers import is_container, members
from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions
from nnlab.datasets.decoders.pictures import read_chosen, some
from nnlab.datasets.rendering import SUFFIXES
from nnlab.errors import InputError

SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
LAYOUT = "expected train/<class>/*.jpg and test/<class>/*.jpg, or <class>/*.jpg"


@dataclass
class _Listing:
    """What a folder or an archive holds.

    Attributes:
        images: for each image its path and its number among all members.
        folders: paths of folders.
        others: files that are no images by their names.
    """

    images: list[tuple[tuple[str, ...], int]] = field(default_factory=list)
    folders: set[tuple[str, ...]] = field(default_factory=set)
    others: list[str] = field(default_factory=list)


@dataclass
class _Tree:
    """The images by split and class.

    Attributes:
        classes: names in the order of the labels.
        images: split -> (path, number) of its images, by class and name.
        labels: split -> (N,) their labels.
        strays: images outside the class folders.
    """

    classes: list[str]
    images: dict[str, list[tuple[tuple[str, ...], int]]]
    labels: dict[str, NDArray[np.int64]]
    strays: list[str]


def recognises(path: Path) -> bool:
    """Whether it is a folder or an archive: what is in it shows when it is read."""
    return is_container(path)


def decode(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read the chosen images of a folder or an archive of class folders.

    The rows are ordered by split, class and name, wherever they came from.

    Raises:
        InputError: no images, images of differing sizes without `options.size`, or an unreadable
            image without `options.skip_bad`.
    """
    source = paths[0]
    listing = _list(source)
    if not listing.images:
        raise InputError(f"{source} holds no images; {LAYOUT} ({', '.join(SUFFIXES)}).")
    tree = _arrange(source, listing)
    decoded = read_chosen(
        source,
        tree.classes,
        tree.labels,
        {split: ["/".join(path) for path, _ in images] for split, images in tree.images.items()},
        lambda wanted: _jobs(source, [tree.images[split][place] for split, place in wanted]),
        options,
    )
    for what, left in (
        ("files that are no images were passed over", listing.others),
        ("images outside the class folders were passed over", tree.strays),
    ):
        if left:
            decoded.notes.append(f"{what}: {some(left)}.")
    return decoded


def _list(source: Path) -> _Listing:
    listing = _Listing()
    for number, member in enumerate(members(source)):
        if _hidden(member.parts):
            continue
        if member.is_folder:
            listing.folders.add(member.parts)
        elif member.parts[-1].lower().endswith(SUFFIXES):
            listing.images.append((member.parts, number))
        else:
            listing.others.append("/".join(member.parts))
    return listing


def _jobs(source: Path, wanted: Sequence[tuple[tuple[str, ...], int]]) -> Iterator[Job]:
    """Give the images in the order in which they are quickly read."""
    names = ["/".join(path) for path, _ in wanted]
    if source.is_dir():
        folder = str(source)  # joining paths takes a while, a hundred thousand times
        for row, name in enumerate(names):
            yield Job(row, name, f"{folder}/{name}")
        return
    rows = {number: row for row, (_, number) in enumerate(wanted)}
    for number, member in enumerate(members(source)):
        if number in rows:
            yield Job(rows[number], names[rows[number]], content=member.read())


def _hidden(parts: tuple[str, ...]) -> bool:
    path = f"/{'/'.join(parts)}/"
    return not parts or "/." in path or "/__MACOSX/" in path


def _arrange(source: Path, listing: _Listing) -> _Tree:
    """Find splits and classes in the paths."""
    skip = _wrapping([path for path, _ in listing.images])
    in_splits = any(
        path[skip].lower() in SPLITS and len(path) > skip + 2 for path, _ in listing.images
    )
    placed: dict[str, list[tuple[str, tuple[str, ...], int]]] = {}
    strays = []
    for path, number in listing.images:
        split, rest = "train", path[skip:]
        if in_splits:
            split, rest = SPLITS.get(rest[0].lower(), ""), rest[1:]
        if split and len(rest) > 1:
            placed.setdefault(split, []).append((rest[0], path, number))
        else:
            strays.append("/".join(path[skip:]))
    if "train" not in placed:
        found = f"only {', '.join(sorted(placed))}" if placed else "no class folders"
        raise InputError(f"{source} has {found}; {LAYOUT}.")
    classes = sorted(
        {name for items in placed.values() for name, _, _ in items}
        | _empty_classes(listing.folders, skip, in_splits)
    )
    index = {name: label for label, name in enumerate(classes)}
    for items in placed.values():
        items.sort()
    return _Tree(
        classes,
        {split: [item[1:] for item in items] for split, items in placed.items()},
        {
            split: np.array([index[name] for name, _, _ in items], np.int64)
            for split, items in placed.items()
        },
        strays,
    )


def _wrapping(paths: Sequence[tuple[str, ...]]) -> int:
    """Count the folders around everything that are neither a split nor a class."""
    skip = 0
    while True:
        tops = {path[skip] for path in paths}
        shortest = min(len(path) for path in paths) - skip
        if len(tops) > 1 or shortest < 3 or next(iter(tops)).lower() in SPLITS:
            return skip
        skip += 1


def _empty_classes(folders: Iterable[tuple[str, ...]], skip: int, in_splits: bool) -> set[str]:
    depth = skip + (2 if in_splits else 1)
    return {
        parts[-1]
        for parts in folders
        if len(parts) == depth and (not in_splits or parts[skip].lower() in SPLITS)
    }
