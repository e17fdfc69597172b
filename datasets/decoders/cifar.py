"""CIFAR-10 and CIFAR-100 in their binary edition: records of label bytes and 3 x 32 x 32 pixels.

https://www.cs.toronto.edu/~kriz/cifar.html
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.decoders.containers import first_names, is_container, named_files
from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions, Part, checked_classes
from nnlab.errors import FileFormatError, InputError

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
# Name -> split, and how many label bytes stand before the pixels; the last of them counts
# (CIFAR-100: the coarse one of 20, then the fine one of 100).
NAMES = (
    (re.compile(r"data_batch_\d+\.bin$"), "train", 1),
    (re.compile(r"test_batch\.bin$"), "test", 1),
    (re.compile(r"train\.bin$"), "train", 2),
    (re.compile(r"test\.bin$"), "test", 2),
)
CLASS_NAMES = {"batches.meta.txt": "fine", "fine_label_names.txt": "fine"}
CLASS_NAMES |= {"coarse_label_names.txt": "coarse"}
ARCHIVE = re.compile(r"cifar-?100?-binary\.", re.I)


def recognises(path: Path) -> bool:
    """Whether it is a folder with such batches or an archive named like the published ones."""
    if path.is_dir():
        return any(pattern.match(item.name) for item in path.iterdir() for pattern, *_ in NAMES)
    if not is_container(path):
        return False
    names = first_names(path)
    return ARCHIVE.match(path.name) is not None or any(
        pattern.match(name) for name in names for pattern, *_ in NAMES
    )


def decode(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read every batch, in the order of the names.

    Raises:
        InputError: there is no training batch.
        FileFormatError: a batch has the wrong length.
    """
    batches: dict[str, dict[str, tuple[NDArray[np.uint8], int]]] = {}
    classes: list[str] = []
    for name, member in named_files(paths[0]):
        if CLASS_NAMES.get(name) == options.reading.labels:
            classes = member.read().decode("utf-8", "replace").split()
        for pattern, split, label_bytes in NAMES:
            if pattern.match(name):
                records = _records(member.read(), label_bytes, f"{paths[0]}: {name}")
                batches.setdefault(split, {})[name] = (records, label_bytes)
                if options.progress is not None:
                    options.progress(
                        sum(len(b) for g in batches.values() for b, _ in g.values()), 0
                    )
    if "train" not in batches:
        raise InputError(f"{paths[0]} holds no data_batch_1.bin or train.bin.")
    coarse = options.reading.labels == "coarse"
    splits = {split: _part(group, coarse) for split, group in batches.items()}
    return Decoded(checked_classes(classes, splits, paths[0]), splits)


def chw_to_hwc(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn rows (N, 3072), red then green then blue, into images (N, 32, 32, 3)."""
    return np.ascontiguousarray(pixels.reshape(-1, *SHAPE).transpose(0, 2, 3, 1))


def _records(data: bytes, label_bytes: int, where: str) -> NDArray[np.uint8]:
    length = PIXELS + label_bytes
    if not data or len(data) % length:
        raise FileFormatError(
            f"{where} has {len(data):,} bytes, which is no whole number of {length}-byte records; "
            "get it again."
        )
    return np.frombuffer(data, np.uint8).reshape(-1, length)


def _part(group: dict[str, tuple[NDArray[np.uint8], int]], coarse: bool) -> Part:
    count = sum(len(records) for records, _ in group.values())
    images = np.empty((count, 32, 32, 3), np.uint8)
    labels = np.empty(count, np.int64)
    start = 0
    for name in sorted(group):
        records, label_bytes = group[name]
        rows = slice(start, start + len(records))
        images[rows] = chw_to_hwc(records[:, label_bytes:])
        labels[rows] = records[:, 0 if coarse else label_bytes - 1]
        start += len(records)
    return Part.of(images, labels)
