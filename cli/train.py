"""`nnlab train`."""

import contextlib
import sys
from math import inf
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from nnlab.cli.options import GENERAL, AsJson, Force, Mpi, Root, Threads
from nnlab.cli.output import Output, loss_text, percent
from nnlab.cli.settings_options import resolve_settings, with_settings
from nnlab.texts import counted

RUN = "Run"


@with_settings()
def command(
    data: Annotated[
        str | None,
        typer.Argument(help="A data file, or the name of a known data set.", show_default=False),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="RUN.h5",
            help="The run file. It may contain {model}, {seed}, {job}, {task}.",
            rich_help_panel=RUN,
        ),
    ] = None,
    settings: Any = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Settings from a TOML file (keys are option names), or those of a run file.",
            rich_help_panel=RUN,
        ),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Stop after so long with a checkpoint, such as 90s, 5m, 1h30m; auto stops just in "
            "time before the end of a SLURM job. \\[default: auto where SLURM_JOB_END_TIME is "
            "set]",
            rich_help_panel=RUN,
        ),
    ] = None,
    checkpoint_every: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Save a checkpoint so often: a time such as 5m, or a number of steps; 0 for "
            "none. \\[default: 5m]",
            rich_help_panel=RUN,
        ),
    ] = None,
    threads: Threads = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the run file; start afresh if it is not there.",
            rich_help_panel=RUN,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Take a few steps, say what the training needs of memory, disk and time, and "
            "write nothing.",
            rich_help_panel=RUN,
        ),
    ] = False,
    force: Force = False,
    root: Root = None,
    events: Annotated[
        bool,
        typer.Option(
            "--events",
            help="Print one JSON line an epoch on stdout, before the result; stop with a "
            "checkpoint when nobody reads them any more.",
            rich_help_panel=GENERAL,
        ),
    ] = False,
    mpi: Mpi = False,
    as_json: AsJson = False,
) -> None:
    """Train a softmax classifier, a linear SVM or an MLP.

    Total loss = mean over images of the data loss + l2 / 2 * sum(W^2) + l1 * sum(|W|); biases and
    normalization gains are not penalized. The weights with the best validation accuracy are kept.
    Ctrl-C, SIGTERM, SIGUSR1, SIGUSR2, a terminal that closes (SIGHUP), --time-limit and the end of
    a job's time save a checkpoint and exit with 75; the same command with --resume goes on exactly.

    [bold]Examples[/bold]

    nnlab train fashion.h5 -o softmax.h5

    nnlab train fashion.h5 -o svm.h5 --model svm --delta 1 --l2 1e-3

    nnlab train fashion.h5 -o mlp.h5 --model mlp --hidden 512,256 --dropout 0.3 --epochs 20

    nnlab train fashion.h5 --model mlp --hidden 512,256 --dry-run

    nnlab train --config mlp.h5 -o again.h5 --seed 1

    nnlab train photos.h5 -o 'run-{job}-{task}.h5' --model mlp --resume --time-limit 55m --json
    """
    from nnlab import machine
    from nnlab.atomic import refuse_existing
    from nnlab.cli.dry_run import find_prepared, show
    from nnlab.cli.events import EventStream
    from nnlab.cli.ranks import ranks_of, threads_of
    from nnlab.cli.signals import stop_on_signals
    from nnlab.datasets import find_data, open_data
    from nnlab.errors import InputError
    from nnlab.runs.naming import expand
    from nnlab.training.session import Plan, train

    ranks = ranks_of(mpi)
    out = Output(as_json)
    # Whatever arrives before the first step stops the command at once; the result is told inside.
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals(at_once=True))
        began = monotonic()
        chosen, around = resolve_settings(config, settings)
        data = data or around.get("data")
        output = output or around.get("output")
        if data is None:
            raise InputError("DATA is missing: name a data file or a known data set.")
        workers = threads_of(ranks, threads or around.get("threads"))
        machine.limit_blas_threads(workers)
        if dry_run:
            file = stack.enter_context(open_data(find_prepared(str(data), root)))
            show(chosen, _training_data(file), out)
            return
        if output is None:
            raise InputError("the run file is missing: name it with -o RUN.h5.")
        path = expand(str(output), seed=chosen.seed, model=chosen.model)
        if ranks.speaks:
            # Not --force alone: it would throw away what a stopped run has come to.
            refuse_existing(
                path, force or resume, Path(str(data)).expanduser(),
                advice="go on with --resume, choose another name, or replace it with --force",
            )  # fmt: skip
        if time_limit is None:
            time_limit = around.get("time_limit")
        if checkpoint_every is None:
            checkpoint_every = around.get("checkpoint_every", "5m")
        stream = EventStream() if events else None
        plan = Plan(
            output=path,
            command=["nnlab", *sys.argv[1:]],
            resume=resume,
            force=force,
            threads=workers,
            ranks=ranks,
            stop=stop if stream is None else stream.stop_without_reader(stop),
            **_limits(time_limit, out),
            **_checkpoints(checkpoint_every),
        )
        file = stack.enter_context(open_data(find_data(str(data), root, out.note)))
        training = _training_data(file)
        # Closed at once, whatever ends the walk: the claim to the run file goes with it.
        steps = train(chosen, training, plan.later(monotonic() - began))
        with contextlib.closing(steps):
            record = _show(steps, out, chosen, training.name, stop, stream)
        out.result(record)


