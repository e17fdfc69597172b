"""The bytes of a file that have come so far, and where they came from.

A part file has its owner's token in its name and nobody else ever writes to it: whatever two
processes do that each believe to be alone, a file that was verified is the file that is placed.
"""

import ctypes
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from nnlab.atomic import sync

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# The suffixes of what lies beside a file on its way; the last ones hold what is being written.
KINDS = ("part", "notes", "tmp")
KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE of Linux


@dataclass(frozen=True)
class Notes:
    """What is known of a part.

    Attributes:
        url: where its latest bytes came from.
        validator: the server's name for this version of the file; empty if it gave none.
        total: bytes of the whole file there; 0 if unknown.
        encoded: the server compressed the file on its way.
    """

    url: str = ""
    validator: str = ""
    total: int = 0
    encoded: bool = False


class Part:
    """A file on its way to `target`.

    Args:
        target: the name that the whole file will have, in an existing folder.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        self.notes = Notes()

    @property
    def size(self) -> int:
        """Bytes received so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing, as far as the server has told."""
        return 0 < self.notes.total == self.size

    def adopt(self, alive: bool) -> None:
        """Go on with the longest part that an earlier process has left.

        Args:
            alive: that process may still write to it; its bytes are copied, not taken.
        """
        found = sorted(parts_of(self.target), key=lambda path: path.stat().st_size)
        if found:
            self.notes = _read_notes(_notes_file(found[-1]))
            if alive:
                shutil.copyfile(found[-1], self.path)
            else:
                os.replace(found[-1], self.path)
        for kind in KINDS:
            for path in _left_by(self.target, kind):
                if path != self.path:
                    path.unlink(missing_ok=True)
        if found:
            self._write_notes()

    @contextmanager
    def writing(self, offset: int, notes: Notes, expected: int) -> Iterator[BinaryIO]:
        """Open for writing at `offset`; what stood behind it is dropped.

        Args:
            offset: where the coming bytes belong.
            notes: where they come from.
            expected: bytes of the whole file, whose space is taken now; 0 if unknown.
        """
        self.notes = notes
        self._write_notes()
        with self.path.open("r+b" if self.path.exists() else "x+b") as stream:
            stream.truncate(offset)
            stream.seek(offset)
            reserve(stream.fileno(), expected)
            yield stream

    def discard(self) -> None:
        """Forget all bytes."""
        _remove(self.path)
        self.notes = Notes()

    def keep(self) -> int:
        """Leave the part for a later process; return its size, 0 if there was nothing to keep."""
        size = self.size
        if not size:
            self.discard()
        return size

    def place(self) -> None:
        """Give the file its name; it is on the disk before."""
        os.truncate(self.path, self.size)  # frees what was reserved and not needed
        sync(self.path)
        _notes_file(self.path).unlink(missing_ok=True)  # nothing stays behind the last step
        os.replace(self.path, self.target)
        with suppress(OSError):
            sync(self.target.parent)

    def _write_notes(self) -> None:
        path = _notes_file(self.path)
        fresh = path.with_suffix(".tmp")
        fresh.write_text(json.dumps(asdict(self.notes)), encoding="utf-8")
        os.replace(fresh, path)


def parts_of(target: Path) -> list[Path]:
    """Return the parts of a file that are there."""
    return _left_by(target, "part")


def reserve(descriptor: int, size: int) -> None:
    """Take the space of `size` bytes now, so that a quota or a full disk shows before the bytes.

    Does nothing where the file system cannot.

    Raises:
        OSError: there is not so much space.
    """
    if not size or not hasattr(_libc, "fallocate"):
        return
    if _libc.fallocate(descriptor, KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size)):
        code = ctypes.get_errno()
        if code in FULL:
            raise OSError(code, os.strerror(code))


_libc = ctypes.CDLL(None, use_errno=True)


def _escaped(name: str) -> str:
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)


def _left_by(target: Path, kind: str) -> list[Path]:
    try:
        found = list(target.parent.glob(f".{_escaped(target.name)}.????????.{kind}"))
    except OSError:  # what cannot be listed cannot be gone on from
        return []
    return [path for path in found if path.is_file() and not path.is_symlink()]


def _notes_file(path: Path) -> Path:
    return path.with_suffix(".notes")


def _remove(path: Path) -> None:
    for name in (path, _notes_file(path)):
        with suppress(OSError):
            name.unlink(missing_ok=True)


def _read_notes(path: Path) -> Notes:
    """Read notes; none, if they are damaged: they save time, nothing relies on them."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        notes = Notes(**content)
    except (OSError, ValueError, TypeError):
        return Notes()
    kinds = {"url": str, "validator": str, "total": int, "encoded": bool}
    if all(type(getattr(notes, name)) is kind for name, kind in kinds.items()):
        return notes
    return Notes()
