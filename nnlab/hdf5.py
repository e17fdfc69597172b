"""What nnlab's two HDF5 formats, data files and run files, have in common.

Strings have a fixed length, because reading damaged variable-length ones can hang HDF5
(HDFGroup/hdf5 issue 1707). Files are opened read-only, without HDF5's locks (which network file
systems refuse), and every object is checked before anything is read: no links to other files, no
external or virtual data, only plain numbers and strings, nothing that can be reached twice, no
size beyond what is stored.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nnlab.errors import FileFormatError, InputError

MAX_DEPTH = 8
MAX_OBJECTS = 10_000
# Of one object; to walk through them takes HDF5 the square of their number.
MAX_ATTRIBUTES = 1_000
# A compressed data set may claim this many bytes, or EXPANSION times what it occupies. Images come
# down to a third or so; only what is nearly empty shrinks a hundredfold.
MAX_CLAIM = 64 * 2**20
EXPANSION = 100
# HDF5 itself keeps attributes below this size.
MAX_ATTRIBUTE = 64 * 2**10
# Bytes; Python has no longer one.
LONGEST_FLOAT = 8
# What says nothing about a file's content: permissions, disks and servers that fail, ...
REFUSED = {
    errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EMFILE,
    errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.ETIMEDOUT, errno.EINTR,
}  # fmt: skip
# HDF5's numbers of the filters that carry no code of their own: deflate, shuffle, fletcher32.
PLAIN_FILTERS = {1, 2, 3}
# A name from the command line need not be UTF-8; Python carries the odd bytes as lone surrogates.
ODD_BYTES = "surrogatepass"


def write_text(group: h5py.Group, name: str, text: str) -> None:
    """Store one string, of any length, as a scalar data set."""
    group.create_dataset(name, data=_fixed(text))


def write_texts(group: h5py.Group, name: str, texts: Sequence[str]) -> None:
    """Store strings as a 1-D data set of fixed-length UTF-8."""
    raw = [text.encode(errors=ODD_BYTES) for text in texts]
    width = max((len(item) for item in raw), default=1)
    data = np.array(raw, dtype=h5py.string_dtype("utf-8", max(width, 1)))
    group.create_dataset(name, data=data)


def read_text(group: h5py.Group, name: str) -> str:
    """Read what `write_text` wrote; `KeyError` if it is not there."""
    return bytes(group[name][()]).decode(errors=ODD_BYTES)


def read_texts(group: h5py.Group, name: str) -> list[str]:
    """Read what `write_texts` wrote; `KeyError` if it is not there."""
    return [bytes(item).decode(errors=ODD_BYTES) for item in group[name][()]]


def set_attributes(target: h5py.Group, **values: str | int | float | bool) -> None:
    """Store attributes; strings get a fixed length (at most 64 KB in HDF5)."""
    for name, value in values.items():
        target.attrs[name] = _fixed(value) if isinstance(value, str) else value


def text_attribute(target: h5py.Group, name: str, default: str | None = None) -> str:
    """Read a string attribute; `KeyError` if it is missing and there is no default.

    Raises:
        ValueError: it is not a string of fixed length.
    """
    if name not in target.attrs and default is not None:
        return default
    if target.attrs.get_id(name).dtype.kind != "S":
        raise ValueError(f"the attribute {name} is not a plain string")
    return bytes(target.attrs[name]).decode(errors=ODD_BYTES)


def read_attributes(target: h5py.Group) -> dict[str, str | int | float | bool]:
    """Read what `set_attributes` wrote, as plain values; the file has been checked before."""
    values: dict[str, str | int | float | bool] = {}
    for name, value in target.attrs.items():
        plain = value.item() if hasattr(value, "item") else value
        values[name] = plain.decode(errors=ODD_BYTES) if isinstance(plain, bytes) else plain
    return values


def _fixed(text: str) -> NDArray[Any]:
    raw = text.encode(errors=ODD_BYTES)
    return np.array(raw, dtype=h5py.string_dtype("utf-8", max(len(raw), 1)))


@contextlib.contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a damaged file makes HDF5 raise into one `FileFormatError`.

    Args:
        path: the file, named in the message.
        what: what the file should be, for example ``"run file"``.
    """
    try:
        yield
    except InputError:
        raise
    except (
        OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError, AttributeError,
        OverflowError, MemoryError, RecursionError, EOFError,
    ) as error:  # fmt: skip
        number = _system_error(error)
        if number in REFUSED:
            raise InputError(f"{path} cannot be read: {os.strerror(number).lower()}.") from error
        raise FileFormatError(
            f"{path} is damaged or not an nnlab {what}; name another, or make it again."
        ) from error


