"""Progress of a sweep on stderr: one bar for all its runs, and a line for each that ends."""

import os
import sys
from contextlib import suppress
from time import monotonic
from typing import Any

from nnlab.cli.sweep_tables import metric_text, point_text
from nnlab.sweep.results import overview
from nnlab.sweep.study import Study
from nnlab.sweep.trials import DONE, FINAL, Task, Trials
from nnlab.sweep.worker import Began, Ended, Epoch, Idle, Noted
from nnlab.texts import counted
from nnlab.training.durations import format_duration

# Without a terminal long runs say that they live, at most so often.
HEARTBEAT_SECONDS = 60.0
# Other workers' results appear in the bar so often.
RECOUNT_SECONDS = 2.0
# Of a terminal's width the names of the running runs get at most this share.
SHARE_OF_NAMES = 0.45


class SweepProgress:
    """The runs of a study; use it as a context."""

    def __init__(self, study: Study, trials: Trials) -> None:
        self._study = study
        self._trials = trials
        self._bar: Any = None
        self._running: dict[str, tuple[int, int]] = {}
        self._last = self._counted = monotonic()
        self._told_idle = False
        self._finished = 0
        self._total: int | None = None
        self._seconds = 0.0

    def __enter__(self) -> "SweepProgress":
        self._count()
        if sys.stderr.isatty():
            from tqdm import tqdm

            left = "{l_bar}{bar}| "
            runs = "{n:.1f}/{total_fmt} [" if self._total else "["
            self._bar = tqdm(
                total=self._total or self._study.time,
                initial=self._done(),
                leave=False,
                dynamic_ncols=True,
                bar_format=left + runs + "{elapsed}<{remaining}{postfix}]",
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def state(self) -> str:
        """Say how far the study is."""
        self._count()
        of = "" if self._total is None else f" of {self._total}"
        return f"{self._finished}{of} runs are finished"

    def show(self, event: Any) -> None:
        """Show what has happened."""
        match event:
            case Began(task, standing, notice):
                self._told_idle = False
                self._running[_name(task)] = (standing.epoch, 0)
                if notice:
                    self.write(f"note: {notice}")
                if standing.epoch or standing.steps:
                    self.write(f"{_name(task)} goes on after {counted(standing.epoch, 'epoch')}")
            case Epoch(task, record):
                self._running[_name(task)] = (int(record["epoch"]), int(record["epochs"]))
            case Ended(task, standing):
                self._running.pop(_name(task), None)
                self._count()  # others have been at work, too
                self.write(self._line(task, standing))
            case Noted(text):
                self.write(f"note: {text}")
            case Idle() if self._told_idle:
                pass  # one line is enough for whoever follows the log
            case Idle(others):
                self._told_idle = True
                runs = "a run" if others == 1 else f"{others} runs"
                self.write(
                    f"nothing is left but {runs} of other workers; waiting whether one has to be "
                    "taken over (--no-wait does not)"
                )
        self._draw()

    def _line(self, task: Task, standing: Any) -> str:
        of = "" if self._total is None else f"/{self._total}"
        text = f"[{self._finished}{of}] {_name(task)}  {point_text(task.point)}  {standing.state}"
        if standing.state == DONE:
            value = metric_text(self._study, standing.value(self._study.metric))
            text += f", {self._study.metric} {value}, {format_duration(standing.seconds)}"
        return text + (f": {standing.reason}" if standing.reason else "")

    def _draw(self) -> None:
        now = monotonic()
        if self._bar is None:
            if now - self._last >= HEARTBEAT_SECONDS and self._running:
                self._last = now
                self.write("running: " + ", ".join(self._texts()))
            return
        if now - self._counted >= RECOUNT_SECONDS:
            self._count()
        self._bar.set_postfix_str(self._beside_bar(), refresh=False)
        self._bar.n = self._done()
        self._bar.refresh()

    def _done(self) -> float:
        """Return how far the bar is: in runs, or in seconds where only the time is limited."""
        if not self._total:
            return min(self._seconds, self._study.time or 0.0)
        parts = sum(done / epochs for done, epochs in self._running.values() if epochs)
        return self._finished + parts

    def _beside_bar(self) -> str:
        """Name the running runs, as many as leave the bar its room."""
        columns = 80
        with suppress(OSError):
            columns = os.get_terminal_size(sys.stderr.fileno()).columns
        texts = [] if self._total else [f"{self._finished} finished"]
        texts += self._texts()
        shown = [texts[0]] if texts else []
        while len(shown) < len(texts):
            following = texts[len(shown)]
            if len(", ".join([*shown, following])) > columns * SHARE_OF_NAMES:
                return f"{', '.join(shown)}, {len(texts) - len(shown)} more"
            shown.append(following)
        return ", ".join(shown)

    def _texts(self) -> list[str]:
        return [f"{name} {done}/{epochs or '?'}" for name, (done, epochs) in self._running.items()]

    def _count(self) -> None:
        found = overview(self._trials)
        # A run whose file is written before its process has ended is still one that runs here.
        self._finished = sum(found.runs[state] for state in FINAL) - sum(
            standing.state in FINAL and _name(task) in self._running
            for trial in found.trials
            for task, standing in trial.runs
        )
        self._total, self._seconds = found.total, found.seconds
        self._counted = monotonic()

    def write(self, text: str) -> None:
        """Print a line above the bar."""
        self._last = monotonic()
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201


def _name(task: Task) -> str:
    return task.run.stem
