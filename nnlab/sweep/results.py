"""What a study has come to: each trial with its runs, the best first, and the whole in numbers."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from nnlab.sweep.space import Point
from nnlab.sweep.study import Study
from nnlab.sweep.trials import (
    DIVERGED,
    DONE,
    FAILED,
    FINAL,
    PRUNED,
    RUNNING,
    STOPPED,
    WAITING,
    Standing,
    Task,
    Trials,
)  # fmt: skip

STATES = (DONE, DIVERGED, FAILED, PRUNED, RUNNING, STOPPED, WAITING)


@dataclass(frozen=True)
class TrialResult:
    """One trial that was begun.

    Attributes:
        number: of the trial.
        point: what it tried.
        runs: its runs and where they stand.
        value: the mean of the metric over its runs; None unless all of them are done.
        spread: the standard deviation over its runs; None for fewer than two.
    """

    number: int
    point: Point
    runs: list[tuple[Task, Standing]]
    value: float | None
    spread: float | None

    @property
    def state(self) -> str:
        """The state of its runs, the least advanced first."""
        found = {standing.state for _, standing in self.runs}
        order = (RUNNING, STOPPED, WAITING, FAILED, DIVERGED, PRUNED, DONE)
        return next(state for state in order if state in found)

    @property
    def seconds(self) -> float:
        """What was spent on training it."""
        return sum(standing.seconds for _, standing in self.runs)

    def mean(self, metric: str) -> float | None:
        """Return the mean of any metric over its runs; None unless all of them are done."""
        values = [standing.value(metric) for _, standing in self.runs]
        known = [value for value in values if value is not None]
        return fmean(known) if len(known) == len(values) else None

    def record(self) -> dict[str, Any]:
        """Return everything as plain values, by the keys of `nnlab sweep best --json`."""
        return {
            "trial": self.number,
            "state": self.state,
            "value": self.value,
            "spread": self.spread,
            "params": self.point,
            "seconds": self.seconds,
            "runs": [
                {
                    "run": str(task.run),
                    "seed": task.seed,
                    "state": standing.state,
                    "epochs": standing.epoch,
                    **dict(standing.metrics),
                    **({"reason": standing.reason} if standing.reason else {}),
                    **({"worker": standing.worker} if standing.worker else {}),
                }
                for task, standing in self.runs
            ],
        }


@dataclass(frozen=True)
class Overview:
    """A study in numbers.

    Attributes:
        trials: every trial that was begun.
        runs: how many runs are in each state of `STATES`.
        total: how many runs there will be; None if only the time is limited.
    """

    trials: list[TrialResult]
    runs: dict[str, int]
    total: int | None

    @property
    def seconds(self) -> float:
        """Training, all runs together."""
        return sum(trial.seconds for trial in self.trials)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.total is not None and sum(self.runs[state] for state in FINAL) == self.total


def result_of(study: Study, number: int, runs: Sequence[tuple[Task, Standing]]) -> TrialResult:
    """Sum up one trial."""
    values = [standing.value(study.metric) for _, standing in runs]
    known = [value for value in values if value is not None and math.isfinite(value)]
    whole = len(known) == study.repeats
    return TrialResult(
        number,
        runs[0][0].point,
        list(runs),
        fmean(known) if whole else None,
        stdev(known) if whole and len(known) > 1 else None,
    )


def overview(trials: Trials) -> Overview:
    """Look at every trial that was begun."""
    study = trials.study
    results = [
        result_of(study, number, [(task, trials.standing(task)) for task in trials.tasks(number)])
        for number in range(trials.begun())
    ]
    return summed_up(study, results)


def summed_up(study: Study, results: Iterable[TrialResult]) -> Overview:
    """Count the runs of the trials that were begun, and of those to come."""
    results = list(results)
    counts = Counter(standing.state for trial in results for _, standing in trial.runs)
    total = None if study.trials is None else study.trials * study.repeats
    if total is not None:
        counts[WAITING] += max(0, total - sum(counts.values()))
    return Overview(results, {state: counts[state] for state in STATES}, total)


def parameter_names(study: Study, results: Sequence[TrialResult]) -> list[str]:
    """Return the names of the parameters that counted in any trial, in the study's order."""
    tried = {name for trial in results for name in trial.point}
    return [item.name for item in study.space.parameters if item.name in tried]


def ranked(study: Study, results: Iterable[TrialResult]) -> list[TrialResult]:
    """Return the trials with a value, best first; equals in the order of their numbers."""
    sign = -1 if study.more_is_better else 1
    found = [(trial.value, trial) for trial in results if trial.value is not None]
    return [trial for _, trial in sorted(found, key=lambda pair: (sign * pair[0], pair[1].number))]
