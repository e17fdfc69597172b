"""The files inside a folder or an archive, one after the other, without unpacking anything.

Nothing of an archive ever reaches the disk, so its names are just text. Only regular members are
given: links and devices are passed over. What an archive claims is held against its size on the
disk before anything is read or inflated.
"""

import contextlib
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from nnlab.datasets.compressed import DAMAGE, open_content
from nnlab.errors import FileFormatError, InputError

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".zip")
# The largest member that is read; the largest known one is EMNIST's of 113 MB.
MAX_MEMBER_BYTES = 512 * 2**20
# What is compressed may claim so many bytes, or so many times what it occupies: a few times is
# usual, drawings may reach a hundred, a bomb is a thousand to one.
MAX_CLAIM = 256 * 2**20
EXPANSION = 128
# Names of a member that are longer than this are no names.
MAX_HEADER_BYTES = 2**20
# Who asks what is in an archive looks at so many members, none further in than so many bytes.
GLANCE_MEMBERS = 50
GLANCE_BYTES = 8 * 2**20
_TAR_BLOCK = 512
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


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
    """Whether the path is a folder, or a file that is an archive or named like one."""
    if path.is_dir():
        return True
    return path.is_file() and (
        path.name.lower().endswith(ARCHIVES) or is_zip(path) or _is_tar(path)
    )


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip does."""
    try:
        with path.open("rb") as file:
            return file.read(4) in _ZIP
    except OSError:
        return False


def first_names(path: Path) -> list[str]:
    """Return the names, without folders, of the first members of a container."""
    names: list[str] = []
    passed = 0
    with contextlib.suppress(InputError, OSError):
        for member, size in _members(path):
            names.append(member.parts[-1] if member.parts else "")
            passed += size
            # A tar has to be read up to the next member; a zip and a folder have a list.
            if len(names) == GLANCE_MEMBERS or passed > GLANCE_BYTES:
                break
    return names


def members(path: Path) -> Iterator[Member]:
    """Give the members of a folder (sorted by path) or an archive (in its own order).

    Raises:
        FileFormatError: the archive is damaged, or made to harm.
        InputError: it cannot be read, or is encrypted.
    """
    seen: set[int] = set()
    folder = path.is_dir()
    for member, _ in _members(path):
        if not folder:
            if ".." in member.parts:
                _refuse(path, f"the name {'/'.join(member.parts)} leads out of it")
            if not member.is_folder:
                # Whole names of a million files would fill the memory.
                key = hash(member.parts)
                if key in seen:
                    _refuse(path, f"it holds {'/'.join(member.parts)} twice")
                seen.add(key)
        yield member


def named_files(path: Path) -> Iterator[tuple[str, Member]]:
    """Give the files of a container, each with its name without folders; see `members`."""
    for member in members(path):
        if not member.is_folder and member.parts:
            yield member.parts[-1], member


def _members(path: Path) -> Iterator[tuple[Member, int]]:
    """Give each member with the bytes to pass before the next one."""
    with _reading(path):
        if path.is_dir():
            yield from _folder_members(str(path))
        elif is_zip(path) or path.name.lower().endswith(".zip"):
            yield from _zip_members(path)
        else:
            yield from _tar_members(path)


def _refuse(path: Path, reason: str) -> NoReturn:
    raise FileFormatError(f"{path} is refused: {reason}.")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what a damaged container raises into an error of ours."""
    try:
        yield
    except (
        *DAMAGE, tarfile.TarError, zipfile.BadZipFile, NotImplementedError, RuntimeError,
        struct.error, UnicodeDecodeError, ValueError, OverflowError, MemoryError, IndexError,
    ) as error:  # fmt: skip
        reason = str(error).split("\n", maxsplit=1)[0] or type(error).__name__
        raise FileFormatError(f"{path} is damaged ({reason}); get it again.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{error.filename or path} cannot be read: {reason}.") from error


