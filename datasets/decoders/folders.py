"""Images in class folders, in a folder or an archive: `train/<class>/`, `test/<class>/`, ...

A class is the name of a folder. Without folders called train, test or val at the top, the top
folders are the classes and everything is training data. Folders that hold nothing but one other
folder are looked through, as archives often begin with one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nnlab.datasets.decoders.containers import Member, is_container, members
from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions, Part
from nnlab.datasets.images import SUFFIXES, BadImageError, decode_image
from nnlab.errors import InputError

SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
LAYOUT = "expected train/<class>/*.jpg and test/<class>/*.jpg, or <class>/*.jpg"
# What a list of left-out files names one by one.
NAMED = 3


@dataclass
class _Pictures:
    """Pixels of images of one shape, one behind the other, growing without copies."""

    shape: tuple[int, ...] | None = None
    first: str = ""
    pixels: bytearray = field(default_factory=bytearray)
    paths: list[tuple[str, ...]] = field(default_factory=list)


def recognises(path: Path) -> bool:
    """Whether it is a folder or an archive: what is in it shows when it is read."""
    return is_container(path)


def decode(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read every image of a folder or an archive of class folders.

    The rows are ordered by split, class and name, wherever they came from.

    Raises:
        InputError: no images, images of differing sizes without `options.size`, or an unreadable
            image without `options.skip_bad`.
    """
    source = paths[0]
    pictures, others, folders = _Pictures(), [], set()
    unreadable: list[tuple[str, str]] = []
    for member in members(source):
        if _hidden(member.parts):
            continue
        if member.is_folder:
            folders.add(member.parts)
        elif not member.parts[-1].lower().endswith(SUFFIXES):
            others.append("/".join(member.parts))
        else:
            name = "/".join(member.parts)
            try:
                pixels = decode_image(_content(source, member), options.size, options.gray)
            except BadImageError as error:
                if not options.skip_bad:
                    raise InputError(
                        f"{source}: {name} cannot be read as an image ({error}); repair or remove "
                        "it, or leave out all such images with --skip-bad."
                    ) from error
                unreadable.append((name, str(error)))
                continue
            _add(pictures, member.parts, pixels, source)
            if options.progress is not None:
                options.progress(len(pictures.paths), 0)
    if not pictures.paths:
        what = "no readable images" if unreadable else "no images"
        raise InputError(f"{source} holds {what}; {LAYOUT} ({', '.join(SUFFIXES)}).")
    decoded = _arrange(source, pictures, folders)
    decoded.unreadable = sorted(unreadable)
    if others:
        decoded.notes.append(f"files that are no images were passed over: {_some(others)}.")
    return decoded


def _content(source: Path, member: Member) -> bytes:
    try:
        return member.read()
    except InputError as error:
        # One file of a folder is like one bad image; an archive that cannot be read on is over.
        if source.is_dir():
            raise BadImageError("no permission, or the disk fails") from error
        raise


def _hidden(parts: tuple[str, ...]) -> bool:
    return not parts or any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _add(pictures: _Pictures, path: tuple[str, ...], pixels: np.ndarray, source: Path) -> None:
    if pictures.shape is None:
        pictures.shape, pictures.first = pixels.shape, "/".join(path)
    elif pixels.shape != pictures.shape:
        (h, w), (height, width) = pictures.shape[:2], pixels.shape[:2]
        raise InputError(
            f"{source}: the images differ in size ({pictures.first} is {h}x{w}, {'/'.join(path)} "
            f"is {height}x{width}); bring them to one size with --size, for example --size {h}x{w}."
        )
    pictures.pixels += pixels.tobytes()
    pictures.paths.append(path)


def _arrange(source: Path, pictures: _Pictures, folders: Iterable[tuple[str, ...]]) -> Decoded:
    """Find splits and classes in the paths, and the order of the rows."""
    assert pictures.shape is not None
    skip = _wrapping(pictures.paths)
    placed: dict[str, list[tuple[str, tuple[str, ...], int]]] = {}
    paths = [path[skip:] for path in pictures.paths]
    in_splits = any(path[0].lower() in SPLITS and len(path) > 2 for path in paths)
    strays = []
    for row, path in enumerate(paths):
        split, rest = (SPLITS.get(path[0].lower()), path[1:]) if in_splits else ("train", path)
        if split is None or len(rest) < 2:
            strays.append("/".join(path))
        else:
            placed.setdefault(split, []).append((rest[0], rest[1:], row))
    if "train" not in placed:
        found = f"only {', '.join(sorted(placed))}" if placed else "no class folders"
        raise InputError(f"{source} has {found}; {LAYOUT}.")
    classes = sorted(
        {item[0] for items in placed.values() for item in items}
        | _empty_classes(folders, skip, in_splits)
    )
    index = {name: label for label, name in enumerate(classes)}
    images = np.frombuffer(pictures.pixels, np.uint8).reshape(-1, *pictures.shape)
    splits = {}
    for split, items in placed.items():
        items.sort()
        rows = np.array([row for _, _, row in items], np.int64)
        splits[split] = Part(
            images=images,
            labels=np.array([index[name] for name, _, _ in items], np.int64),
            order=rows,
            names=["/".join(pictures.paths[row]) for row in rows],
        )
    notes = [f"images outside the class folders were passed over: {_some(strays)}."]
    return Decoded(classes, splits, notes=notes if strays else [])


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


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(sorted(names)[:NAMED]) + more
