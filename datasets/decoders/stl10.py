"""STL-10 in its binary edition: bytes without any header, column by column, a channel at a time.

https://cs.stanford.edu/~acoates/stl10/
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnlab.datasets.decoders.containers import first_names, is_container, named_files
from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions, Part, checked_classes
from nnlab.errors import FileFormatError, InputError

SHAPE = (3, 96, 96)
PIXELS = 3 * 96 * 96
NAME = re.compile(r"(train|test)_([Xy])\.bin$")
CLASS_NAMES = "class_names.txt"


def recognises(path: Path) -> bool:
    """Whether it is a folder or an archive with such files."""
    return is_container(path) and any(NAME.match(name) for name in first_names(path))


def decode(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read the labelled images; the unlabelled ones are passed over.

    Raises:
        InputError: a file is missing.
        FileFormatError: a file has the wrong length.
    """
    del options
    content: dict[str, dict[str, bytes]] = {"train": {}, "test": {}}
    classes: list[str] = []
    for name, member in named_files(paths[0]):
        match = NAME.match(name)
        if match is not None:
            content[match[1]][match[2]] = member.read()
        elif name == CLASS_NAMES:
            classes = member.read().decode("utf-8", "replace").split()
    splits = {
        split: _part(files, f"{paths[0]}: {split}") for split, files in content.items() if files
    }
    if "train" not in splits:
        raise InputError(f"{paths[0]} holds no train_X.bin and train_y.bin.")
    return Decoded(checked_classes(classes, splits, paths[0]), splits)


def _part(files: dict[str, bytes], where: str) -> Part:
    for kind in {"X", "y"} - set(files):
        raise InputError(f"{where}_{kind}.bin is missing.")
    pixels, labels = files["X"], np.frombuffer(files["y"], np.uint8)
    if not pixels or len(pixels) != PIXELS * len(labels):
        raise FileFormatError(
            f"{where}_X.bin has {len(pixels):,} bytes, which are no {len(labels):,} images of "
            f"{PIXELS:,} bytes; get it again."
        )
    if labels.min() < 1:
        raise FileFormatError(f"{where}_y.bin has labels below 1.")
    images = np.frombuffer(pixels, np.uint8).reshape(-1, *SHAPE).transpose(0, 3, 2, 1)
    return Part.of(np.ascontiguousarray(images), labels.astype(np.int64) - 1)
