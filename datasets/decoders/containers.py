"""The files inside a folder or an archive, one after the other, without unpacking anything.

Nothing of an archive ever reaches the disk, so paths that lead elsewhere and links are harmless:
only regular members are given, and their names are just text.
"""

import contextlib
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from nnlab.errors import FileFormatError, InputError

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".zip")
# The largest member that is read; the largest known one is a CIFAR-100 batch of 155 MB.
MAX_MEMBER_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Member:
    """A file of a container.

    Attributes:
        parts: its path within the container, without `.` and empty parts.
        is_folder: a folder; it has nothing to read.
        read: gives the content; of an archive only until the next member is asked for.
    """

    parts: tuple[str, ...]
    is_folder: bool
    read: Callable[[], bytes]


def is_container(path: Path) -> bool:
    """Whether the path is a folder, or a file named like an archive."""
    return path.is_dir() or (path.is_file() and path.name.lower().endswith(ARCHIVES))


def members(path: Path) -> Iterator[Member]:
    """Give the members of a folder (sorted by path) or an archive (in its own order).

    Raises:
        FileFormatError: the archive is damaged.
        InputError: it cannot be read, or a member is too large or encrypted.
    """
    with _reading(path):
        if path.is_dir():
            yield from _folder_members(str(path))
        elif path.name.lower().endswith(".zip"):
            yield from _zip_members(path)
        else:
            yield from _tar_members(path)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what a damaged container raises into an error of ours."""
    try:
        yield
    except (
        tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError,
        NotImplementedError, RuntimeError, struct.error, UnicodeDecodeError,
    ) as error:  # fmt: skip
        raise FileFormatError(f"{path} is damaged ({error}); get it again.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{error.filename or path} cannot be read: {reason}.") from error


def _folder_members(
    folder: str, parents: tuple[str, ...] = (), linked: bool = False
) -> Iterator[Member]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        parts = (*parents, entry.name)
        # A link to a folder is followed once at most: one back up must not lead in circles.
        if entry.is_dir(follow_symlinks=not linked):
            yield Member(parts, True, bytes)
            yield from _folder_members(entry.path, parts, linked or entry.is_symlink())
        elif entry.is_file():
            yield Member(parts, False, partial(_read_file, entry.path))


def _read_file(path: str) -> bytes:
    with _reading(Path(path)), open(path, "rb") as file:
        return file.read()


def _tar_members(path: Path) -> Iterator[Member]:
    with tarfile.open(path, "r|*") as archive:
        for info in archive:
            # The archive remembers every member it has passed; a million of them add up.
            archive.members = []  # type: ignore[attr-defined]
            if info.isdir():
                yield Member(_parts(info.name), True, bytes)
            elif info.isreg():
                _check_size(path, info.name, info.size)
                yield Member(_parts(info.name), False, partial(_read_tar, path, archive, info))


def _read_tar(path: Path, archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    with _reading(path):
        stream = archive.extractfile(info)
        return stream.read() if stream is not None else b""


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.flag_bits & 1:
                raise InputError(f"{path} is encrypted; unpack it and name the folder.")
            _check_size(path, info.filename, info.file_size)
            read = partial(_read_zip, path, archive, info)
            yield Member(_parts(info.filename), info.is_dir(), read)


def _read_zip(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with _reading(path), archive.open(info) as stream:
        return stream.read(MAX_MEMBER_BYTES)


def _check_size(path: Path, name: str, size: int) -> None:
    if size > MAX_MEMBER_BYTES:
        raise InputError(f"{path}: {name} is larger than {MAX_MEMBER_BYTES >> 20} MB; refused.")


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(name).parts if part not in {"/", "."})