def _system_error(error: Exception) -> int:
    """Return the number of the system's error behind one of HDF5's; 0 where there is none."""
    if isinstance(error, OSError):
        return error.errno or 0
    # What fails while a file is closed comes as a text alone.
    found = re.search(r"errno = (\d{1,4})\b", str(error))
    return int(found[1]) if found and isinstance(error, RuntimeError) else 0


def open_checked(path: Path, kind: str, version: int) -> h5py.File:
    """Open a file of nnlab's, read-only, after checking that nothing in it reaches elsewhere.

    Args:
        path: the file.
        kind: the root attribute ``nnlab_format`` it must have: ``"data"`` or ``"run"``.
        version: the newest ``format_version`` that is understood.

    Raises:
        InputError: there is no such file.
        FileFormatError: it is damaged, foreign, hostile, or of a newer version.
    """
    what = f"{kind} file"
    if path.is_dir():
        raise InputError(f"{path} is a folder, not an nnlab {what}.")
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    # Filter plug-ins are shared libraries that HDF5 would load because a file names them.
    os.environ.pop("HDF5_PLUGIN_PATH", None)
    with reading(path, what):
        file = h5py.File(path, "r", locking=False)
        try:
            check_file(file, path, kind, version)
        except BaseException:
            file.close()
            raise
    return file


def open_foreign(path: Path, memory: int) -> tuple[h5py.File, list[str]]:
    """Open an HDF5 file of other people's, after the same checks as of nnlab's own.

    Attributes may be of any kind, because none is read; data sets of objects and strings of
    variable length are left out, for the same reason.

    Args:
        path: the file.
        memory: how many bytes all plain data sets together may claim.

    Returns:
        The file, and the names of its plain data sets.

    Raises:
        InputError: there is no such file.
        FileFormatError: it is damaged, or reaches elsewhere.
    """
    os.environ.pop("HDF5_PLUGIN_PATH", None)
    what = "HDF5 file of plain arrays"
    with reading(path, what):
        file = h5py.File(path, "r", locking=False)
        try:
            walk = _Walk(path, what, memory, own=False)
            walk.enter(file, str(path))
            _check_group(file, walk, depth=0)
        except BaseException:
            file.close()
            raise
    return file, walk.plain


def check_file(
    file: h5py.File, path: Path, kind: str, version: int, memory: int | None = None
) -> None:
    """Check that an open file is of this kind and version and holds plain data only.

    Args:
        file: the open file.
        path: its name for messages.
        kind: the root attribute ``nnlab_format`` it must have.
        version: the newest ``format_version`` that is understood.
        memory: how many bytes all data sets together may hold; None for no limit.

    Raises:
        FileFormatError: it is something else.
    """
    what = f"{kind} file"
    found = text_attribute(file, "nnlab_format", "")
    if found != kind:
        is_what = f"an nnlab {found} file" if found in {"data", "run"} else "some other HDF5 file"
        raise FileFormatError(f"{path} is {is_what}, not an nnlab {what}.")
    _check_attributes(file, str(path))
    found_version = int(file.attrs["format_version"])
    if found_version > version:
        raise FileFormatError(
            f"{path} has format version {found_version}, this nnlab reads up to {version}; "
            "update nnlab (pip install -U nnlab-toolkit)."
        )
    walk = _Walk(path, what, memory)
    walk.enter(file, str(path))
    _check_group(file, walk, depth=0)


@dataclass
class _Walk:
    """What was met on the way through one file."""

    path: Path
    what: str
    memory: int | None
    own: bool = True
    plain: list[str] = field(default_factory=list)
    places: set[int] = field(default_factory=set)
    claimed: int = 0
    stored: int = 0

    def enter(self, member: h5py.Group | h5py.Dataset, where: str) -> None:
        """Note an object; each may be reached once, so that there are no circles."""
        place = h5py.h5o.get_info(member.id).addr
        if place in self.places:
            raise FileFormatError(f"{where} can be reached by two names; refused.")
        self.places.add(place)
        if len(self.places) > MAX_OBJECTS:
            raise FileFormatError(
                f"{self.path} holds too many objects for an nnlab {self.what}; refused."
            )

    def hold(self, claimed: int, stored: int) -> None:
        """Note how many bytes a data set claims, and how many it may by what it stores."""
        self.claimed += claimed
        self.stored += stored
        limit = self.stored + MAX_CLAIM if self.memory is None else self.memory
        if self.claimed > limit:
            raise FileFormatError(f"{self.path} claims more data than it stores; refused.")


