"""Learning-rate schedules: the factor by which a step multiplies the base learning rate.

A schedule is a function of the step alone (and, for `plateau`, of the validation losses so far),
so a resumed run needs nothing stored. Steps count from 0; `total` is the number of steps of the
whole run. Warm-up rises linearly from 1/W to 1 over the first W steps; the schedule's own course
covers the steps after it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, inf, pi

# A schedule's course: the step since warm-up's end and how many steps follow it in all (both
# counts), the schedule with its options -> the factor.
Course = Callable[[int, int, "Schedule"], float]


def _constant(step: int, steps: int, schedule: "Schedule") -> float:  # noqa: ARG001
    """Stay at the base rate."""
    return 1.0


def _step(step: int, steps: int, schedule: "Schedule") -> float:  # noqa: ARG001
    """Multiply by `decay` (default 0.1) after every `decay_epochs` epochs (default: a third)."""
    epoch = step // schedule.steps_per_epoch
    return _power(schedule.factor, epoch // schedule.period)


def _exponential(step: int, steps: int, schedule: "Schedule") -> float:  # noqa: ARG001
    """Multiply by `decay` (default 0.95) after every epoch."""
    return _power(schedule.factor, step // schedule.steps_per_epoch)


def _cosine(step: int, steps: int, schedule: "Schedule") -> float:  # noqa: ARG001
    """Half a cosine from 1 towards 0 over the run (Loshchilov and Hutter 2017, no restarts)."""
    return 0.5 * (1.0 + cos(pi * min(1.0, step / max(1, steps))))


def _one_cycle(step: int, steps: int, schedule: "Schedule") -> float:  # noqa: ARG001
    """Rise from 1/25 to 1 over the first 30 %, fall to 1/250,000: half cosines (Smith 2018)."""
    start, end = 1 / 25, 1 / 250_000
    peak, last = 0.3 * steps - 1.0, steps - 1.0
    if step < peak:
        return 1.0 + (start - 1.0) * 0.5 * (1.0 + cos(pi * step / peak))
    done = min(1.0, (step - peak) / max(1.0, last - peak))
    return end + (1.0 - end) * 0.5 * (1.0 + cos(pi * done))


def _plateau(step: int, steps: int, schedule: "Schedule") -> float:  # noqa: ARG001
    """Multiply by `decay` (default 0.1) when more than `patience` epochs (5) in a row were bad.

    An epoch is bad if its validation loss is not lower than the best by a ten-thousandth of it.
    """
    reductions, best, waited = 0, float("inf"), 0
    for loss in schedule.losses:
        if loss < best * (1 - 1e-4):
            best, waited = loss, 0
            continue
        waited += 1
        if waited > schedule.patience:
            reductions, waited = reductions + 1, 0
    return _power(schedule.factor, reductions)


def _power(factor: float, exponent: int) -> float:
    try:
        return float(factor**exponent)
    except OverflowError:
        return inf  # a rate that makes training diverge, which is found and said


# One entry a schedule: how it runs, and its own default of `decay`.
SCHEDULES: dict[str, tuple[Course, float]] = {
    "constant": (_constant, 1.0),
    "step": (_step, 0.1),
    "exponential": (_exponential, 0.95),
    "cosine": (_cosine, 1.0),
    "one_cycle": (_one_cycle, 1.0),
    "plateau": (_plateau, 0.1),
}


@dataclass
class Schedule:
    """The learning rate of every step of a run.

    Args:
        kind: a name in `SCHEDULES`.
        learning_rate: the base rate.
        epochs: of the whole run.
        steps_per_epoch: how many steps one epoch has.
        warmup_epochs: how long the rate rises at first; may be a fraction.
        decay: the factor of `step`, `exponential` and `plateau`; None for the kind's default.
        decay_epochs: after how many epochs `step` multiplies; None for a third of the epochs.
        patience: how many epochs without a better validation loss `plateau` bears.
    """

    kind: str
    learning_rate: float
    epochs: int
    steps_per_epoch: int
    warmup_epochs: float = 0.0
    decay: float | None = None
    decay_epochs: int | None = None
    patience: int = 5

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise ValueError(f"unknown schedule {self.kind!r}; known: {', '.join(SCHEDULES)}")
        self.factor = SCHEDULES[self.kind][1] if self.decay is None else self.decay
        self.period = self.decay_epochs or max(1, self.epochs // 3)
        self.total = self.epochs * self.steps_per_epoch
        self.warmup = round(self.warmup_epochs * self.steps_per_epoch)
        self.losses: list[float] = []

    def over(self, epochs: int) -> "Schedule":
        """Return the same schedule for a run of another number of epochs."""
        other = replace(self, epochs=epochs)
        other.losses = self.losses
        return other

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        course, _ = SCHEDULES[self.kind]
        return self.learning_rate * course(step - self.warmup, self.total - self.warmup, self)
