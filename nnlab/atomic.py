"""Files that appear whole or not at all.

A file is written under a temporary name in its own folder, brought to the disk (fsync), renamed to
its name, and the folder is brought to the disk too. Whoever opens the name sees the old file or
the new one. A stop at any moment leaves at most a `*.tmp` file behind.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from nnlab.errors import InputError


def refuse_existing(path: Path, force: bool, *sources: Path) -> None:
    """Raise `InputError` if `path` exists (without `force`) or can never be written.

    Args:
        path: the file to be written.
        force: an older file of that name may be replaced.
        sources: what the result is made from; `force` does not replace that.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it.")
    if path.exists() and not path.is_file():  # a rename would put a file in a device's place
        raise InputError(f"{path} is no regular file; choose another name.")
    if path.exists() and any(source.exists() and path.samefile(source) for source in sources):
        raise InputError(f"{path} is read here; choose another name for the result.")
    if path.exists() and not force:
        raise InputError(f"{path} exists already; choose another name or add --force.")
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; make it first.")
    # Now, and not after the hours that its content takes to compute.
    probe = _temporary(path)
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; choose another place with -o."
        ) from error


def _temporary(path: Path) -> Path:
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")


def write_bytes(path: Path, *parts: bytes | memoryview) -> None:
    """Write the parts, one after the other, as the file `path`, whole or not at all.

    Raises:
        InputError: the file could not be written; an older one of that name is untouched.
    """
    with staged(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_TRUNC)
        try:
            for part in parts:
                view = memoryview(part).cast("B")
                while view:
                    view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Give a temporary file to fill; when the block ends well it becomes `path`.

    The temporary file exists and is empty when the block begins. If the block raises, it is
    removed and `path` stays as it was.

    Raises:
        InputError: the operating system refused (full disk, no permission, ...), or the block
            raised an `OSError`.
    """
    temporary = _temporary(path)
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"cannot write {path}: {reason}; free some space or choose another place with -o."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    # After the rename the file is there; a folder that cannot be synced only delays the moment
    # from which it also survives a power cut.
    with contextlib.suppress(OSError):
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
