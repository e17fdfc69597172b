"""The sealed container of a run file: an HDF5 file that knows whether it is whole.

In front of the HDF5 data stands a user block of 512 bytes, which every HDF5 tool skips:

    nnlab run 1 sha256=<of every byte after this line>
    size=<of the file> summary=<offset>+<length> sha256=<of the summary>
    zeros

HDF5 itself does not notice most damage, and some damaged files keep it busy for ever, so readers
check the digest before HDF5 sees a byte. `tail -n +2 RUN.h5 | sha256sum` checks it by hand. The
second line lets a listing read the data set `/summary` of thousands of runs, each checked by its
own digest, without reading any weights.

Files are built in memory and written whole by `nnlab.atomic`: h5py swallows the errors of a full
disk, plain writes do not.
"""

import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from nnlab import hdf5
from nnlab.atomic import write_bytes
from nnlab.claims import Claim
from nnlab.errors import FileFormatError, InputError

VERSION = 1
BLOCK = 512
SUMMARY = "summary"
WHAT = "run file"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
SEAL_LENGTH = len(f"nnlab run {VERSION} sha256=\n") + 64

_SEAL = re.compile(rb"nnlab run (\d{1,9}) sha256=([0-9a-f]{64})\n")
_PLACES = re.compile(rb"size=(\d{1,18}) summary=(\d{1,18})\+(\d{1,18}) sha256=([0-9a-f]{64})\n")


def write(path: Path, fill: Callable[[h5py.File], None], held: Claim | None = None) -> str:
    """Write a sealed file, whole or not at all.

    Args:
        path: the file; one of that name is replaced.
        fill: puts everything into the open HDF5 file, the text data set `/summary` included.
        held: the claim to `path`; None to claim it for this one write.

    Returns:
        A warning, usually empty; see `nnlab.atomic.write_bytes`.

    Raises:
        InputError: the file could not be written; an older one of that name is untouched.
        ClaimLostError: another process has taken the file over.
    """
    return write_bytes(path, build(fill), held=held)


def build(fill: Callable[[h5py.File], None]) -> memoryview:
    """Return the bytes of a sealed file; the same content gives the same bytes."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=BLOCK) as file:
        fill(file)
        file.flush()
        summary = file[SUMMARY]
        start, length = summary.id.get_offset(), summary.nbytes
    image = buffer.getbuffer()
    digest = hashlib.sha256(image[start : start + length]).hexdigest()
    places = f"size={len(image)} summary={start}+{length} sha256={digest}\n".encode()
    image[SEAL_LENGTH : SEAL_LENGTH + len(places)] = places
    image[:SEAL_LENGTH] = seal_line(image[SEAL_LENGTH:])
    return image


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Read a file into memory, check its digest, then open it from memory.

    Raises:
        InputError: there is no such file, or it cannot be read.
        FileFormatError: it is damaged, foreign, hostile, or of a newer version.
    """
    check_is_file(path)
    with hdf5.reading(path, WHAT):
        image = path.read_bytes()
        check_seal(path, image)
        # Filter plug-ins are shared libraries that HDF5 would load because a file names them.
        os.environ.pop("HDF5_PLUGIN_PATH", None)
        with h5py.File(io.BytesIO(image), "r") as file:
            hdf5.check_file(file, path, "run", VERSION, memory=len(image))
            yield file


def check_is_file(path: Path) -> None:
    """Raise `InputError` unless the path is a file, so that nothing waits for a pipe."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{path} is a folder, not an nnlab {WHAT}.")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is not a regular file.")


def check_seal(path: Path, image: bytes) -> None:
    """Check a whole file against the digest in its first line.

    Raises:
        FileFormatError: it is not a run file, of a newer version, cut short or altered.
    """
    places = _check_header(path, image[:BLOCK])
    if len(image) < int(places[1]):
        raise FileFormatError(
            f"{path} is cut short: {len(image):,} of {int(places[1]):,} bytes; take a copy of it, "
            "or train again."
        )
    if image[:SEAL_LENGTH] != seal_line(memoryview(image)[SEAL_LENGTH:]):
        raise _damaged(path)


def read_summary(path: Path) -> bytes | None:
    """Return the text of `/summary` without reading the rest of the file.

    Returns:
        The text; None if the file is an HDF5 file of another kind.

    Raises:
        InputError: there is no such file, or it cannot be read.
        FileFormatError: it is neither, of a newer version, cut short, or its summary was altered.
            Damage elsewhere is not noticed.
    """
    check_is_file(path)
    try:
        with path.open("rb", buffering=0) as file:
            header = file.read(BLOCK)
            if header.startswith(HDF5_SIGNATURE):
                return None
            places = _check_header(path, header)
            size, start, length = (int(number) for number in places.groups()[:3])
            found = os.fstat(file.fileno()).st_size
            if found != size:
                raise FileFormatError(f"{path} is cut short: {found:,} of {size:,} bytes.")
            if start + length > size:
                raise _damaged(path)
            summary = os.pread(file.fileno(), length, start)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(summary).hexdigest().encode() != places[4]:
        raise _damaged(path)
    return summary


def _check_header(path: Path, header: bytes) -> re.Match[bytes]:
    seal = _SEAL.match(header)
    if seal is None:
        if header.startswith(HDF5_SIGNATURE):
            raise FileFormatError(
                f"{path} is another kind of HDF5 file (a data file, perhaps), not an nnlab {WHAT}."
            )
        raise FileFormatError(
            f"{path} is damaged or not an nnlab {WHAT}; name another, or make it again."
        )
    if int(seal[1]) > VERSION:
        raise FileFormatError(
            f"{path} has format version {int(seal[1])}, this nnlab reads up to {VERSION}; update "
            "nnlab (pip install -U nnlab-toolkit)."
        )
    places = _PLACES.match(header, seal.end())
    if places is None:
        raise _damaged(path)
    return places


def seal_line(rest: bytes | memoryview) -> bytes:
    """Return the first line of a file whose other bytes are `rest`."""
    return f"nnlab run {VERSION} sha256={hashlib.sha256(rest).hexdigest()}\n".encode()


def _damaged(path: Path) -> FileFormatError:
    return FileFormatError(
        f"{path} is damaged: its content does not match its checksum; take a copy of it, or train "
        "again."
    )
