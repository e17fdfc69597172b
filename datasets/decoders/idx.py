"""IDX, the format of MNIST and its relatives, plain or gzipped.

A file is a big-endian header and nothing but data: two zero bytes, the type of an item, the number
of dimensions, each dimension as 32 bits, the items. http://yann.lecun.com/exdb/mnist
"""

import gzip
import io
import math
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions, Part, numbered_classes
from nnlab.datasets.gzipped import open_content
from nnlab.errors import FileFormatError, InputError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
# The names under which the family's files are published: t10k is the test split.
NAME = re.compile(
    r"(?:.*[-_])?(train|test|t10k|val)[-_](images|labels)[-_.]idx\d[-_]ubyte(?:\.gz)?$", re.I
)
# Deflate cannot shrink data further than this.
DEFLATE_RATIO = 1032


def recognises(path: Path) -> bool:
    """Whether the file, or a file of the folder, has a name of this family."""
    if path.is_dir():
        return any(NAME.match(item.name) for item in path.iterdir())
    return NAME.match(path.name) is not None


def decode(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read pairs of image and label files.

    Args:
        paths: the files, or one folder that holds them.
        options: nothing of them is needed here.

    Raises:
        InputError: a file of a pair is missing, or both have different lengths.
        FileFormatError: a file is damaged or something else.
    """
    del options
    splits = {}
    for split, pair in _pairs(paths).items():
        images = read_idx(pair["images"])
        labels = read_idx(pair["labels"])
        splits[split] = _part(pair["images"], images, pair["labels"], labels)
    return Decoded(numbered_classes(splits, paths[0]), splits)


def read_idx(path: Path) -> NDArray[Any]:
    """Read one file.

    Raises:
        InputError: it cannot be read.
        FileFormatError: it is not IDX, is cut short, or has more bytes than its header says.
    """
    try:
        with open_content(path) as stream:
            return _read(stream, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFormatError(f"{path} is damaged ({error}); get it again.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def _read(stream: io.BufferedIOBase, path: Path) -> NDArray[Any]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not 1 <= magic[3] <= 4:
        raise FileFormatError(f"{path} is not an IDX file: it begins with {magic.hex(' ')!r}.")
    header = stream.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise FileFormatError(f"{path} is cut short within its header; get it again.")
    shape = struct.unpack(f">{magic[3]}I", header)
    kind = np.dtype(TYPES[magic[2]])
    expected = math.prod(shape) * kind.itemsize
    # A header may claim anything: ask for memory only if the file can hold that much.
    if expected > DEFLATE_RATIO * path.stat().st_size:
        raise FileFormatError(f"{path} is cut short: its header claims {expected:,} bytes.")
    data = np.empty(expected, np.uint8)
    view, filled = data.data, 0
    while filled < expected:
        got = stream.readinto(view[filled:])
        if not got:
            raise FileFormatError(
                f"{path} is cut short: {filled:,} bytes of data, its header claims {expected:,}."
            )
        filled += got
    if stream.read(1):
        raise FileFormatError(f"{path} has more than the {expected:,} bytes its header claims.")
    return data.view(kind).reshape(shape)


def _pairs(paths: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """Sort files into split -> {"images", "labels"} by their names."""
    if len(paths) == 1 and paths[0].is_file():
        raise InputError(
            f"{paths[0]} is one file; name the folder that holds the images and the labels."
        )
    files = sorted(paths[0].iterdir()) if len(paths) == 1 else list(paths)
    where = files[0].parent if files else paths[0]
    pairs: dict[str, dict[str, Path]] = {}
    for file in files:
        match = NAME.match(file.name)
        if match is None:
            continue
        split = match[1].lower().replace("t10k", "test")
        pair = pairs.setdefault(split, {})
        if match[2].lower() in pair:
            raise InputError(
                f"{where} has both {pair[match[2].lower()].name} and {file.name}; keep one of them."
            )
        pair[match[2].lower()] = file
    for split, pair in pairs.items():
        for kind in {"images", "labels"} - set(pair):
            raise InputError(f"{where} lacks the {kind} of the {split} split.")
    if "train" not in pairs:
        raise InputError(f"{where} lacks train-images-idx3-ubyte and train-labels-idx1-ubyte.")
    return pairs


def _part(image_file: Path, images: NDArray[Any], label_file: Path, labels: NDArray[Any]) -> Part:
    images = images[..., None] if images.ndim == 3 else images
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in {1, 3}:
        raise FileFormatError(
            f"{image_file} holds {images.dtype} items of shape {images.shape}, not gray or RGB "
            "images of bytes."
        )
    if 0 in images.shape:
        raise InputError(f"{image_file} holds no images (its shape is {images.shape}).")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise FileFormatError(f"{label_file} holds an array of shape {labels.shape}, not labels.")
    if len(images) != len(labels):
        raise InputError(
            f"{image_file} has {len(images):,} images, {label_file} has {len(labels):,} labels; "
            "they do not belong together."
        )
    if labels.min() < 0:
        raise FileFormatError(f"{label_file} has negative labels.")
    return Part.of(images, labels.astype(np.int64))
