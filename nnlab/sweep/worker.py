"""A worker: takes the runs of a study, one or several at a time, until none is left.

Any number of workers, on any number of machines that share the study's folder, do the same. A
run belongs to the worker that claims it; a claim whose owner has died is taken over, and the run
goes on from its checkpoint. The worker computes nothing: see `nnlab.sweep.child`.
"""

import os
import select
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from nnlab.claims import owner_of
from nnlab.errors import ClaimLostError, InputError, InterruptedRunError
from nnlab.sweep.child import Child, train_arguments
from nnlab.sweep.folder import DataSource
from nnlab.sweep.nursery import Nursery
from nnlab.sweep.source import Held, Source
from nnlab.sweep.study import Study
from nnlab.sweep.trials import (
    FAILED,
    FINAL,
    PRUNED,
    STOPPED,
    Standing,
    Task,
    read_standing,
    record_end,
    record_good_end,
    record_start,
)  # fmt: skip
from nnlab.texts import counted

# How long to wait for news of the running processes before looking around.
TICK_SECONDS = 0.2
# With a checkpoint, and before there was anything to keep.
STOPPED_CODES = (InterruptedRunError.exit_code, 130)
# How often to look whether another worker's run has become free.
LOOK_SECONDS = 2.0
# A machine on which nothing works must not use up a whole study.
MOST_FAILURES = 5


@dataclass(frozen=True)
class Plan:
    """How a worker works.

    Attributes:
        slots: how many runs at a time.
        threads: of each run.
        stop: returns why to stop now, or an empty text.
        time_limit: seconds after which to stop with checkpoints; None for no limit.
        wait: wait for the runs of other workers, which may die, before ending.
    """

    slots: int = 1
    threads: int = 1
    stop: Callable[[], str] = lambda: ""
    time_limit: float | None = None
    wait: bool = True


@dataclass(frozen=True)
class Began:
    """A run was begun, or goes on after `standing.epoch` epochs."""

    task: Task
    standing: Standing
    notice: str


@dataclass(frozen=True)
class Epoch:
    """A run has finished an epoch; `record` is what `train --events` says of it."""

    task: Task
    record: dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """A run's process has ended: `standing` says where the run stands."""

    task: Task
    standing: Standing


@dataclass(frozen=True)
class Idle:
    """Nothing is left but the runs of other workers."""

    others: int


@dataclass(frozen=True)
class Noted:
    """Something that a user should know."""

    text: str


Event = Began | Epoch | Ended | Idle | Noted


@dataclass(eq=False)
class _Slot:
    held: Held
    child: Child
    pruned: bool = False


