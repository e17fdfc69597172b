"""Whether a file is the one that a card describes."""

import hashlib
from pathlib import Path

from nnlab.datasets.card import CardFile
from nnlab.datasets.compressed import DAMAGE, is_compressed, open_content

BLOCK_BYTES = 2**20
# No file of images shrinks further than this; what claims to is not read to its end.
EXPANSION = 128
SPARE_BYTES = 256 * 2**20


def verified_by(file: CardFile) -> str:
    """Say what a file is held against."""
    if file.sha256:
        return "SHA-256 of the content"
    if file.published_sha256:
        return "SHA-256 of the file as published"
    if file.md5:
        return "MD5 of the file as published"
    return "its size only" if file.size else "nothing"


def is_proven(file: CardFile) -> bool:
    """Whether the card knows a checksum of the file."""
    return bool(file.sha256 or file.published_sha256 or file.md5)


def has_one_size(file: CardFile) -> bool:
    """Whether only a file of the published size can be right: a recompressed one may differ."""
    return bool(file.size) and not file.sha256


def mismatch(path: Path, file: CardFile) -> str:
    """Return why a file is not the one of the card, or an empty text if it is.

    Without a checksum in the card, the size counts, and that a compressed file is whole.
    """
    try:
        if not file.sha256 and file.size and path.stat().st_size != file.size:
            return f"it has {path.stat().st_size:,} bytes, expected {file.size:,}"
        if file.sha256:
            return _compare("sha256", path, file.sha256, "its content has", content=True)
        if file.published_sha256:
            return _compare("sha256", path, file.published_sha256, "it has", content=False)
        if file.md5:
            return _compare("md5", path, file.md5, "it has", content=False)
        if is_compressed(path):
            _digest("sha256", path, content=True)
    except DAMAGE:
        return "it is damaged or cut short"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return ""


def _compare(kind: str, path: Path, expected: str, what: str, content: bool) -> str:
    found = _digest(kind, path, content)
    if found == expected:
        return ""
    name = {"sha256": "SHA-256", "md5": "MD5"}[kind]
    return f"{what} the {name} {found[:12]}..., expected {expected[:12]}..."


def _digest(kind: str, path: Path, content: bool) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    left = SPARE_BYTES + EXPANSION * path.stat().st_size
    with open_content(path) if content else path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            left -= len(block)
            if left < 0:
                raise EOFError("far more content than its size")
            digest.update(block)
    return digest.hexdigest()
