"""One request for a file: the bytes that are still missing, or all of them again.

HTTP ranges as in RFC 9110, section 14, read with the suspicion that practice has taught: servers
ignore them, answer with another range than they were asked for, change the file in between, lie
about its length, or never end.
"""

import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterator
from time import monotonic

import requests

from nnlab.datasets.card import CardFile
from nnlab.datasets.fetching.part import Notes, Part
from nnlab.datasets.fetching.patience import Patience
from nnlab.datasets.fetching.session import TransferError, opened, refused
from nnlab.datasets.fetching.verify import has_one_size

BLOCK_BYTES = 2**18
# Of a file whose size nobody has told.
MOST_BYTES = 16 * 2**30
SPARE_BYTES = 2**20
CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)$")
WHOLE_LENGTH = re.compile(r"bytes \*/(\d{1,18})$")
# How a server that does not know ranges, or lacks the one asked for, may answer.
NO_RANGE = {400, 405, 412, 416, 501}
PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html|head|body)\b", re.I)


def receive(
    session: requests.Session,
    url: str,
    part: Part,
    file: CardFile,
    patience: Patience,
    progress: Callable[[int, int], None],
) -> None:
    """Bring a part on, to its end if the server gives it.

    Args:
        session: the connections.
        url: of the file.
        part: what is there already; it grows, or begins anew where it has to.
        file: what is known about the file.
        patience: when to give up.
        progress: called with (bytes done, bytes in all or 0 while unknown).

    Raises:
        TransferError: not everything has come.
        OSError: the part cannot be written.
    """
    start = part.size
    with opened(session, url, _range_headers(url, part, start), patience) as response:
        if response.status_code == 416 and start and _reaches(response, start):
            return
        if response.status_code in NO_RANGE and start:
            part.discard()
            raise TransferError("it gives the file only from its beginning")
        if response.status_code not in {200, 206}:
            raise refused(response, patience)
        notes, offset = _described(url, response, start, part)
        blocks = _blocks(response, patience)
        first = next(blocks, b"")
        if offset == 0 and PAGE.match(first):
            raise TransferError("it sent a web page instead of the file", again=False)
        limit = _most_bytes(file, notes)
        with part.writing(offset, notes, file.size) as stream:
            block: bytes | None = first
            while block:
                offset += len(block)
                if offset > limit:
                    break
                stream.write(block)
                progress(offset, notes.total or file.size)
                block = next(blocks, None)
    if offset > limit:
        part.discard()
        raise TransferError(f"it sends more than the {limit:,} bytes expected", again=False)
    expected = notes.total or (file.size if has_one_size(file) else 0)
    if offset < expected:
        raise TransferError(f"the connection ended after {offset:,} of {expected:,} bytes")


def undo_encoding(part: Part, limit: int) -> bool:
    """Unpack a part that the server has compressed on its way; False if it cannot be."""
    plain = part.path.with_suffix(".tmp")
    done = 0
    try:
        with gzip.open(part.path) as source, plain.open("wb") as target:
            while block := source.read(BLOCK_BYTES):
                done += len(block)
                if done > limit:
                    return False
                target.write(block)
        os.replace(plain, part.path)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    finally:
        plain.unlink(missing_ok=True)
    return True


def most_bytes(file: CardFile) -> int:
    """Return the length beyond which a file can no longer be the right one."""
    if has_one_size(file):
        return file.size
    # Compressed anew it may have grown, but not without end.
    return 2 * file.size + SPARE_BYTES if file.size else MOST_BYTES


def _most_bytes(file: CardFile, notes: Notes) -> int:
    limit = most_bytes(file)
    if notes.encoded:
        limit += limit // 100 + SPARE_BYTES  # what cannot be compressed grows a little
    if not notes.total:
        return limit
    if notes.total > limit or (
        has_one_size(file) and notes.total != file.size and not notes.encoded
    ):
        raise TransferError(f"it has {notes.total:,} bytes, expected {file.size:,}", again=False)
    return notes.total


def _range_headers(url: str, part: Part, start: int) -> dict[str, str]:
    if not start:
        return {}
    headers = {"Range": f"bytes={start}-"}
    if part.notes.url == url and part.notes.validator:
        headers["If-Range"] = part.notes.validator
    return headers


def _reaches(response: requests.Response, start: int) -> bool:
    """Whether a refused range means that everything is there already."""
    match = WHOLE_LENGTH.match(response.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == start


def _described(url: str, response: requests.Response, start: int, part: Part) -> tuple[Notes, int]:
    """Return what an answer says about the file, and where its bytes belong."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip", "x-gzip"}:
        raise TransferError(f"it sends the file {encoding[:20]}-encoded, unasked", again=False)
    offset, total = 0, 0
    if response.status_code == 206:
        offset, total = _content_range(response, start, part)
    else:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isascii() and length.isdigit() and len(length) < 19 else 0
    notes = Notes(url, _validator(response), total, encoding.endswith("gzip"))
    return notes, offset


def _content_range(response: requests.Response, start: int, part: Part) -> tuple[int, int]:
    match = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if match is None:
        part.discard()
        raise TransferError("it answers with a range that it does not name")
    first, last = int(match[1]), int(match[2])
    total = 0 if match[3] == "*" else int(match[3])
    # A range that begins earlier is as good; what is there already is written once more.
    if first > start or last < first or (total and last >= total):
        part.discard()
        raise TransferError(f"it answers with bytes {first:,} to {last:,}, not from {start:,}")
    return first, total


def _validator(response: requests.Response) -> str:
    tag = response.headers.get("ETag", "").strip()
    # A weak tag does not promise the same bytes, and If-Range must not carry one.
    if tag.startswith('"') and tag.endswith('"') and len(tag) < 500 and tag.isascii():
        return tag
    return response.headers.get("Last-Modified", "").strip()[:100]


def _blocks(response: requests.Response, patience: Patience) -> Iterator[bytes]:
    """Yield the body as it comes, not decoded; give up when next to nothing comes."""
    since, received = monotonic(), 0
    while True:
        block = response.raw.read1(BLOCK_BYTES, decode_content=False)
        if not block:
            return
        received += len(block)
        waited = monotonic() - since
        if waited >= patience.stall:
            if received < patience.slowest * waited:
                raise TransferError(f"it sent only {received / waited:,.0f} bytes a second")
            since, received = monotonic(), 0
        yield block
