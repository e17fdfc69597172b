"""One training run, from settings to a finished run file: start or resume, train, save.

A session is walked through like a trainer; it adds the run file, checkpoints, and stopping at a
step boundary when it is told to or when its time is over.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import inf, isfinite
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from nnlab.atomic import claim_result
from nnlab.claims import Claim
from nnlab.errors import DivergedError, InterruptedRunError
from nnlab.ranks import Alone
from nnlab.runs import Run
from nnlab.training.assembly import Division, divide, make_trainer
from nnlab.training.events import EpochDone, StepDone
from nnlab.training.images import ImageSet
from nnlab.training.keeping import Keeper
from nnlab.training.pace import Pace
from nnlab.training.rehearsal import rehearse
from nnlab.training.resuming import changes, check_same_run, open_earlier
from nnlab.training.runstate import load_standardization, restore, store_model
from nnlab.training.settings import Settings
from nnlab.training.shuffling import choose_shuffle
from nnlab.training.trainer import Trainer


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
        picture_options: how pictures were brought to their size, for predict: entries of the
            run's config.
    """

    name: str
    path: Path
    checksum: str
    classes: list[str]
    train: ImageSet
    validation: ImageSet | None
    picture_options: Mapping[str, str] = field(default_factory=dict)


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
        job_seconds: seconds after which the process will be killed: training stops so early that
            a checkpoint can still be written; infinity for never.
        threads: that the computation uses, for the record; None if unknown.
        checkpoint_seconds: between checkpoints; None for none by time.
        checkpoint_steps: steps between checkpoints; None for none by steps.
        ranks: the processes that train this run together; the first one writes.
        stop: returns why to stop now, or an empty text; asked at every step boundary.
    """

    output: Path
    command: list[str]
    resume: bool = False
    force: bool = False
    held: Claim | None = None
    time_limit: float | None = None
    job_seconds: float = inf
    threads: int | None = None
    checkpoint_seconds: float | None = 300.0
    checkpoint_steps: int | None = None
    ranks: Alone = field(default_factory=Alone)
    stop: Callable[[], str] = lambda: ""

    def later(self, seconds: float) -> "Plan":
        """Return the plan as it stands some seconds later: of every limit there is less left."""
        limit = None if self.time_limit is None else self.time_limit - seconds
        return replace(self, time_limit=limit, job_seconds=self.job_seconds - seconds)


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
class CheckpointWarning:
    """A checkpoint could not be written, or may not survive a power cut; training goes on."""

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


Event = Started | StepDone | EpochDone | CheckpointWarning | Finished


def train(settings: Settings, data: TrainingData, plan: Plan) -> Generator[Event, None, None]:
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
    if not plan.ranks.speaks:
        yield from _train(settings, data, plan, None)
        return
    if plan.held is not None:
        yield from _train(settings, data, plan, plan.held)
        return
    with claim_result(plan.output, "train", plan.force, plan.resume) as held:
        yield from _train(settings, data, plan, held)


def _train(
    settings: Settings, data: TrainingData, plan: Plan, held: Claim | None
) -> Iterator[Event]:
    began, ranks = monotonic(), plan.ranks
    division = divide(settings, data.train, data.validation)
    earlier = None
    if ranks.speaks and plan.resume and plan.output.exists():
        earlier = open_earlier(plan.output)
    earlier = ranks.hand_out(earlier)
    notices = [text for text in (held.notice if held else "", division.notice) if text]
    if settings.shuffle == "auto":
        # Decided once: a run that is resumed on a machine with more memory keeps its order.
        kept = None if earlier is None else str(earlier.config.get("shuffle", "full"))
        chosen = ranks.hand_out(kept or choose_shuffle("auto", division.train))
        settings = replace(settings, shuffle=chosen)
        if settings.shuffle == "blocks":
            notices.append("the images fill more than half of the memory: --shuffle blocks")
    if plan.resume and earlier is None:
        notices.append(f"{plan.output} is not there yet: starting afresh")
    if earlier is None:
        trainer, standardization = make_trainer(settings, division, len(data.classes), ranks=ranks)
        run = _new_run(settings, data, division, plan)
        store_model(trainer, standardization, run)
    else:
        run = earlier
        check_same_run(settings, data.name, data.checksum, run)
        standardization = load_standardization(earlier)
        trainer, _ = make_trainer(settings, division, len(data.classes), standardization, ranks)
        restore(trainer, run)
        if trainer.finished and "result" in run.attributes:
            ranks.together = True
            yield Finished(_record(run), already=True)
            return
        notices += changes(run, trainer, plan.threads, ranks.size)
        run.config |= asdict(settings.resolve())
        if not trainer.finished:
            # What was measured was measured on weights that are about to change.
            run.attributes.pop("result", None)
            run.evaluations.clear()
    rehearse(settings, division, len(data.classes), standardization, ranks)
    yield Started(
        parameters=len(trainer.network.theta),
        train_images=len(division.train),
        validation_images=0 if division.validation is None else len(division.validation),
        epochs_done=trainer.counters.epoch,
        epochs=settings.epochs,
        steps=trainer.batches.steps,
        notices=notices,
    )
    keeper = Keeper(trainer, run, held)
    ends = inf if plan.time_limit is None else began + plan.time_limit
    trainer.together = keeper.steps_to_go(plan.checkpoint_steps)
    try:
        for event in trainer.run():
            yield event
            keeper.pace.boundary(now := monotonic())
            if trainer.finished:
                break
            if held is not None and held.lost:
                held.check()  # says so
            reason = plan.stop() or _out_of_time(now, ends, began + plan.job_seconds, keeper.pace)
            if ranks.size > 1:
                # Asked for now, agreed on with the next step's gradient: all stop at one boundary.
                trainer.exchange.stop = bool(reason)
                reason = (reason or "another rank") if trainer.exchange.must_stop else ""
            if reason:
                ranks.together = True
                far = keeper.pace.in_words()
                warning = keeper.save_last()
                if warning:
                    yield CheckpointWarning(warning)
                raise _interrupted(reason, far, trainer, plan.output)
            if keeper.is_due(now, plan.checkpoint_seconds, plan.checkpoint_steps):
                warning = keeper.checkpoint()
                if warning:
                    yield CheckpointWarning(warning)
            trainer.together = keeper.steps_to_go(plan.checkpoint_steps)
        warning = _finish(trainer, run, division, keeper)
    except DivergedError as error:
        reason = keeper.save_diverged(error)
        kept = (
            f"The last good weights are not kept: {reason}"
            if reason
            else f"The last good weights are in {plan.output}; nnlab replay {plan.output} shows "
            "what was not finite first."
        )
        raise DivergedError(
            f"{error} {kept}", run=None if reason else str(plan.output), **error.details
        ) from error
    if warning:
        yield CheckpointWarning(warning)
    ranks.together = True
    yield Finished(_record(run), already=False)


def _out_of_time(now: float, limit: float, job_ends: float, pace: Pace) -> str:
    if now >= limit:
        return "the time limit"
    return "the end of the job's time" if pace.must_stop(now, job_ends) else ""


def _finish(trainer: Trainer, run: Run, division: Division, keeper: Keeper) -> str:
    """Measure the best weights on the training images and save the finished run."""
    counters, network = trainer.counters, trainer.network
    with trainer.best_weights(), np.errstate(all="ignore"):
        measured = trainer.measure(division.train)
        penalty = trainer.update.penalty.value(network.theta[: network.penalized])
    if not isfinite(measured.loss):
        trainer.diverge("the loss of the trained weights")
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
    return keeper.save_last()


def _new_run(settings: Settings, data: TrainingData, division: Division, plan: Plan) -> Run:
    config = {
        "data": data.name,
        "data_path": str(data.path),
        "data_checksum": data.checksum,
        "train_images": len(division.train),
        "validation_images": 0 if division.validation is None else len(division.validation),
        **data.picture_options,
        **asdict(settings.resolve()),
    }
    if plan.threads is not None:
        config["threads"] = plan.threads
    if plan.ranks.size > 1:
        config["ranks"] = plan.ranks.size
    return Run(kind="network", command=plan.command, config=config, classes=data.classes, spec={})


def _interrupted(reason: str, far: str, trainer: Trainer, output: Path) -> InterruptedRunError:
    return InterruptedRunError(
        f"stopped by {reason} after {far}. The checkpoint is in {output}: the same command with "
        "--resume goes on.",
        run=str(output),
        reason=reason,
        epochs_done=trainer.counters.epoch,
        epochs=trainer.epochs,
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
