"""One training run, from settings to a finished run file: start or resume, train, save.

A session is walked through like a trainer; it adds the run file, checkpoints, and stopping at a
step boundary when it is told to or when its time is over.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from nnlab.atomic import claim_result
from nnlab.claims import Claim
from nnlab.errors import DivergedError, InputError, InterruptedRunError
from nnlab.runs import Run, open_run
from nnlab.training.assembly import Division, divide, make_trainer
from nnlab.training.images import ImageSet
from nnlab.training.inference import performance
from nnlab.training.runstate import (
    load_standardization,
    restore,
    store,
    store_model,
)
from nnlab.training.settings import Settings, option_name
from nnlab.training.shuffling import choose_shuffle
from nnlab.training.trainer import EpochDone, StepDone

# What may differ between a run and its resumption: it decides how long, not what.
MAY_CHANGE = ("epochs", "early_stopping")


@dataclass(frozen=True)
class TrainingData:
    """The images of a run and where they come from.

    Attributes:
        name: of the data set.
        path: of the data file.
        checksum: of its content.
        classes: the names of the classes.
        train: all training images.
        validation: the data's own validation images, or None.
    """

    name: str
    path: Path
    checksum: str
    classes: list[str]
    train: ImageSet
    validation: ImageSet | None


@dataclass(frozen=True)
class Plan:
    """What surrounds the training of one run.

    Attributes:
        output: the run file.
        command: the command line, as typed.
        resume: go on from the run file if it is there.
        force: replace the run file if it is there, and take over a claim whose owner is silent.
        held: the claim to the run file, if the caller has it; None to claim it here.
        time_limit: seconds after which to stop with a checkpoint; None for no limit.
        checkpoint_seconds: between checkpoints; None for none by time.
        checkpoint_steps: steps between checkpoints; None for none by steps.
        stop: returns why to stop now, or an empty text; asked at every step boundary.
    """

    output: Path
    command: list[str]
    resume: bool = False
    force: bool = False
    held: Claim | None = None
    time_limit: float | None = None
    checkpoint_seconds: float | None = 300.0
    checkpoint_steps: int | None = None
    stop: Callable[[], str] = lambda: ""


@dataclass(frozen=True)
class Started:
    """Training begins.

    Attributes:
        parameters: how many numbers are trained.
        train_images: how many images train.
        validation_images: how many validate.
        epochs_done: how many epochs an earlier part of the run has done.
        epochs: in all.
        steps: of an epoch.
        notices: what a user should know.
    """

    parameters: int
    train_images: int
    validation_images: int
    epochs_done: int
    epochs: int
    steps: int
    notices: list[str]


@dataclass(frozen=True)
class CheckpointFailed:
    """A checkpoint could not be written; training goes on to the next one."""

    reason: str


@dataclass(frozen=True)
class Finished:
    """The run is complete, and its file is written.

    Attributes:
        record: the result, by the keys of `nnlab train --json`.
        already: the run had been finished before; nothing was done.
    """

    record: dict[str, Any]
    already: bool


Event = Started | StepDone | EpochDone | CheckpointFailed | Finished


def train(settings: Settings, data: TrainingData, plan: Plan) -> Iterator[Event]:
    """Train one network and keep its run file.

    Yields:
        `Started`, then `StepDone` and `EpochDone`, and at the end `Finished`.

    Raises:
        InputError: settings and data do not fit, or the run file belongs to another run.
        DivergedError: a number was not finite; the run file holds the last good state.
        InterruptedRunError: stopped by `plan.stop` or the time limit; a checkpoint is saved.
        BusyError: another process is writing the run file.
        ClaimLostError: another process has taken the run file over.
    """
    if plan.held is not None:
        yield from _train(settings, data, plan, plan.held)
        return
    with claim_result(plan.output, "train", plan.force, plan.resume) as held:
        yield from _train(settings, data, plan, held)


def _train(settings: Settings, data: TrainingData, plan: Plan, held: Claim) -> Iterator[Event]:
    began = monotonic()
    division = divide(settings, data.train, data.validation)
    earlier = open_run(plan.output) if plan.resume and plan.output.exists() else None
    notices = [text for text in (held.notice, division.notice) if text]
    if settings.shuffle == "auto":
        # Decided once: a run that is resumed on a machine with more memory keeps its order.
        kept = None if earlier is None else str(earlier.config.get("shuffle", "full"))
        settings = replace(settings, shuffle=kept or choose_shuffle("auto", division.train))
        if settings.shuffle == "blocks":
            notices.append("the images fill more than half of the memory: --shuffle blocks")
    if plan.resume and earlier is None:
        notices.append(f"{plan.output} is not there yet: starting afresh")
    if earlier is None:
        trainer, standardization = make_trainer(settings, division, len(data.classes))
        run = _new_run(settings, data, division, plan)
        store_model(trainer, standardization, run)
    else:
        run = earlier
        _refuse_other_settings(settings, data, run)
        if run.attributes.get("progress", {}).get("diverged"):
            raise InputError(
                f"{run.path} diverged; going on would diverge again. Start it afresh with other "
                "settings and --force."
            )
        trainer, _ = make_trainer(
            settings, division, len(data.classes), load_standardization(earlier)
        )
        restore(trainer, run)
        if trainer.finished and "result" in run.attributes:
            yield Finished(_record(run), already=True)
            return
        run.config |= asdict(settings.resolve())
        if not trainer.finished:
            # What was measured was measured on weights that are about to change.
            run.attributes.pop("result", None)
            run.evaluations.clear()
    yield Started(
        parameters=len(trainer.network.theta),
        train_images=len(division.train),
        validation_images=0 if division.validation is None else len(division.validation),
        epochs_done=trainer.counters.epoch,
        epochs=settings.epochs,
        steps=trainer.batches.steps,
        notices=notices,
    )

    def save(diverged: bool = False) -> None:
        store(trainer, run)
        if diverged:
            run.attributes["progress"]["diverged"] = True
        run.save(plan.output, held)

    saved, saved_steps = monotonic(), trainer.steps_done
    try:
        for event in trainer.run():
            yield event
            if trainer.finished:
                break
            if held.lost:
                held.check()  # says so
            now = monotonic()
            reason = plan.stop()
            if not reason and plan.time_limit is not None and now - began >= plan.time_limit:
                reason = "the time limit"
            if reason:
                save()
                raise InterruptedRunError(_interrupted(reason, trainer.counters, plan.output))
            due = plan.checkpoint_seconds is not None and now - saved >= plan.checkpoint_seconds
            if plan.checkpoint_steps is not None:
                due = due or trainer.steps_done - saved_steps >= plan.checkpoint_steps
            if due:
                try:
                    save()
                except InputError as error:
                    yield CheckpointFailed(str(error))
                saved, saved_steps = monotonic(), trainer.steps_done
    except DivergedError:
        save(diverged=True)
        raise

    counters, network = trainer.counters, trainer.network
    with trainer.best_weights(), np.errstate(all="ignore"):
        measured = performance(network, trainer.loss, trainer.applier, division.train)
        penalty = trainer.update.penalty.value(network.theta[: network.penalized])
    if not isfinite(measured.loss):
        save(diverged=True)
        raise DivergedError(
            "training diverged: the trained weights have no finite loss; try a smaller --lr, "
            "--clip, or another --init."
        )
    run.attributes["result"] = {
        "parameters": len(network.theta),
        "train_loss": measured.loss,
        "train_accuracy": measured.accuracy,
        "penalty": penalty,
        "seconds": counters.seconds,
        "images_per_second": counters.images / counters.seconds if counters.seconds else 0.0,
    }
    if division.validation is not None:
        run.attributes["result"] |= {
            "val_loss": counters.best_loss,
            "val_accuracy": counters.best_accuracy,
        }
    save()
    yield Finished(_record(run), already=False)


def _new_run(settings: Settings, data: TrainingData, division: Division, plan: Plan) -> Run:
    config = {
        "data": data.name,
        "data_path": str(data.path),
        "data_checksum": data.checksum,
        "train_images": len(division.train),
        "validation_images": 0 if division.validation is None else len(division.validation),
        **asdict(settings.resolve()),
    }
    return Run(kind="network", command=plan.command, config=config, classes=data.classes, spec={})


def _refuse_other_settings(settings: Settings, data: TrainingData, run: Run) -> None:
    now = asdict(settings.resolve())
    stored = run.config
    differ = [
        f"{option_name(name)} was {stored.get(name)!r}, is {now[name]!r}"
        for name in now
        if name not in MAY_CHANGE and stored.get(name) != now[name]
    ]
    if stored.get("data_checksum") != data.checksum:
        differ.insert(0, f"the data was {stored.get('data')}, other content is {data.name}")
    if differ:
        raise InputError(
            f"{run.path} is a run with other settings: {'; '.join(differ)}. Resume it with its "
            f"own (--config {run.path} --resume), or take another -o."
        )


def _interrupted(reason: str, counters: Any, output: Path) -> str:
    return (
        f"stopped by {reason} after {counters.epoch} epochs and {counters.step} steps; the "
        f"checkpoint is in {output}: the same command with --resume goes on."
    )


def _record(run: Run) -> dict[str, Any]:
    result, progress = run.attributes["result"], run.attributes["progress"]
    validation = None
    if "val_loss" in result:
        validation = {
            "loss": float(result["val_loss"]),
            "accuracy": float(result["val_accuracy"]),
        }
    return {
        "run": str(run.path),
        "model": run.config["model"],
        "parameters": int(result["parameters"]),
        "epochs": int(progress["epoch"]),
        "best_epoch": int(progress["best_epoch"]),
        "train": {
            "loss": float(result["train_loss"]),
            "accuracy": float(result["train_accuracy"]),
        },
        "val": validation,
        "penalty": float(result["penalty"]),
        "stopped_early": bool(progress["stopped_early"]),
        "seconds": float(result["seconds"]),
        "images_per_second": float(result["images_per_second"]),
        "warnings": list(run.attributes.get("warnings", {}).values()),
    }