class Worker:
    """See the module.

    Args:
        study: the study; its folder has been entered.
        data: its data.
        source: where the runs come from.
        plan: how to work.
    """

    def __init__(self, study: Study, data: DataSource, source: Source, plan: Plan) -> None:
        self._study = study
        self._data = data
        self._source = source
        self._plan = plan
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(plan.threads)}
        self._nursery = Nursery(self._environment)
        self._slots: list[_Slot] = []
        self._failures, self._reason = 0, ""
        # Until then there is nothing to take, unless one of our own runs ends.
        self._look_again = 0.0

    def run(self) -> Iterator[Event]:
        """Work until nothing is left.

        Yields:
            What happens.

        Raises:
            InterruptedRunError: told to stop; every running run has saved its checkpoint.
        """
        limit = self._plan.time_limit
        deadline = None if limit is None else monotonic() + limit
        idle = 0
        try:
            while not (reason := self._why_stop(deadline)):
                if self._failures >= MOST_FAILURES:
                    raise InputError(
                        f"{self._failures} trials in a row failed on this machine, the last one: "
                        f"{self._reason} Put that right, and begin them anew with --retry."
                    )
                yield from self._fill()
                if not self._slots:
                    if not self._source.others or not self._plan.wait:
                        return
                    if idle != self._source.others:
                        idle = self._source.others
                        yield Idle(idle)
                    self._sleep(LOOK_SECONDS, deadline)
                yield from self._watch(stopping=False)
            for slot in self._slots:
                slot.child.stop()
            while self._slots:
                yield from self._watch(stopping=True)
        finally:
            # After an error, or when nobody listens any more: they stop with a checkpoint.
            for slot in self._slots:
                slot.child.stop()
                slot.held.claim.release()
            self._nursery.close()
        raise InterruptedRunError(f"stopped by {reason}")

    def _why_stop(self, deadline: float | None) -> str:
        if deadline is not None and monotonic() >= deadline:
            return self._plan.stop() or "the time limit"
        return self._plan.stop()

    def _sleep(self, seconds: float, deadline: float | None) -> None:
        until = monotonic() + seconds
        while monotonic() < until and not self._why_stop(deadline):
            select.select([], [], [], TICK_SECONDS)

    def _fill(self) -> Iterator[Event]:
        """Begin runs until every slot has one, or there is none to take."""
        while len(self._slots) < self._plan.slots and monotonic() >= self._look_again:
            held = self._source.take()
            if held is None:
                self._look_again = monotonic() + LOOK_SECONDS
                return
            task, standing = held.task, held.standing
            in_vain = record_start(task, standing.steps)
            if in_vain >= self._study.attempts:
                reason = (
                    f"it died {in_vain} times without a word and without getting further; the "
                    "machine may have too little memory for it"
                )
                yield self._let_go(held, self._end(task, 1, reason))
                continue
            settings = self._study.space.settings(task.point)
            arguments = train_arguments(
                task, settings, str(self._data.path), self._plan.threads,
                self._study.checkpoint_every,
            )  # fmt: skip
            child = Child(arguments, settings, self._environment, self._nursery)
            self._slots.append(_Slot(held, child))
            yield Began(task, standing, held.claim.notice)

    def _watch(self, stopping: bool) -> Iterator[Event]:
        """Wait a moment for news of the running processes, and deal with it."""
        if self._slots:
            pipes = [pipe for slot in self._slots for pipe in slot.child.pipes]
            select.select(pipes, [], [], TICK_SECONDS)
        for slot in list(self._slots):
            code = slot.child.ended()  # before reading: nothing comes after it
            for record in slot.child.read():
                if "epoch" not in record:
                    continue
                yield Epoch(slot.held.task, record)
                if not slot.pruned and self._source.heard(slot.held, record):
                    slot.pruned = True
                    slot.child.stop()
            if code is None:
                continue
            self._slots.remove(slot)
            standing = self._judge(slot, code, stopping)
            slot.child.close()
            self._look_again = 0.0
            yield self._let_go(slot.held, standing)
        while self._nursery.notices:
            yield Noted(self._nursery.notices.pop(0))

    def _let_go(self, held: Held, standing: Standing) -> Ended:
        try:
            held.claim.check()
        except (ClaimLostError, OSError):
            # Another worker has taken the run over; what it says counts.
            held.claim.release()
            return Ended(held.task, replace(standing, state=STOPPED))
        self._source.ended(held, standing)
        if standing.state in FINAL:
            self._failures = self._failures + 1 if standing.state == FAILED else 0
            self._reason = standing.reason
        return Ended(held.task, standing)

    def _judge(self, slot: _Slot, code: int, stopping: bool) -> Standing:
        """Say where a run stands whose process has ended with this code."""
        task = slot.held.task
        standing = read_standing(task, look_for_worker=False)
        if standing.state in FINAL:
            record_good_end(task)
            return standing
        if slot.pruned:
            reason = f"not better than others after {counted(standing.epoch, 'epoch')}"
            return self._end(task, code, reason, PRUNED)
        if stopping or code in STOPPED_CODES:
            record_good_end(task)
            return standing
        with suppress(OSError):
            if owner_of(task.run) is not None:  # the process of a worker that died is at its end
                record_good_end(task)
                return standing
        if code < 0:  # killed: tried again, from its checkpoint
            return replace(standing, reason=slot.child.why(code))
        return self._end(task, code, slot.child.why(code))

    def _end(self, task: Task, code: int, reason: str, state: str = FAILED) -> Standing:
        record_end(task, code, reason, state)
        return read_standing(task, look_for_worker=False)
