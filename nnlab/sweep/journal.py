"""Optuna's journal file, mended where a torn last line would make the whole study unreadable.

A full disk, a quota or a network file system can leave half a record at the end. Readers pass over
it, but Optuna's next append would glue itself to it, and from then on nobody could read the study
(optuna issue 5138). Here, whoever is about to append, holding the lock, first cuts the file back to
its last whole line; what was cut goes to a file beside it.
"""

import os
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

CUT_SUFFIX = ".cut"
# Far longer than any record.
BLOCK = 1 << 20


class MendingBackend(JournalFileBackend):  # type: ignore[misc]
    """A journal file whose torn last line is cut off before the next record is appended."""

    def __init__(self, path: Path) -> None:
        lock = JournalFileSymlinkLock(str(path))
        super().__init__(str(path), _Mending(lock, path))


class _Mending:
    """A lock that mends the journal as soon as it is held."""

    def __init__(self, lock: Any, path: Path) -> None:
        self._lock = lock
        self._path = path

    def acquire(self) -> bool:
        held: bool = self._lock.acquire()
        try:
            cut_torn_line(self._path)
        except BaseException:
            self._lock.release()
            raise
        return held

    def release(self) -> None:
        self._lock.release()


def open_journal(path: Path) -> JournalStorage:
    """Open a journal, or begin one."""
    return JournalStorage(MendingBackend(path))


def cut_torn_line(path: Path) -> None:
    """Cut a file back to its last whole line; the rest is appended to a file beside it."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read(1) == b"\n":
            return
        end = size
        while end > 0:
            start = max(0, end - BLOCK)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            end = start + newline + 1 if newline >= 0 else start
            if newline >= 0:
                break
        file.seek(end)
        with path.with_name(path.name + CUT_SUFFIX).open("ab") as beside:
            beside.write(file.read() + b"\n")
        file.truncate(end)
        os.fsync(file.fileno())
