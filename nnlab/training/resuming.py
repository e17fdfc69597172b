"""Going on with a run: what may differ, what is refused, and what a user should know."""

from dataclasses import asdict
from pathlib import Path

from nnlab.errors import FileFormatError, InputError
from nnlab.runs import Run, open_run
from nnlab.texts import counted
from nnlab.training.settings import Settings, option_name
from nnlab.training.trainer import Trainer

# What may differ between a run and its resumption: it decides how long, not what.
MAY_CHANGE = ("epochs", "early_stopping")


def open_earlier(path: Path) -> Run:
    """Open the run to go on with.

    Raises:
        FileFormatError: it is damaged, foreign or of a newer version; it is never started afresh
            unless the user says so.
    """
    try:
        return open_run(path)
    except FileFormatError as error:
        raise FileFormatError(
            f"{error} It is left as it is; --force instead of --resume trains it afresh."
        ) from error


def check_same_run(settings: Settings, data: str, checksum: str, run: Run) -> None:
    """Check that a run may be gone on with under these settings and data.

    Args:
        settings: in force now.
        data: name of the data set.
        checksum: of its content.
        run: the earlier part.

    Raises:
        InputError: it is a run of another kind, data or settings, or it has diverged.
    """
    if run.kind != "network":
        raise InputError(f"{run.path} is a run of kind {run.kind}; train goes on with networks.")
    if run.attributes.get("progress", {}).get("diverged"):
        raise InputError(
            f"{run.path} diverged; going on would diverge again. nnlab replay {run.path} shows "
            "where; start it afresh with other settings and --force."
        )
    stored = run.config
    if stored.get("data_checksum") != checksum:
        was = str(stored.get("data_checksum", "?"))[:12]
        raise InputError(
            f"the data has changed since {run.path} began: {stored.get('data')} had the checksum "
            f"{was}..., {data} has {checksum[:12]}...; put the old data file back, or train afresh "
            "with another -o."
        )
    now = asdict(settings.resolve())
    differ = [
        f"{option_name(name)} was {stored.get(name)!r}, is {now[name]!r}"
        for name in now
        if name not in MAY_CHANGE and stored.get(name) != now[name]
    ]
    if differ:
        raise InputError(
            f"{run.path} is a run with other settings: {'; '.join(differ)}. Resume it with its "
            f"own (--config {run.path} --resume), or take another -o."
        )


def changes(run: Run, trainer: Trainer, threads: int | None, ranks: int = 1) -> list[str]:
    """Say what a run is gone on with that was different before, and what that does.

    Args:
        run: the earlier part, with its own settings.
        trainer: restored, with the settings in force now.
        threads: in use now; None if unknown.
        ranks: that train it now.
    """
    notes = []
    before, now = int(run.config.get("epochs", trainer.epochs)), trainer.epochs
    done = trainer.counters.epoch
    if now < before and done >= now:
        notes.append(f"--epochs was {before}, is {now}, and {done} are done: nothing is left to do")
    elif now != before:
        notes.append(f"--epochs was {before}, is {now}: {_schedule(trainer, before)}")
    used = run.config.get("threads")
    together = int(run.config.get("ranks", 1))
    if ranks != together:
        notes.append(
            f"the run began with {counted(together, 'rank')} and goes on with {ranks}: sums are "
            "added up in another order, and dropout and augmentation are drawn otherwise"
        )
    elif threads is not None and used is not None and used != threads:
        notes.append(
            f"the run began with {counted(used, 'thread')} and goes on with {threads}: sums are "
            "added up in another order, so the last bits may differ from those of an unbroken run"
        )
    return notes


def _schedule(trainer: Trainer, before: int) -> str:
    """Say what another number of epochs does to the learning rate of the next step."""
    schedule, step = trainer.schedule, trainer.steps_done
    old = schedule.over(before).rate(step)
    new = schedule.rate(step)
    if new == old and schedule.rate(step + 1) == schedule.over(before).rate(step + 1):
        return f"the schedule {schedule.kind} goes on as before, with a learning rate of {new:.3g}"
    return (
        f"the schedule {schedule.kind} now spans {trainer.epochs} epochs, so the learning rate "
        f"goes on at {new:.3g} instead of {old:.3g}"
    )
