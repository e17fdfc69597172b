"""MATLAB's .mat files of images X and labels y, such as those of SVHN; read by SciPy.

SciPy asks for as much memory as a variable claims, inflates as much as there is, and leaves the
ground where a tag is damaged (its tables of types are indexed unchecked). So every tag that it will
read is checked here before, and what a file claims is held against its size. The format:
https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf

SciPy is an extra: pip install nnlab-toolkit[mat].
"""

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnlab.datasets.decoders.arrays import Found, decoded_from, place_of
from nnlab.datasets.decoders.containers import EXPANSION, MAX_CLAIM
from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions
from nnlab.datasets.decoders.split_files import files_of, recogniser
from nnlab.errors import FileFormatError, InputError

MARK = b"MATLAB 5.0 MAT-file"
HEADER_BYTES = 128
COMPRESSED = 15
MATRIX = 14
# The classes of arrays of numbers: double, single, and integers of 8 to 64 bits.
NUMERIC_CLASSES = set(range(6, 16))
COMPLEX_FLAG = 0x0800
# Bytes of an item of each type that numbers are stored as.
ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
UINT32, INT32, INT8 = 6, 5, 1
LONGEST_NAME = 63


def is_mat(path: Path) -> bool:
    """Whether a file begins as MATLAB's level 5 does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MARK)) == MARK
    except OSError:
        return False


recognises = recogniser(is_mat)


def decode(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read the variables whose names tell what they are.

    Raises:
        InputError: SciPy is missing, or there are no images or no labels.
        FileFormatError: the file is damaged, or claims more than it can hold.
    """
    found: dict[str, Found] = {}
    for split, path in files_of(paths, is_mat):
        names = list(_variables(path))
        places = {name: place_of(name) for name in names}
        wanted = [name for name, place in places.items() if place is not None]
        if not wanted:
            raise InputError(
                f"{path} holds {', '.join(names[:5]) or 'nothing'}; expected variables called X "
                "and y, or images and labels."
            )
        for name, array in _load(path, wanted).items():
            place = places[name]
            assert place is not None
            arrays = found.setdefault(place.split or split, Found())
            where = f"{path}: {name}"
            if place.images:
                arrays.images, arrays.images_from = array, where
            else:
                arrays.labels, arrays.labels_from = array, where
    return decoded_from(found, str(paths[0]), options.reading)


def _load(path: Path, names: list[str]) -> dict[str, Any]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise InputError(
            f"{path} is a file of MATLAB's, for which SciPy is needed: pip install "
            "'nnlab-toolkit[mat]'"
        ) from error
    try:
        loaded = loadmat(path, variable_names=names, mat_dtype=False, struct_as_record=True)
    except Exception as error:
        # A damaged file makes the reader stumble in any way it likes.
        raise FileFormatError(f"{path} is damaged; get it again.") from error
    return {name: np.asarray(loaded[name]) for name in names if name in loaded}


def _variables(path: Path) -> Iterator[str]:
    """Yield the names of the plain variables, having checked what each claims."""
    size = path.stat().st_size
    limit = max(MAX_CLAIM, EXPANSION * size)
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        order = {b"IM": "<", b"MI": ">"}.get(header[126:128])
        if order is None:
            raise FileFormatError(f"{path} is damaged; get it again.")
        claimed = 0
        while tag := file.read(8):
            kind, length = struct.unpack(f"{order}2I", tag) if len(tag) == 8 else (0, 0)
            at = file.tell()
            if kind not in {COMPRESSED, MATRIX} or at + length > size:
                raise FileFormatError(f"{path} is damaged or cut short; get it again.")
            # The name of a variable stands among its first bytes.
            start = file.read(min(length, 2**16))
            if kind == COMPRESSED:
                start, length = _inflated(start, order, path)
            claimed += length
            if claimed > limit:
                raise FileFormatError(
                    f"{path} is refused: it has {size:,} bytes and claims to hold more than "
                    f"{limit:,}."
                )
            name = _name(start, order, length, path)
            if name:
                yield name
            file.seek(at + struct.unpack(f"{order}I", tag[4:])[0])


def _inflated(data: bytes, order: str, path: Path) -> tuple[bytes, int]:
    """Return the beginning of a compressed variable, and the bytes it claims."""
    try:
        start = zlib.decompressobj().decompress(data, 2**16)
    except zlib.error as error:
        raise FileFormatError(f"{path} is damaged ({error}); get it again.") from error
    if len(start) < 8 or struct.unpack(f"{order}I", start[:4])[0] != MATRIX:
        raise FileFormatError(f"{path} is damaged; get it again.")
    return start[8:], struct.unpack(f"{order}I", start[4:8])[0]


def _name(start: bytes, order: str, length: int, path: Path) -> str:
    """Return the name of a variable of real numbers, all of whose tags are sound; else "".

    Args:
        start: the beginning of the variable, behind its own tag.
        order: of the bytes.
        length: the bytes that the variable claims.
        path: the file, for messages.

    Raises:
        FileFormatError: a tag is damaged.
    """
    try:
        kind, size, at, after = _tag(start, 0, order)
        flags = struct.unpack_from(f"{order}I", start, at)[0]
        sound = kind == UINT32 and size == 8
        kind, size, at, after = _tag(start, after, order)
        sides = struct.unpack_from(f"{order}{size // 4}i", start, at)
        sound = sound and kind == INT32 and size % 4 == 0 and size >= 8 and min(sides) >= 0
        kind, size, at, after = _tag(start, after, order)
        name = start[at : at + size].decode("ascii", "replace")
        sound = sound and kind == INT8 and size <= LONGEST_NAME
        if not sound:
            raise FileFormatError(f"{path} is damaged; get it again.")
        if flags & 0xFF not in NUMERIC_CLASSES or flags & COMPLEX_FLAG:
            return ""
        kind, size, at, after = _tag(start, after, order)
    except (struct.error, ValueError) as error:
        raise FileFormatError(f"{path} is damaged; get it again.") from error
    if size != math.prod(sides) * ITEM_BYTES.get(kind, -1) or at + size > length:
        raise FileFormatError(f"{path} is damaged: {name} has not the size that it claims.")
    return name


def _tag(start: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """Read a tag: the type, the bytes of the data, where they begin, where the next tag does."""
    first, size = struct.unpack_from(f"{order}2I", start, at)
    if first >> 16:  # up to four bytes of data stand within the tag itself
        if first >> 16 > 4:
            raise ValueError("a small element of more than four bytes")
        return first & 0xFFFF, first >> 16, at + 4, at + 8
    return first, size, at + 8, at + 8 + -(-size // 8) * 8