def _folder_members(
    folder: str, parents: tuple[str, ...] = (), linked: bool = False
) -> Iterator[tuple[Member, int]]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        parts = (*parents, entry.name)
        # A link to a folder is followed once at most: one back up must not lead in circles.
        if entry.is_dir(follow_symlinks=not linked):
            yield Member(parts, True, bytes), 0
            yield from _folder_members(entry.path, parts, linked or entry.is_symlink())
        # A link into nowhere is a file that cannot be read: it must not vanish in silence.
        elif entry.is_file() or (entry.is_symlink() and not entry.is_dir()):
            yield Member(parts, False, partial(_read_file, entry.path)), 0


def _read_file(path: str) -> bytes:
    with _reading(Path(path)), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        _check_size(path, "", size)
        return file.read(size)


class _Claims:
    """What the members of an archive claim together, against what it occupies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.limit = max(MAX_CLAIM, EXPANSION * path.stat().st_size)
        self.total = 0

    def add(self, size: int) -> None:
        self.total += size
        if self.total > self.limit:
            _refuse(
                self.path,
                f"it has {self.path.stat().st_size:,} bytes and claims to hold more than "
                f"{self.limit:,}",
            )


class _TarInfo(tarfile.TarInfo):
    """A member's header, read with suspicion: tarfile would hold any header in memory."""

    HEADERS = (
        tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
    )  # fmt: skip

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type in self.HEADERS and self.size > MAX_HEADER_BYTES:
            _refuse(_path_of(archive), "a name in it is too long")
        if self.type == tarfile.GNUTYPE_SPARSE:
            self._refuse_sparse(archive)
        if self.size < 0:
            _refuse(_path_of(archive), "it claims a size below 0")
        return super()._proc_member(archive)  # type: ignore[misc]

    def _refuse_sparse(self, archive: tarfile.TarFile) -> NoReturn:
        _refuse(_path_of(archive), f"{self.name} is a sparse file")

    def _proc_gnusparse_00(self, *_: Any) -> NoReturn:
        raise FileFormatError(f"an archive with the sparse file {self.name} is refused.")

    _proc_gnusparse_01 = _proc_gnusparse_10 = _proc_gnusparse_00


def _path_of(archive: tarfile.TarFile) -> Path:
    return Path(os.fsdecode(archive.name or ""))


def _tar_members(path: Path) -> Iterator[tuple[Member, int]]:
    claims = _Claims(path)
    with (
        open_content(path) as content,
        tarfile.open(str(path), "r|", fileobj=content, tarinfo=_TarInfo) as archive,
    ):
        for info in archive:
            # The archive remembers every member it has passed; a million of them add up.
            archive.members = []  # type: ignore[attr-defined]
            claims.add(info.size)
            if info.isdir():
                yield Member(_parts(info.name), True, bytes), info.size
            elif info.isreg():
                read = partial(_read_tar, path, archive, info)
                yield Member(_parts(info.name), False, read), info.size


def _read_tar(path: Path, archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    with _reading(path):
        _check_size(path, info.name, info.size)
        stream = archive.extractfile(info)
        return stream.read() if stream is not None else b""


def _is_tar(path: Path) -> bool:
    try:
        with open_content(path) as content:
            tarfile.TarInfo.frombuf(content.read(_TAR_BLOCK), "utf-8", "surrogateescape")
    except (*DAMAGE, OSError, tarfile.TarError, ValueError):
        return False
    return True


def _zip_members(path: Path) -> Iterator[tuple[Member, int]]:
    claims = _Claims(path)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            claims.add(info.file_size)
        for info in archive.infolist():
            if info.flag_bits & 1:
                raise InputError(f"{path} is encrypted; unpack it and name the folder.")
            read = partial(_read_zip, path, archive, info)
            yield Member(_parts(info.filename), info.is_dir(), read), 0


def _read_zip(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with _reading(path):
        _check_size(path, info.filename, info.file_size)
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            # Of the others zipfile inflates as much as there is.
            _refuse(path, f"{info.filename} is compressed in a way that zips rarely are")
        with archive.open(info) as stream:
            return stream.read(info.file_size)  # without a number: as much as there is


def _check_size(path: Path | str, name: str, size: int) -> None:
    if size > MAX_MEMBER_BYTES:
        what = f"{path}: {name}" if name else str(path)
        raise InputError(f"{what} is larger than {MAX_MEMBER_BYTES >> 20} MB; refused.")


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(name).parts if part not in {"/", "//", "."})
