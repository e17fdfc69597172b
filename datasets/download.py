"""Files of known data sets: fetched from a mirror, or found in a folder, and verified either way.

A card lists the SHA-256 of a file's uncompressed content where it is known, so that a copy which
somebody compressed anew is accepted and one that was altered is not; else a checksum of the file
as published. A file gets its name only after it has been verified.
"""

import contextlib
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnlab.atomic import staged
from nnlab.claims import Claim, claim, owner_of
from nnlab.datasets.card import Card, CardFile
from nnlab.datasets.fetching.patience import Patience
from nnlab.datasets.fetching.verify import mismatch
from nnlab.datasets.fetching.watch import Watch
from nnlab.datasets.roots import data_root, files_folder
from nnlab.errors import BusyError, InputError, SourceError

if TYPE_CHECKING:
    from nnlab.datasets.fetching.fetch import NotFetchedError

URL_SCHEMES = ("http://", "https://")
# Beside the files themselves a folder needs a little.
SPARE_BYTES = 2**20
# How long to wait on average before looking again whether another process has done it.
WAIT_SECONDS = 1.0


def is_url(text: str) -> bool:
    """Whether a `--source` is a URL, not a folder."""
    return text.lower().startswith(URL_SCHEMES)


def download(
    card: Card,
    root: Path | None = None,
    source: str | None = None,
    watch: Watch | None = None,
    patience: Patience | None = None,
) -> dict[str, str]:
    """Bring all files of a data set into its folder under the data root.

    Args:
        card: the data set.
        root: the data root; None for the usual one.
        source: the URL of a folder, or a folder, to take the files from instead of the mirrors.
        watch: told how it goes.
        patience: how long to wait for what.

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
    folder = files_folder(card.files_name, root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another with --root."
        ) from error
    watch, patience = watch or Watch(), patience or Patience()
    missing = _missing(card, folder)
    held = _alone(folder, missing, watch) if missing else None
    if held is None:
        _tidy(folder)
        return {file.name: "present" for file in card.files}
    with held:
        missing = _missing(card, folder)  # whoever was here before may have brought some
        _bring(card, missing, folder, source, watch, patience, taken_over=bool(held.notice))
    how = "downloaded" if source is None or is_url(source) else "copied"
    return {file.name: how if file in missing else "present" for file in card.files}


def _bring(
    card: Card,
    missing: Sequence[CardFile],
    folder: Path,
    source: str | None,
    watch: Watch,
    patience: Patience,
    taken_over: bool,
) -> None:
    """Copy or fetch files into their folder; nobody else does, at the moment."""
    if source is not None and not is_url(source):
        found = [(file, find_file(card, file, Path(source).expanduser())) for file in missing]
        _check_space(folder, [path.stat().st_size for _, path in found])
        for file, path in found:
            _copy(path, folder / file.name)
        return
    _check_space(folder, [_bytes_to_come(file, folder) for file in missing])
    places = [source] if source is not None else list(card.mirrors)
    for file in missing:
        place = _fetch(card, file, folder, places, watch, patience, taken_over)
        # Who gave one file is asked first for the next.
        places.sort(key=lambda item: item != place)


def _tidy(folder: Path) -> None:
    """Remove the claim of a process that ended after its work, but before it could."""
    with contextlib.suppress(InputError, OSError):
        if owner_of(folder) is not None:
            claim(folder, "download").release()


def _alone(folder: Path, missing: Sequence[CardFile], watch: Watch) -> Claim | None:
    """Claim the folder, however long another process that lives has it.

    None if that process has brought what is missing: no file gets its name before it is verified.
    """
    paths = [folder / file.name for file in missing]
    wrong = any(path.exists() for path in paths)  # and so no sign that it has been brought
    told = ""
    while True:
        try:
            return claim(folder, "download")
        except BusyError:
            if not wrong and all(path.exists() for path in paths):
                return None
            owner = str(owner_of(folder) or "")
            if owner and owner != told:
                watch.waiting(owner)
                told = owner
            # Many that began at once should not ask all at once for ever.
            time.sleep(random.uniform(0.5, 1.5) * WAIT_SECONDS)
        except InputError as error:
            reason = getattr(error.__cause__, "strerror", None) or error
            raise InputError(
                f"cannot write in {folder.parent}: {reason}; choose another place with --root."
            ) from error


def verified_files(card: Card, folder: Path) -> list[Path]:
    """Return the files of a data set in a folder, each verified.

    Raises:
        SourceError: one is missing or is not the one of the card.
    """
    return [find_file(card, file, folder) for file in card.files]


def is_downloaded(card: Card, root: Path | None = None) -> bool:
    """Whether all files are there; they were verified when they were placed."""
    folder = files_folder(card.files_name, root)
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


def _missing(card: Card, folder: Path) -> list[CardFile]:
    return [
        file
        for file in card.files
        if not (folder / file.name).exists() or mismatch(folder / file.name, file)
    ]


def _bytes_to_come(file: CardFile, folder: Path) -> int:
    from nnlab.datasets.fetching.part import parts_of

    there = max((path.stat().st_size for path in parts_of(folder / file.name)), default=0)
    return max(0, file.size - there)


def _check_space(folder: Path, sizes: Sequence[int]) -> None:
    """Refuse to begin what the file system has no room for."""
    needed, free = sum(sizes) + SPARE_BYTES, shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder} has {_megabytes(free)} free, {_megabytes(needed)} are needed; free some "
            "space or choose another place with --root."
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _copy(path: Path, target: Path) -> None:
    with staged(target) as temporary:
        shutil.copyfile(path, temporary)


def _fetch(
    card: Card,
    file: CardFile,
    folder: Path,
    places: Sequence[str],
    watch: Watch,
    patience: Patience,
    taken_over: bool,
) -> str:
    """Fetch a file from the first place that gives it; returns that one, or an empty text."""
    from nnlab.datasets.fetching.fetch import NotFetchedError, fetch
    from nnlab.datasets.fetching.part import Part

    urls = {f"{place.rstrip('/')}/{file.name}": place for place in places}
    part = Part(folder / file.name)
    try:
        # Whoever was thought to be dead may still write to its part.
        part.adopt(alive=taken_over)
        return urls.get(fetch(file, list(urls), part, patience, watch), "")
    except NotFetchedError as error:
        raise SourceError(_not_fetched(card, file, folder, error, part.keep())) from error
    except OSError as error:
        part.keep()
        raise InputError(
            f"cannot write {folder / file.name}: {error.strerror or error}; free some space or "
            "choose another place with --root."
        ) from error
    except BaseException:
        part.keep()
        raise


def _not_fetched(
    card: Card, file: CardFile, folder: Path, error: "NotFetchedError", kept: int
) -> str:
    tried = "; ".join(error.reasons) or "the card names no mirror"
    root = folder.parent.parent.absolute()
    elsewhere = "" if root == data_root().absolute() else f" --root {root}"
    if error.unreachable:
        return (
            f"{file.name} of {card.name} cannot be fetched: nothing can be reached from here "
            f"({tried}); on a machine with a network, such as a cluster's login node, run: nnlab "
            f"download {card.name} --root {root}; or name files that are here: --source FOLDER"
        )
    rest = f"; {kept:,} bytes are kept, and the same command goes on from there" if kept else ""
    return (
        f"{file.name} of {card.name} could not be fetched ({tried}){rest}; try again later, or "
        f"take it from elsewhere: nnlab download {card.name}{elsewhere} --source URL-or-FOLDER"
    )
