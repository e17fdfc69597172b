"""The trials of a study, and where each of them stands, as its files say.

Nothing is kept anywhere else. Run s of trial i is the run file `trial-<i>.h5` (or
`trial-<i>-seed-<s>.h5`, with repeats) in the study's folder; beside it may stand

    .ended     JSON: why it will never be finished
    .starts    one line for each time it was begun since it ended well: the steps done before
    .claim     who works on it (`nnlab.claims`); the run file's own claim is that of `train`
"""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nnlab.atomic import write_bytes
from nnlab.claims import owner_of
from nnlab.errors import InputError
from nnlab.randomness import generator
from nnlab.runs import container
from nnlab.sweep.space import Point
from nnlab.sweep.study import Study
from nnlab.training.settings import Settings

WAITING, STOPPED, RUNNING = "waiting", "stopped", "running"
DONE, DIVERGED, FAILED, PRUNED = "done", "diverged", "failed", "pruned"
# A run in one of these states is never begun again.
FINAL = (DONE, DIVERGED, FAILED, PRUNED)
_OF_TRIAL = re.compile(r"trial-(\d{5,})[-.]")
# So many trials are looked at before the first one is begun.
CHECKED = 200


@dataclass(frozen=True)
class Task:
    """One run of a trial.

    Attributes:
        trial: its number, from 0.
        seed: of the run.
        point: what is searched.
        run: the run file.
    """

    trial: int
    seed: int
    point: Point
    run: Path

    @property
    def marker(self) -> Path:
        """What a worker claims; the run file itself is claimed by `train`."""
        return self.run.with_suffix("")

    @property
    def end_file(self) -> Path:
        """Says why the run will never be finished."""
        return self.run.with_suffix(".ended")

    @property
    def starts_file(self) -> Path:
        """Counts how often the run was begun without an end."""
        return self.run.with_suffix(".starts")


@dataclass(frozen=True)
class Standing:
    """Where a run stands.

    Attributes:
        state: `WAITING`, `STOPPED` (with a checkpoint), `RUNNING`, or one of `FINAL`.
        metrics: the measures of the best epoch so far, by name; empty before the first.
        epoch: epochs done.
        steps: steps done.
        seconds: spent in training.
        worker: who works on it; empty for nobody.
        reason: of a failure.
    """

    state: str = WAITING
    metrics: tuple[tuple[str, float], ...] = ()
    epoch: int = 0
    steps: int = 0
    seconds: float = 0.0
    worker: str = ""
    reason: str = ""

    def value(self, metric: str) -> float | None:
        """Return a measure of the finished run; None if it has none."""
        return dict(self.metrics).get(metric) if self.state == DONE else None


