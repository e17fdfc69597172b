"""Files of known data sets: fetched from a mirror, or found in a folder, and verified either way.

A card lists the SHA-256 of a file's uncompressed content where it is known, so that a copy which
somebody compressed anew is accepted and one that was altered is not; else the MD5 of the file as
published. A file gets its name only after it has been verified.
"""

import gzip
import hashlib
import logging
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from nnlab.atomic import staged
from nnlab.datasets.card import Card, CardFile
from nnlab.datasets.gzipped import open_content
from nnlab.datasets.roots import files_folder
from nnlab.errors import InputError, SourceError

Progress = Callable[[str, int, int], None]
TIMEOUT_SECONDS = 30
BLOCK_BYTES = 2**20
URL_SCHEMES = ("http://", "https://")


def is_url(text: str) -> bool:
    """Whether a `--source` is a URL, not a folder."""
    return text.startswith(URL_SCHEMES)


def download(
    card: Card,
    root: Path | None = None,
    source: str | None = None,
    progress: Progress | None = None,
) -> dict[str, str]:
    """Bring all files of a data set into its folder under the data root.

    Args:
        card: the data set.
        root: the data root; None for the usual one.
        source: the URL of a folder, or a folder, to take the files from instead of the mirrors.
        progress: called with (file, bytes done, bytes in all or 0 while unknown).

    Returns:
        What was done for each file: "present", "downloaded" or "copied".

    Raises:
        SourceError: a file could not be fetched from anywhere, or is not the one of the card.
        InputError: the data set is generated, or the disk refuses.
    """
    if card.generated:
        raise InputError(
            f"{card.name} is drawn by nnlab, nothing is downloaded; go on with nnlab preprocess "
            f"{card.name} -o {card.name}.h5"
        )
    folder = files_folder(card.name, root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another with --root."
        ) from error
    done = {}
    for file in card.files:
        target = folder / file.name
        if target.exists() and not mismatch(target, file):
            done[file.name] = "present"
        elif source is not None and not is_url(source):
            _copy(find_file(card, file, Path(source)), target)
            done[file.name] = "copied"
        else:
            _fetch(card, file, target, source, progress)
            done[file.name] = "downloaded"
    return done


def verified_files(card: Card, folder: Path) -> list[Path]:
    """Return the files of a data set in a folder, each verified.

    Raises:
        SourceError: one is missing or is not the one of the card.
    """
    return [find_file(card, file, folder) for file in card.files]


def is_downloaded(card: Card, root: Path | None = None) -> bool:
    """Whether all files are there; they were verified when they were placed."""
    folder = files_folder(card.name, root)
    return bool(card.files) and all((folder / file.name).is_file() for file in card.files)


def find_file(card: Card, file: CardFile, folder: Path) -> Path:
    """Return a file of the card in a folder, as published or unpacked, verified.

    Raises:
        SourceError: it is not there, or it is not the one of the card.
    """
    if not folder.is_dir():
        raise SourceError(
            f"--source {folder} is not a folder; name the one that holds {file.name}."
        )
    plain = file.name.removesuffix(".gz")
    # Only the checksum of the content also fits an unpacked copy.
    names = [file.name, plain] if file.sha256 else [file.name]
    for path in (folder / name for name in dict.fromkeys(names)):
        if path.is_file():
            reason = mismatch(path, file)
            if reason:
                raise SourceError(
                    f"{path} is not the file of {card.title}: {reason}; get a fresh copy of it."
                )
            return path
    raise SourceError(
        f"{folder} has no {' or '.join(dict.fromkeys(names))}, which {card.name} needs; name the "
        "folder that holds it with --source."
    )


def mismatch(path: Path, file: CardFile) -> str:
    """Return why a file is not the one of the card, or an empty text if it is."""
    kind = "sha256" if file.sha256 else "md5"
    expected = getattr(file, kind)
    digest = hashlib.new(kind, usedforsecurity=False)
    try:
        with open_content(path) if file.sha256 else path.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return "it is damaged or cut short"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if digest.hexdigest() == expected:
        return ""
    what = "its content has the SHA-256" if kind == "sha256" else "it has the MD5"
    return f"{what} {digest.hexdigest()[:12]}..., expected {expected[:12]}..."


def _copy(path: Path, target: Path) -> None:
    with staged(target) as temporary:
        shutil.copyfile(path, temporary)


def _fetch(
    card: Card, file: CardFile, target: Path, source: str | None, progress: Progress | None
) -> None:
    mirrors = [source] if source is not None else list(card.mirrors)
    reasons = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file.name}"
        reason = _fetch_from(url, file, target, progress)
        if not reason:
            return
        reasons.append(f"{url}: {reason}")
    tried = "; ".join(reasons) or "the card names no mirror"
    raise SourceError(
        f"{file.name} of {card.name} could not be fetched ({tried}); try again later, or take it "
        f"from elsewhere: nnlab download {card.name} --source URL-or-FOLDER"
    )


def _fetch_from(url: str, file: CardFile, target: Path, progress: Progress | None) -> str:
    """Fetch one file from one place; return why that failed, or an empty text."""
    import pooch
    import requests
    import urllib3

    # Pooch reports each download in its log; here `progress` does.
    pooch.get_logger().setLevel(logging.WARNING)
    bar = None if progress is None else _Bar(file, progress)
    downloader = pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS, progressbar=bar or False)
    try:
        with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as folder:
            fetched = pooch.retrieve(
                url,
                known_hash=None,  # of the content, not of the file: `mismatch` knows which
                fname=file.name,
                path=folder,
                downloader=downloader,
            )
            reason = mismatch(Path(fetched), file)
            if reason:
                return f"what it sent is not the file: {reason}"
            os.replace(fetched, target)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        return _reason(error)
    except OSError as error:
        raise InputError(
            f"cannot write {target}: {error.strerror or error}; choose another place with --root."
        ) from error
    return ""


def _reason(error: Exception) -> str:
    """Say in a few words what a chain of network errors comes down to."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} {response.reason}".rstrip()
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, TimeoutError) or "timed out" in str(seen).lower():
            return "no answer in time"
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror.lower()
        seen = seen.__cause__ or seen.__context__
    return type(error).__name__


class _Bar:
    """What Pooch wants of a progress bar, on top of a plain function."""

    def __init__(self, file: CardFile, progress: Progress) -> None:
        self.total = file.size
        self._file, self._progress, self._done = file, progress, 0

    def update(self, count: int) -> None:
        # Pooch counts whole blocks, also for a last one that is shorter.
        self._done = min(self._done + count, int(self.total or self._done + count))
        self._progress(self._file.name, self._done, int(self.total or 0))

    def reset(self) -> None:
        """Begin anew; Pooch calls it before it fills the bar at the end."""
        self._done = 0

    def close(self) -> None:
        """Nothing is held open."""
