"""IDX, the format of MNIST and its relatives, plain or compressed, in a folder or an archive.

A file is a big-endian header and nothing but data: two zero bytes, the type of an item, the number
of dimensions, each dimension as 32 bits, the items. http://yann.lecun.com/exdb/mnist
"""

import bz2
import gzip
import io
import lzma
import math
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.compressed import DAMAGE, content_of
from nnlab.datasets.decoders.arrays import Found, decoded_from
from nnlab.datasets.decoders.containers import (
    EXPANSION,
    MAX_CLAIM,
    first_names,
    is_container,
    named_files,
)
from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions
from nnlab.errors import FileFormatError, InputError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
# The names under which the family's files are published: t10k is the test split.
NAME = re.compile(
    r"(?:.*[-_])?(train|test|t10k|val)[-_](images|labels)[-_.]idx\d[-_]"
    r"(?:ubyte|byte|short|int|float|double)(?:\.(?:gz|bz2|xz))?$",
    re.I,
)
MAX_DIMENSIONS = 4

Read = Callable[[], NDArray[Any]]


def recognises(path: Path) -> bool:
    """Whether the file, or a file of the folder or archive, has a name of this family."""
    if path.is_dir():
        return any(NAME.match(item.name) for item in path.iterdir())
    if NAME.match(path.name):
        return True
    return is_container(path) and any(NAME.match(name) for name in first_names(path))


def decode(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read pairs of image and label files.

    Args:
        paths: the files, one folder that holds them, or one archive of them.
        options: of its `reading`, `select` chooses among the sets of an archive.

    Raises:
        InputError: a file of a pair is missing, or both have different lengths.
        FileFormatError: a file is damaged or something else.
    """
    found: dict[str, Found] = {}
    names: dict[tuple[str, str], str] = {}
    for name, where, read in _files(paths):
        match = NAME.match(name)
        if match is None or not name.startswith(options.reading.select):
            continue
        split, kind = match[1].lower().replace("t10k", "test"), match[2].lower()
        if (split, kind) in names:
            raise InputError(
                f"{paths[0].parent if len(paths) > 1 else paths[0]} has both "
                f"{names[split, kind]} and {name}; keep one of them."
            )
        names[split, kind] = name
        arrays = found.setdefault(split, Found())
        if kind == "images":
            arrays.images, arrays.images_from = _images(read(), where), where
        else:
            arrays.labels, arrays.labels_from = _labels(read(), where), where
    if "train" not in found:
        raise InputError(f"{paths[0]} lacks train-images-idx3-ubyte and train-labels-idx1-ubyte.")
    folder = paths[0].parent if len(paths) > 1 else paths[0]
    return decoded_from(found, str(folder), options.reading)


def read_idx(path: Path) -> NDArray[Any]:
    """Read one file.

    Raises:
        InputError: it cannot be read.
        FileFormatError: it is not IDX, is cut short, or has more bytes than its header says.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path.stat().st_size, str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def _files(paths: Sequence[Path]) -> Iterator[tuple[str, str, Read]]:
    """Yield the name of each file, how messages call it, and what reads it."""
    if len(paths) == 1 and not paths[0].is_dir():
        if not is_container(paths[0]):
            raise InputError(
                f"{paths[0]} is one file; name the folder that holds the images and the labels."
            )
        for name, member in named_files(paths[0]):
            where = f"{paths[0]}: {'/'.join(member.parts)}"

            def read(member: Any = member, where: str = where) -> NDArray[Any]:
                data = member.read()
                return _read(io.BytesIO(data), len(data), where)

            yield name, where, read
        return
    for file in sorted(paths[0].iterdir()) if len(paths) == 1 else paths:
        yield file.name, str(file), lambda file=file: read_idx(file)  # type: ignore[misc]


def _read(file: BinaryIO, size: int, where: str) -> NDArray[Any]:
    try:
        return _parse(content_of(file), size, where)
    except DAMAGE as error:
        raise FileFormatError(f"{where} is damaged ({error}); get it again.") from error


def _parse(stream: BinaryIO, size: int, where: str) -> NDArray[Any]:
    magic = stream.read(4)
    known = len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in TYPES
    if not known or not 1 <= magic[3] <= MAX_DIMENSIONS:
        raise FileFormatError(f"{where} is not an IDX file: it begins with {magic.hex(' ')!r}.")
    header = stream.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise FileFormatError(f"{where} is cut short within its header; get it again.")
    shape = struct.unpack(f">{magic[3]}I", header)
    kind = np.dtype(TYPES[magic[2]])
    expected = math.prod(shape) * kind.itemsize
    # A header may claim anything: ask for memory only if the file can hold that much.
    packed = isinstance(stream, gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile)
    if expected > (max(MAX_CLAIM, EXPANSION * size) if packed else size):
        raise FileFormatError(f"{where} is cut short: its header claims {expected:,} bytes.")
    data = np.empty(expected, np.uint8)
    view, filled = data.data, 0
    while filled < expected:
        got = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not got:
            raise FileFormatError(
                f"{where} is cut short: {filled:,} bytes of data, its header claims {expected:,}."
            )
        filled += got
    if stream.read(1):
        raise FileFormatError(f"{where} has more than the {expected:,} bytes its header claims.")
    return data.view(kind).reshape(shape)


def _images(array: NDArray[Any], where: str) -> NDArray[Any]:
    if array.ndim not in {3, 4} or (array.ndim == 4 and array.shape[3] not in {1, 3}):
        raise FileFormatError(
            f"{where} holds {array.dtype} items of shape {array.shape}, not gray or RGB images."
        )
    if 0 in array.shape:
        raise InputError(f"{where} holds no images (its shape is {array.shape}).")
    return array


def _labels(array: NDArray[Any], where: str) -> NDArray[Any]:
    # QMNIST: the class, and then seven numbers about who wrote the digit.
    labels = array[:, 0] if array.ndim == 2 and array.shape[1] else array
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise FileFormatError(f"{where} holds an array of shape {array.shape}, not labels.")
    if not len(labels):
        raise InputError(f"{where} holds no labels.")
    return labels
