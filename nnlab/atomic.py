"""Files that appear whole or not at all.

A file is written under a temporary name in its own folder, brought to the disk (fsync), renamed to
its name, and the folder is brought to the disk too. Whoever opens the name sees the old file or
the new one. Whoever writes holds the file's claim (`nnlab.claims`) and reads it again before the
rename. A stop at any moment leaves at most a temporary file and a claim behind, which the next
writer of the same file removes.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from nnlab.claims import Claim, claim
from nnlab.errors import InputError

REPLACING = "choose another name or add --force"


def refuse_existing(path: Path, force: bool, *sources: Path, advice: str = REPLACING) -> None:
    """Raise `InputError` if `path` exists (without `force`) or can never be written.

    Args:
        path: the file to be written.
        force: an older file of that name may be replaced.
        sources: what the result is made from; `force` does not replace that.
        advice: what to do about a file that exists.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it.")
    if path.exists() and not path.is_file():  # a rename would put a file in a device's place
        raise InputError(f"{path} is no regular file; choose another name.")
    if path.exists() and any(source.exists() and path.samefile(source) for source in sources):
        raise InputError(f"{path} is read here; choose another name for the result.")
    if path.exists() and not force:
        raise _exists(path, advice)
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; make it first.")
    # Now, and not after the hours that its content takes to compute.
    probe = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        try:
            os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        finally:
            probe.unlink(missing_ok=True)  # whoever writes the file meanwhile removes it, too
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; choose another place with -o."
        ) from error


def claim_result(path: Path, purpose: str, force: bool, resume: bool = False) -> Claim:
    """Claim a result's file before the work for it begins.

    Args:
        path: the file.
        purpose: the command, for the messages that others get.
        force: replace `path` if it is there, and take over a claim whose owner is silent.
        resume: go on with `path` if it is there.

    Raises:
        BusyError: another process is writing the file.
        InputError: it is there (without `force` or `resume`), or cannot be claimed.
    """
    held = claim(path, purpose, force)
    # It may have appeared since `refuse_existing` looked.
    if path.exists() and not (force or resume):
        held.release()
        raise _exists(path)
    return held


def _exists(path: Path, advice: str = REPLACING) -> InputError:
    return InputError(f"{path} exists already; {advice}.")


def write_bytes(path: Path, *parts: bytes | memoryview, held: Claim | None = None) -> str:
    """Write the parts, one after the other, as the file `path`, whole or not at all.

    After an fsync that failed the system may forget what it could not write, so the same file is
    not tried again: everything is written to a new one, once.

    Args:
        path: the file; one of that name is replaced.
        parts: its content.
        held: the claim to `path`; None to claim it for this one write.

    Returns:
        A warning: the file is there, but could not be made to survive a power cut. Usually empty.

    Raises:
        InputError: the file could not be written; an older one of that name is untouched.
        ClaimLostError: another process has taken the file over.
    """
    with _claimed(path, held) as own:
        try:
            return _write_once(path, parts, own)
        except _SyncFailedError:
            pass
        try:
            return _write_once(path, parts, own)
        except _SyncFailedError as error:
            raise _refused(path, error) from error


def _write_once(path: Path, parts: tuple[bytes | memoryview, ...], held: Claim) -> str:
    with _temporary_file(path, held) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_TRUNC)
        try:
            for part in parts:
                view = memoryview(part).cast("B")
                while view:
                    view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)
        return _publish(temporary, path, held)


@contextlib.contextmanager
def staged(path: Path, held: Claim | None = None) -> Iterator[Path]:
    """Give a temporary file to fill; when the block ends well it becomes `path`.

    The temporary file exists and is empty when the block begins. If the block raises, it is
    removed and `path` stays as it was.

    Args:
        path: the file; one of that name is replaced.
        held: the claim to `path`; None to claim it for this block.

    Raises:
        InputError: the operating system refused (full disk, no permission, ...), or the block
            raised an `OSError`.
        ClaimLostError: another process has taken the file over.
    """
    with _claimed(path, held) as own, _temporary_file(path, own) as temporary:
        yield temporary
        try:
            _publish(temporary, path, own)
        except _SyncFailedError as error:
            raise _refused(path, error) from error


class _SyncFailedError(Exception):
    """An fsync failed; the reason is in `strerror`."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.strerror = error.strerror


def _claimed(path: Path, held: Claim | None) -> contextlib.AbstractContextManager[Claim]:
    if held is None:
        return claim(path, "nnlab", brief=True)
    return contextlib.nullcontext(held)


@contextlib.contextmanager
def _temporary_file(path: Path, held: Claim) -> Iterator[Path]:
    temporary = held.temporary
    try:
        temporary.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _publish(temporary: Path, path: Path, held: Claim) -> str:
    try:
        sync(temporary)
    except OSError as error:
        raise _SyncFailedError(error) from error
    held.check()
    try:
        os.replace(temporary, path)
    except FileNotFoundError:
        held.check()  # whoever takes a file over removes what others prepared
        raise
    # After the rename the file is there; a folder that cannot be synced only delays the moment
    # from which it also survives a power cut.
    try:
        sync(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        return f"{path} is written, but may not survive a power cut: its folder gave: {reason}"
    return ""


def _refused(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(
        f"cannot write {path}: {reason}; free some space or choose another place with -o."
    )


def sync(path: Path) -> None:
    """Bring a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
