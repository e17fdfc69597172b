"""The data that a command is asked to work on: a data file, or a known name made into one."""

from collections.abc import Callable
from pathlib import Path
from time import sleep

from nnlab.datasets.roots import prepared_file
from nnlab.errors import BusyError, InputError

# Between two looks at what another process prepares.
WAIT_SECONDS = 0.5


def find_data(
    text: str, root: Path | None = None, announce: Callable[[str], None] | None = None
) -> Path:
    """Return the data file that `text` means.

    A known name is prepared with the defaults of `preprocess` on its first use, and downloaded
    before if need be; `announce` is called with a line that says so.

    Args:
        text: the path of a data file, or the name of a known data set.
        root: the data root; None for the usual one.
        announce: takes a line for the user.

    Raises:
        InputError: it is neither.
        SourceError: the data set could not be downloaded.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return path  # before decoders and downloads are loaded, which every trial of a sweep awaits
    from nnlab.datasets.download import download, is_downloaded
    from nnlab.datasets.known import known_cards, meant_by

    card = known_cards().get(text)
    if card is None:
        if path.is_dir():
            raise InputError(
                f"{path} is a folder; make a data file of it first: nnlab preprocess {path} -o "
                "data.h5"
            )
        meant = meant_by(text)
        rest = f"; did you mean {meant}?" if meant else f" ({', '.join(known_cards())})."
        raise InputError(f"{text} is neither a data file nor a known data set{rest}")
    prepared = prepared_file(card.name, root)
    if prepared.is_file():
        return prepared
    say = announce or (lambda _: None)
    if not card.generated and not is_downloaded(card, root):
        say(f"{card.name} is not on this machine yet: downloading its files")
        download(card, root)
    say(f"{card.name} is used for the first time: preparing {prepared}")
    try:
        prepared.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {prepared.parent}: {error.strerror}; choose another with "
            "--root."
        ) from error
    _prepare(card.name, prepared, root, say)
    return prepared


def _prepare(name: str, prepared: Path, root: Path | None, say: Callable[[str], None]) -> None:
    """Prepare a data set, or wait for another process that is at it."""
    from nnlab.datasets.preprocess import preprocess

    waiting = False
    while not prepared.is_file():
        try:
            preprocess(name, prepared, root=root)
        except BusyError:
            if not waiting:
                say(f"another process is preparing {prepared}: waiting for it")
            waiting = True
            sleep(WAIT_SECONDS)
        except InputError:
            if not prepared.is_file():  # else the other was quicker
                raise
