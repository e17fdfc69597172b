"""Optuna's journal file, mended where it would lose a study.

A full disk, a quota or a network file system can leave half a record at the end. Readers pass over
it, but Optuna's next append would glue itself to it, and from then on nobody could read the study
(optuna issue 5138). Here, whoever is about to append, holding the lock, first cuts the file back to
its last whole line; what was cut goes to a file beside it.

The lock is the file that Optuna's own programs use, too. A holder that was killed leaves it
behind, and whoever has seen the same one for half a minute takes it away. Optuna looks at what the
link points to: from a relative path that is nothing, and everybody would wait for ever; and the
journal itself does not tell an old lock from one that somebody has made since.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

CUT_SUFFIX, LOCK_SUFFIX = ".cut", ".lock"
# Far longer than any record.
BLOCK = 1 << 20
# A lock is held for milliseconds; one that has not changed for so long has lost its holder.
GRACE_SECONDS = 30
LONGEST_PAUSE = 1.0
# What file systems without symbolic links answer.
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP}


class MendingBackend(JournalFileBackend):  # type: ignore[misc]
    """A journal file whose torn last line is cut off before the next record is appended."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), MendingLock(path))


class MendingLock(JournalFileSymlinkLock):  # type: ignore[misc]
    """The lock of a journal, which is mended as soon as the lock is held."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), GRACE_SECONDS)
        self._path = path

    def acquire(self) -> bool:
        """Wait for the lock, or take away that of a holder who is no more; return True."""
        seen: Any = None
        since, pause = monotonic(), 0.001
        while not self._make():
            try:
                found = lock_file(self._path).lstat()
            except FileNotFoundError:
                continue
            now = (found.st_ino, found.st_mtime_ns)
            if now != seen:
                seen, since = now, monotonic()
            elif monotonic() - since > GRACE_SECONDS:
                with suppress(RuntimeError):  # somebody else was first
                    self.release()
                continue
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        try:
            cut_torn_line(self._path)
        except BaseException:
            self.release()
            raise
        return True

    def _make(self) -> bool:
        """Make the lock's file, and only if there is none."""
        file = lock_file(self._path)
        try:
            # What it points to is right from everywhere; Optuna's own lock looks there.
            file.symlink_to(self._path.name)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            try:
                os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            except FileExistsError:
                return False
        return True


def lock_file(path: Path) -> Path:
    """Return the name of a journal's lock."""
    return path.with_name(path.name + LOCK_SUFFIX)


def locked_seconds(path: Path) -> float:
    """Return for how long a journal has been locked, by this machine's clock; 0 if it is not."""
    try:
        return max(0.0, time() - lock_file(path).lstat().st_mtime)
    except OSError:
        return 0.0


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
