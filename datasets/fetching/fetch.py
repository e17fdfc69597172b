"""One file from the first place that gives it: tries, pauses, the next place."""

import random
import time
from collections.abc import Sequence

import requests

from nnlab.datasets.card import CardFile
from nnlab.datasets.fetching.part import Part
from nnlab.datasets.fetching.patience import Patience
from nnlab.datasets.fetching.session import TransferError, open_session
from nnlab.datasets.fetching.transfer import most_bytes, receive, undo_encoding
from nnlab.datasets.fetching.verify import mismatch
from nnlab.datasets.fetching.watch import Watch

# A try has got somewhere if it brings so many bytes, or this share of the file, beyond what there
# was ever before: a server that gives a byte a time is as good as none.
STEP_BYTES = 2**16
STEP_SHARE = 0.01
# At a place that nobody answers from, waiting rarely helps.
TRIES_UNREACHABLE = 2
# Wrong bytes may come from a proxy on the way; twice the same is what the place has.
TRIES_WRONG = 2


class NotFetchedError(Exception):
    """No place gave the file.

    Attributes:
        reasons: one for each place, in order.
        unreachable: no place answered at all.
    """

    def __init__(self, reasons: Sequence[str], unreachable: bool) -> None:
        super().__init__("; ".join(reasons))
        self.reasons, self.unreachable = list(reasons), unreachable


def fetch(file: CardFile, urls: Sequence[str], part: Part, patience: Patience, watch: Watch) -> str:
    """Complete a part, verify it, and give it its name.

    Args:
        file: what is known about the file.
        urls: where it may be had, best first.
        part: what is there already.
        patience: how long to wait for what.
        watch: told how it goes.

    Returns:
        The URL that gave the rest; empty if nothing was missing.

    Raises:
        NotFetchedError: from nowhere; what has come is in `part`.
        OSError: the file system refuses.
    """
    if part.size and (part.is_whole or part.size >= most_bytes(file)):
        if not _wrong(part, file):
            part.place()
            return ""
        part.discard()
    reasons, unreachable = [], True
    with open_session(patience) as session:
        for url in urls:
            error = _fetch_from(session, url, file, part, patience, watch)
            if error is None:
                part.place()
                return url
            reasons.append(f"{url}: {error.reason}")
            unreachable = unreachable and error.unreachable
    raise NotFetchedError(reasons, unreachable and bool(urls))


def _fetch_from(
    session: requests.Session,
    url: str,
    file: CardFile,
    part: Part,
    patience: Patience,
    watch: Watch,
) -> TransferError | None:
    """Complete and verify a part from one place; return why that failed."""
    tries, wrong, furthest = 0, 0, part.size
    while True:
        resumed = part.size > 0
        try:
            receive(
                session, url, part, file, patience, lambda *done: watch.progress(file.name, *done)
            )
            reason = _wrong(part, file)
            if not reason:
                return None
            part.discard()
            error = TransferError(f"what it sent is not the file: {reason}")
            # Pieces of two versions make neither; only a file in one piece speaks for the place.
            wrong += not resumed
        except TransferError as failure:
            error = failure
        step = max(STEP_BYTES, STEP_SHARE * max(file.size, part.notes.total))
        if part.size >= furthest + step:
            tries, furthest = 0, part.size
        tries += 1
        most = min(patience.tries, TRIES_UNREACHABLE) if error.unreachable else patience.tries
        if not error.again or tries >= most or wrong >= TRIES_WRONG:
            return error
        seconds = _pause(tries, error.pause, patience)
        watch.pause(file.name, seconds, error.reason)
        time.sleep(seconds)


def _wrong(part: Part, file: CardFile) -> str:
    reason = mismatch(part.path, file)
    if reason and part.notes.encoded and undo_encoding(part, most_bytes(file)):
        reason = mismatch(part.path, file)
    return reason


def _pause(tries: int, asked: float, patience: Patience) -> float:
    """Return the seconds to wait: longer each time, and spread, for others wait, too."""
    spread = random.uniform(0.75, 1.25)
    pause = min(patience.pause * 2.0 ** (tries - 1) * spread, patience.longest_pause)
    return max(pause, asked)