class Trials:
    """The trials of a study whose points follow from its seed or its grid alone."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._final: dict[Path, Standing] = {}

    @property
    def locked_seconds(self) -> float:
        """For how long nobody could begin or end a trial; files alone are never locked."""
        return 0.0

    def point(self, trial: int) -> Point:
        """Return what a trial tries: a function of the study and the number."""
        if self.study.sampler == "grid":
            return self.study.grid[trial]
        return self.study.space.draw(generator(self.study.seed, "sweep", trial))

    def tasks(self, trial: int) -> Iterator[Task]:
        """Yield the runs of a trial."""
        point = self.point(trial)
        for seed in self.study.seeds:
            yield Task(trial, seed, point, self.run_file(trial, seed))

    def all_tasks(self) -> Iterator[Task]:
        """Yield the runs of all trials; without end if only the time is limited."""
        trial = 0
        while self.study.trials is None or trial < self.study.trials:
            yield from self.tasks(trial)
            trial += 1

    def begun(self) -> int:
        """Return how many trials there are up to the last one that was ever begun."""
        numbers = [-1]
        if self.study.folder.is_dir():
            for item in self.study.folder.iterdir():
                match = _OF_TRIAL.match(item.name)
                if match and not item.name.endswith(".tmp"):
                    numbers.append(int(match[1]))
        return max(numbers) + 1

    def run_file(self, trial: int, seed: int) -> Path:
        """Return the run file of a trial with a seed."""
        repeated = f"-seed-{seed}" if self.study.repeats > 1 else ""
        return self.study.folder / f"trial-{trial:05}{repeated}.h5"

    def standing(self, task: Task) -> Standing:
        """Return where a run stands now; what is final is read once."""
        known = self._final.get(task.run)
        if known is not None:
            return known
        found = read_standing(task)
        if found.state in FINAL:
            self._final[task.run] = found
        return found


def read_standing(task: Task, look_for_worker: bool = True) -> Standing:
    """Read where a run stands from its files.

    Args:
        task: the run.
        look_for_worker: a run that somebody works on is `RUNNING`.

    A run file that cannot be read counts as waiting: `train --resume` says what is wrong with it.
    """
    failure = _read_end(task)
    if failure is not None:
        return failure
    found = Standing()
    if task.run.exists():
        with suppress(InputError, KeyError, ValueError, TypeError):
            found = _of_summary(json.loads(container.read_summary(task.run) or b""))
    if found.state in FINAL or not look_for_worker:
        return found
    worker = ""
    with suppress(OSError):
        owner = owner_of(task.marker)
        if owner is not None and not owner.is_gone():
            worker = owner.host
    if not worker:
        return found
    return replace(found, state=RUNNING, worker=worker)


def _of_summary(summary: dict[str, Any]) -> Standing:
    attributes = summary["attributes"]
    progress, result = attributes["progress"], attributes.get("result")
    metrics = {}
    if progress["best_epoch"] and progress["best_accuracy"] >= 0:
        metrics = {
            "val_accuracy": float(progress["best_accuracy"]),
            "val_loss": float(progress["best_loss"]),
        }
    state = STOPPED
    if progress.get("diverged"):
        state = DIVERGED
    elif progress["finished"] and result is not None:
        state = DONE
    return Standing(
        state,
        tuple(metrics.items()),
        epoch=int(progress["epoch"]),
        steps=int(progress["epoch"]) * int(progress["steps_per_epoch"]) + int(progress["step"]),
        seconds=float(progress["seconds"]),
    )


def record_end(task: Task, code: int, reason: str, state: str = FAILED) -> None:
    """Say that a run will never be finished, and why.

    Raises:
        InputError: it cannot be written.
    """
    record = {
        "state": state,
        "reason": reason,
        "code": code,
        "host": socket.gethostname(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_bytes(task.end_file, json.dumps(record, ensure_ascii=False).encode() + b"\n")
    task.starts_file.unlink(missing_ok=True)


def _read_end(task: Task) -> Standing | None:
    try:
        record = json.loads(task.end_file.read_bytes())
        state = FAILED if record["state"] not in FINAL else str(record["state"])
        return Standing(state, reason=str(record["reason"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return Standing(FAILED, reason=f"{task.end_file} cannot be read")


def record_start(task: Task, steps: int) -> int:
    """Note that a run is about to be begun with so many steps done.

    Returns:
        How often it was begun in vain: since it ended well, and since it got any further.
    """
    lines = []
    with suppress(OSError):
        lines = task.starts_file.read_text(encoding="utf-8").split()
    in_vain = 0
    while in_vain < len(lines) and lines[-1 - in_vain] == str(steps):
        in_vain += 1
    with suppress(OSError), task.starts_file.open("a", encoding="utf-8") as file:
        file.write(f"{steps}\n")
    return in_vain


def record_good_end(task: Task) -> None:
    """Note that a run ended by itself: done, or with a checkpoint because it was told to."""
    with suppress(OSError):
        task.starts_file.unlink(missing_ok=True)


def check_points(trials: Trials) -> None:
    """Make sure that the first trials can be trained as far as their settings are concerned.

    Raises:
        InputError: one of them is a combination that `train` refuses.
    """
    study = trials.study
    for trial in range(CHECKED if study.trials is None else min(CHECKED, study.trials)):
        point = trials.point(trial)
        try:
            Settings.of(study.space.settings(point))
        except InputError as error:
            shown = ", ".join(f"{name} = {value}" for name, value in point.items())
            raise InputError(
                f"{study.path}: trial {trial} ({shown}) cannot be trained: {error} Give the option "
                "a condition (when = ...), or leave the value out."
            ) from error


def forget_failures(trials: Trials) -> int:
    """Let the runs that failed be begun anew; return how many there were.

    Runs that diverged or were pruned stay as they are.
    """
    count = 0
    for number in range(trials.begun()):
        for task in trials.tasks(number):
            if read_standing(task).state == FAILED:
                with suppress(OSError):
                    task.end_file.unlink()
                    count += 1
    return count
