"""Where a worker's runs come from: the study's folder alone.

Which runs there are follows from the study; which of them are taken, from their claims.
"""

from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Any, Protocol

from nnlab.claims import STALE_SECONDS, Claim, claim, claim_file, owner_of
from nnlab.errors import BusyError
from nnlab.sweep.study import Study
from nnlab.sweep.trials import FINAL, WAITING, Standing, Task, Trials

# How long a run is left alone that somebody else is writing, or that ended without an end.
PAUSE_SECONDS = 10.0


@dataclass(eq=False)
class Held:
    """A run that this worker has claimed.

    Attributes:
        task: the run.
        claim: held as long as the worker works on it.
        standing: where the run stood when it was claimed.
    """

    task: Task
    claim: Claim
    standing: Standing


class Source(Protocol):
    """Gives a worker its runs and hears how they end."""

    # How many runs others were working on when `take` gave none.
    others: int

    @property
    def trials(self) -> Trials:
        """The trials of the study."""

    def take(self) -> Held | None:
        """Claim a run that nobody works on; None if there is none now."""

    def heard(self, held: Held, record: dict[str, Any]) -> bool:
        """Take note of an epoch; return whether the run is not worth going on with."""

    def ended(self, held: Held, standing: Standing) -> None:
        """Take note of where a run stands after its process has ended, and let go of it."""


class Claims:
    """Claims runs for a worker, and leaves alone what others work on."""

    def __init__(self) -> None:
        self._pauses: dict[Path, float] = {}
        self._touched: dict[Path, tuple[float, float]] = {}

    def take(self, task: Task) -> Claim | None:
        """Claim a run; None if somebody works on it."""
        if self._pauses.get(task.run, 0.0) > monotonic() or not self._looks_free(task):
            return None
        try:
            return claim(task.marker, "sweep")
        except BusyError:
            return None

    def give_back(self, held: Held, standing: Standing) -> None:
        """Let go of a run.

        One that others write or have stopped is left alone for a while; one that was killed has a
        reason, and is tried again at once.
        """
        if standing.state not in FINAL and not standing.reason:
            self._pauses[held.task.run] = monotonic() + PAUSE_SECONDS
        held.claim.release()

    def _looks_free(self, task: Task) -> bool:
        """Say whether to try a claim: cheap, and never wrong for long.

        A claim that was touched since the last look is alive. Its age is judged by this machine's
        clock only to decide whether to try; `claim` goes by the file server's.
        """
        try:
            owner = owner_of(task.marker)
            touched = claim_file(task.marker).stat().st_mtime
        except OSError:
            return True
        if owner is None or owner.is_gone():
            return True
        before, since = self._touched.get(task.marker, (0.0, 0.0))
        if touched != before:
            since = monotonic()
            self._touched[task.marker] = (touched, since)
        return time() - touched > STALE_SECONDS or monotonic() - since > STALE_SECONDS


class FileSource:
    """The runs of a grid or random search.

    Args:
        study: whose folder has been entered.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.trials = Trials(study)
        self.others = 0
        self._claims = Claims()
        self._tasks = self.trials.all_tasks()
        # Those that were looked at and are not final.
        self._open: list[Task] = []
        self._seconds = 0.0

    def take(self) -> Held | None:
        """Claim the first run that nobody works on; None if there is none now."""
        self.others = 0
        seconds = self._forget_final()
        for task in self._open_tasks():
            standing = self.trials.standing(task)
            if standing.state in FINAL:
                continue
            seconds += standing.seconds
            spent = self.study.time is not None and seconds >= self.study.time
            begun = standing.state != WAITING or task.starts_file.exists()
            if spent and not begun:
                break
            held = self._claims.take(task)
            if held is None:
                self.others += 1
                continue
            standing = self.trials.standing(task)
            if standing.state in FINAL:  # finished since we looked
                held.release()
                continue
            return Held(task, held, standing)
        return None

    def heard(self, held: Held, record: dict[str, Any]) -> bool:  # noqa: ARG002
        """Trials do not know of one another: none is given up."""
        return False

    def ended(self, held: Held, standing: Standing) -> None:
        """Let go of a run."""
        self._claims.give_back(held, standing)

    def _forget_final(self) -> float:
        """Drop what is final from the front; return the seconds spent on all that is final."""
        still = []
        for task in self._open:
            standing = self.trials.standing(task)
            if standing.state in FINAL:
                self._seconds += standing.seconds
            else:
                still.append(task)
        self._open = still
        return self._seconds

    def _open_tasks(self) -> Any:
        # A copy: what `_tasks` gives is added on the way.
        yield from list(self._open)
        for task in self._tasks:
            self._open.append(task)
            yield task
