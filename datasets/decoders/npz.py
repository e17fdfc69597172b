"""NumPy's .npz archives of images and labels, such as x_train, y_train, x_test and y_test.

NumPy's own reader would ask for as much memory as an array claims, and with `allow_pickle` run
code; here each array is held against the bytes that the archive has for it.
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.decoders.arrays import Found, decoded_from, place_of
from nnlab.datasets.decoders.containers import first_names, is_zip, members
from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions
from nnlab.datasets.decoders.split_files import files_of, recogniser
from nnlab.errors import FileFormatError, InputError

MAGIC = b"\x93NUMPY"
PLAIN_KINDS = "biufSU"


def is_npz(path: Path) -> bool:
    """Whether it is a zip of arrays and nothing else."""
    names = first_names(path) if is_zip(path) else []
    return bool(names) and all(name.endswith(".npy") for name in names)


recognises = recogniser(is_npz)


def decode(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read the arrays whose names tell what they are.

    Raises:
        InputError: there are no images or no labels.
        FileFormatError: the file is damaged, or holds objects instead of numbers.
    """
    found: dict[str, Found] = {}
    for split, path in files_of(paths, is_npz):
        names = []
        for member in members(path):
            name = "/".join(member.parts).removesuffix(".npy")
            names.append(name)
            place = place_of(name)
            if place is None or member.is_folder:
                continue
            arrays = found.setdefault(place.split or split, Found())
            where = f"{path}: {name}"
            if place.images:
                arrays.images, arrays.images_from = read_npy(member.read(), where), where
            else:
                arrays.labels, arrays.labels_from = read_npy(member.read(), where), where
        if not found:
            raise InputError(
                f"{path} holds {', '.join(names[:5]) or 'nothing'}; expected arrays called images "
                "and labels, or x_train, y_train, x_test, y_test."
            )
    return decoded_from(found, str(paths[0]), options.reading)


def read_npy(data: bytes, where: str) -> NDArray[Any]:
    """Read one array of plain numbers or texts.

    Raises:
        FileFormatError: it is damaged or something else.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, kind = read_header(stream)
    except (ValueError, KeyError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise FileFormatError(f"{where} is damaged or not an array of NumPy's.") from error
    if kind.hasobject or kind.kind not in PLAIN_KINDS:
        raise FileFormatError(f"{where} holds neither numbers nor plain texts; refused.")
    start = stream.tell()
    expected = math.prod(shape) * kind.itemsize
    if any(side < 0 for side in shape) or len(data) - start != expected or not kind.itemsize:
        raise FileFormatError(
            f"{where} has {len(data) - start:,} bytes of data, its header claims {expected:,}."
        )
    array: NDArray[Any] = np.frombuffer(data, kind, offset=start)
    return array.reshape(shape, order="F" if fortran else "C")