def _check_group(group: h5py.Group, walk: _Walk, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise FileFormatError(
            f"{walk.path} is nested too deeply for an nnlab {walk.what}; refused."
        )
    for name in group:
        where = f"{walk.path}: {group.name.rstrip('/')}/{name}"
        if isinstance(name, bytes):  # h5py gives what is not UTF-8 as it is
            raise FileFormatError(f"{where} has a name that is not text; refused.")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise FileFormatError(f"{where} links to another place; refused.")
        member = group[name]
        if not isinstance(member, h5py.Group | h5py.Dataset):
            raise FileFormatError(f"{where} is neither a group nor a data set; refused.")
        walk.enter(member, where)
        if walk.own:
            _check_attributes(member, where)
        if isinstance(member, h5py.Dataset):
            if not walk.own and not _is_plain(member):
                continue
            walk.hold(member.nbytes, _check_dataset(member, where))
            walk.plain.append(member.name.strip("/"))
        else:
            _check_group(member, walk, depth + 1)


def _check_attributes(member: h5py.Group | h5py.Dataset, where: str) -> None:
    number = h5py.h5a.get_num_attrs(member.id)
    if number > MAX_ATTRIBUTES:
        raise FileFormatError(f"{where} has {number:,} attributes; refused.")
    for index in range(number):
        attribute = h5py.h5a.open(member.id, index=index)
        if not _is_text(attribute.name):
            raise FileFormatError(f"{where} has an attribute whose name is not text; refused.")
        kind = attribute.dtype
        plain = not kind.hasobject and kind.kind in "biufS" and attribute.shape is not None
        plain = plain and (kind.kind != "f" or kind.itemsize <= LONGEST_FLOAT)
        if not plain or attribute.get_storage_size() > MAX_ATTRIBUTE:
            raise FileFormatError(f"{where} has an attribute that is not plain; refused.")


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_plain(dataset: h5py.Dataset) -> bool:
    kind = dataset.dtype
    return dataset.shape is not None and not kind.hasobject and kind.kind in "biufS"


def _check_dataset(dataset: h5py.Dataset, where: str) -> int:
    """Check one data set and return how many bytes it may claim by what it stores."""
    properties = dataset.id.get_create_plist()
    if dataset.external or dataset.is_virtual:
        raise FileFormatError(f"{where} keeps its data in another file; refused.")
    if not _is_plain(dataset):
        raise FileFormatError(f"{where} holds neither numbers nor plain strings; refused.")
    filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
    if not filters <= PLAIN_FILTERS:
        raise FileFormatError(f"{where} uses a filter that is not built in; refused.")
    claimed, stored = dataset.nbytes, dataset.id.get_storage_size()
    allowed = EXPANSION * stored if filters else stored
    if claimed > max(allowed, MAX_CLAIM):
        raise FileFormatError(f"{where} claims {claimed:,} bytes and stores {stored:,}; refused.")
    return min(allowed, claimed)


def map_dataset(dataset: h5py.Dataset, path: Path) -> NDArray[Any]:
    """Return a data set as a read-only array that maps the file, without loading it.

    Falls back to reading it whole where it cannot be mapped (compressed or chunked).

    Raises:
        FileFormatError: the file ends before the data set does.
    """
    offset = dataset.id.get_offset()
    properties = dataset.id.get_create_plist()
    plain = properties.get_layout() == h5py.h5d.CONTIGUOUS and dataset.dtype.isnative
    if dataset.size == 0 or offset is None or not plain:
        return np.asarray(dataset[()])
    if offset + dataset.nbytes > path.stat().st_size:
        raise FileFormatError(f"{path} is cut short: {dataset.name} reaches beyond its end.")
    return np.memmap(path, dataset.dtype, "r", offset, dataset.shape).view(np.ndarray)
