"""CIFAR-10 and CIFAR-100 in their Python edition, without running pickle code.

The batches are pickles, and a pickle can call anything. The reader here resolves exactly the
names that these files need, and each to a stand-in that keeps plain values: no function outside
this module is ever called, and what comes out is checked like any other foreign data.
"""

import io
import pickle
import pickletools
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.decoders.cifar import PIXELS, chw_to_hwc
from nnlab.datasets.decoders.containers import first_names, is_container, named_files
from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions, Part, checked_classes
from nnlab.errors import FileFormatError, InputError

NAMES = (
    (re.compile(r"data_batch_\d+$"), "train"),
    (re.compile(r"test_batch$"), "test"),
    (re.compile(r"train$"), "train"),
    (re.compile(r"test$"), "test"),
)
# The names of the files that mark the edition, and of the one with the classes.
MARKS = {"data_batch_1", "batches.meta", "meta"}
META = {"batches.meta": "label_names", "meta": "{}_label_names"}
ARCHIVE = re.compile(r"cifar-?100?-python\.", re.I)
# The training batch of CIFAR-100 has 155 MB and, with a name for each image, 400,000 opcodes. An
# opcode of one byte may make an object of a hundred.
MOST_BYTES = 192 * 2**20
MOST_OPCODES = 1_000_000
# Opcodes that make room for as many objects as they say.
MEMO_OPCODES = {"PUT", "BINPUT", "LONG_BINPUT"}


def recognises(path: Path) -> bool:
    """Whether it is a folder with such batches or an archive named like the published ones."""
    if path.is_dir():
        return any((path / mark).is_file() for mark in MARKS)
    return is_container(path) and (
        ARCHIVE.match(path.name) is not None or not MARKS.isdisjoint(first_names(path))
    )


def decode(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read every batch, in the order of the names.

    Raises:
        InputError: there is no training batch.
        FileFormatError: a file is damaged or holds something else than images and labels.
    """
    batches: dict[str, dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]] = {}
    classes: list[str] = []
    for name, member in named_files(paths[0]):
        where = f"{paths[0]}: {name}"
        if name in META:
            key = META[name].format(options.reading.labels)
            classes = _class_names(load(member.read(), where), key, where)
        for pattern, split in NAMES:
            if pattern.match(name):
                batch = _batch(load(member.read(), where), where, options.reading.labels)
                batches.setdefault(split, {})[name] = batch
                if options.progress is not None:
                    options.progress(
                        sum(len(y) for g in batches.values() for _, y in g.values()), 0
                    )
    if "train" not in batches:
        raise InputError(f"{paths[0]} holds no data_batch_1 or train.")
    splits = {}
    for split, group in batches.items():
        parts = [group[name] for name in sorted(group)]
        images = np.concatenate([chw_to_hwc(pixels) for pixels, _ in parts])
        splits[split] = Part.of(images, np.concatenate([labels for _, labels in parts]))
    return Decoded(checked_classes(classes, splits, paths[0]), splits)


def load(data: bytes, where: str) -> dict[str, Any]:
    """Read a pickled dictionary whose values are plain or `_Array`s.

    Raises:
        FileFormatError: it is no pickle, or names anything that a batch does not need.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in strings of protocol 0
            _glance(data, where)
            content = _Reader(io.BytesIO(data), encoding="bytes").load()
    except FileFormatError:
        raise
    except pickle.UnpicklingError as error:
        raise FileFormatError(f"{where} is refused: {error}.") from error
    except Exception as error:
        # A damaged pickle makes the reader stumble in any way it likes.
        raise FileFormatError(f"{where} is damaged or not a CIFAR batch.") from error
    if type(content) is not dict:
        raise FileFormatError(f"{where} holds no dictionary.")
    return {_text(key): value for key, value in content.items() if type(key) in {bytes, str}}


def _glance(data: bytes, where: str) -> None:
    """Refuse a pickle that would fill the memory, before a single opcode is carried out."""
    if len(data) > MOST_BYTES:
        raise FileFormatError(f"{where} is refused: it is larger than any batch.")
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            place = int(argument or 0) if opcode.name in MEMO_OPCODES else 0
            if count > MOST_OPCODES or not 0 <= place <= MOST_OPCODES:
                raise FileFormatError(f"{where} is refused: it has more parts than any batch.")
    except (ValueError, UnicodeError, OverflowError, MemoryError) as error:
        raise FileFormatError(f"{where} is damaged or not a CIFAR batch.") from error


class _Dtype:
    """Stands in for `numpy.dtype`: unsigned bytes or nothing."""

    def __init__(self, kind: Any, *_: Any) -> None:
        if _text(kind) not in {"u1", "|u1"}:
            raise pickle.UnpicklingError("its array does not hold bytes")

    def __setstate__(self, state: Any) -> None:
        """Take NumPy's description of byte order and fields, which bytes have no use for."""


class _Array:
    """Stands in for `numpy.ndarray`; what it was told is checked by `_pixels`."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _encode(text: Any, encoding: Any) -> bytes:
    """Stand in for `codecs.encode`, by which newer Pythons write bytes in old pickles."""
    if type(text) is not str or _text(encoding) != "latin1":
        raise pickle.UnpicklingError("it encodes something else than bytes")
    return text.encode("latin-1")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("_codecs", "encode"): _encode,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        return _KNOWN[module, name]


def _text(value: Any) -> str:
    if type(value) is bytes:
        return value.decode("latin-1")
    return value if type(value) is str else ""


def _class_names(content: dict[str, Any], key: str, where: str) -> list[str]:
    names = content.get(key)
    if type(names) is not list or not all(type(name) in {bytes, str} for name in names):
        raise FileFormatError(f"{where} holds no list of names called {key}.")
    return [_text(name) for name in names]


def _batch(
    content: dict[str, Any], where: str, wanted: str = "fine"
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    pixels = _pixels(content.get("data"), where)
    labels = content.get(f"{wanted}_labels", content.get("labels"))
    if type(labels) is not list or len(labels) != len(pixels):
        raise FileFormatError(f"{where} holds {len(pixels):,} images but no label for each.")
    if not all(type(label) is int and 0 <= label < 100 for label in labels):
        raise FileFormatError(f"{where} holds labels outside 0..99.")
    return pixels, np.array(labels, np.int64)


def _pixels(array: Any, where: str) -> NDArray[np.uint8]:
    state = array.state if type(array) is _Array else None
    if type(state) is tuple and len(state) == 5:
        _, shape, kind, fortran, raw = state
        if (
            type(kind) is _Dtype
            and type(raw) is bytes
            and not fortran
            and type(shape) is tuple
            and shape == (len(raw) // PIXELS, PIXELS)
            and len(raw) == shape[0] * PIXELS > 0
        ):
            return np.frombuffer(raw, np.uint8).reshape(shape)
    raise FileFormatError(f"{where} holds no array of images, rows of {PIXELS} bytes.")