def _training_data(file: Any) -> Any:
    from nnlab.training.images import ImageSet
    from nnlab.training.session import TrainingData

    parts = {
        name: ImageSet.of(part.images, part.labels, folds=part.folds)
        for name in ("train", "val")
        if name in file.splits
        for part in [file.split(name)]
    }
    return TrainingData(
        name=file.name,
        path=file.path.resolve(),
        checksum=file.checksum,
        classes=file.classes,
        train=parts["train"],
        validation=parts.get("val"),
        picture_options=file.picture_options,
    )


def _seconds(text: Any, option: str) -> float | None:
    from nnlab.training.durations import parse_duration

    return None if text is None else parse_duration(str(text), option)


def _limits(text: Any, out: Output) -> dict[str, Any]:
    """Return the limits of time: the user's own, and the end of the batch job."""
    from nnlab import jobs
    from nnlab.training.durations import format_roughly

    if text is not None and str(text) != "auto":
        return {"time_limit": _seconds(text, "--time-limit") or inf}
    if text is None and not jobs.says_when_it_ends():
        return {}
    left = jobs.seconds_left()
    if left < inf:
        out.note(f"note: this job ends in {format_roughly(left)}; training stops in time to save")
    return {"job_seconds": left}


def _checkpoints(text: Any) -> dict[str, Any]:
    text = str(text)
    if text.isdecimal():
        return {"checkpoint_seconds": None, "checkpoint_steps": int(text) or None}
    return {"checkpoint_seconds": _seconds(text, "--checkpoint-every")}


def _show(
    events: Any, out: Output, settings: Any, data: str, stop: Any, stream: Any
) -> dict[str, Any]:
    from nnlab.cli.progress import Progress
    from nnlab.training.durations import format_duration
    from nnlab.training.events import EpochDone, StepDone
    from nnlab.training.session import CheckpointWarning, Finished, Started

    progress = Progress()
    record: dict[str, Any] = {}
    with progress:
        for event in events:
            match event:
                case StepDone():
                    progress.step(event.epoch, event.step)
                    _warn(progress, event.warnings)
                case EpochDone():
                    progress.epoch(event.epoch)
                    progress.write(_epoch_line(event))
                    if stream is not None:
                        stream.epoch(event.epoch, event.epochs, event.record)
                    _warn(progress, event.warnings)
                case CheckpointWarning():
                    progress.write(f"warning: {event.reason}")
                case Started():
                    stop.wait_for_boundaries()
                    for notice in event.notices:
                        progress.write(f"note: {notice}")
                    done = f", {event.epochs_done} done before" if event.epochs_done else ""
                    progress.write(
                        f"{settings.model} with {event.parameters:,} parameters on {data}: "
                        f"{event.train_images:,} images to train on, "
                        f"{event.validation_images:,} to validate; "
                        f"{counted(event.epochs, 'epoch')} of {counted(event.steps, 'step')}{done}"
                    )
                    progress.begin(event.epochs, event.steps, event.epochs_done)
                case Finished():
                    record = event.record
                    if event.already:
                        progress.write(
                            f"{record['run']} was finished before; a larger --epochs goes on."
                        )
    rows = [("train", record["train"]), ("val", record["val"])]
    out.table(
        "",
        ["split", "data loss", "accuracy"],
        [[name, loss_text(p["loss"]), percent(p["accuracy"])] for name, p in rows if p],
    )
    out.line(
        f"best epoch {record['best_epoch']} of {record['epochs']}, "
        f"{format_duration(record['seconds'])}, {record['images_per_second']:,.0f} images/s "
        f"-> {record['run']}"
    )
    return record


def _warn(progress: Any, warnings: tuple[str, ...]) -> None:
    for text in warnings:
        progress.write(f"warning: {text}")


def _epoch_line(event: Any) -> str:
    record = event.record
    text = (
        f"epoch {event.epoch:>{len(str(event.epochs))}}/{event.epochs}  "
        f"train loss {loss_text(record['train_loss'])}  "
        f"accuracy {percent(record['train_accuracy'])}"
    )
    if "val_loss" in record:
        text += (
            f"  val loss {loss_text(record['val_loss'])}  "
            f"accuracy {percent(record['val_accuracy'])}"
        )
    if record["penalty"]:
        text += f"  penalty {loss_text(record['penalty'])}"
    return text + ("  *" if event.is_best and "val_loss" in record else "")
