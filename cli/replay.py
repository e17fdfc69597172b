"""`nnlab replay`."""

import sys
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson, Force, Root, Threads
from nnlab.cli.output import Output

STEP = "Step"
# More rows are in the JSON.
ROWS_SHOWN = 16
STAGES_SHOWN = 12
LINE_SECONDS = 10.0


def command(
    run: Annotated[Path, typer.Argument(help="The run file of a network.", show_default=False)],
    data: Annotated[
        str | None,
        typer.Argument(
            help="A data file or the name of a known data set. \\[default: the run's own]"
        ),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Which step, counted from 1: over the whole run, or within --epoch. \\[default: "
            "the one in which the run diverged]",
            rich_help_panel=STEP,
        ),
    ] = None,
    epoch: Annotated[
        int | None,
        typer.Option(
            metavar="E", help="The epoch of the step, counted from 1.", rich_help_panel=STEP
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="SHEET.png", help="Draw the images of the step.",
            rich_help_panel=STEP,
        ),
    ] = None,
    threads: Threads = None,
    root: Root = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Make a step of a training again: its images, dropout masks and learning rate.

    Randomness is a function of the seed, the epoch and the step, so any step can be made again,
    past or to come. Of a run that diverged, the steps before the bad one are walked again from the
    nearest state that is kept, and the first number that is not finite is named.

    [bold]Examples[/bold]

    nnlab replay mlp.h5 --step 500

    nnlab replay mlp.h5 --epoch 3 --step 12 -o batch.png

    nnlab replay diverged.h5 --json
    """
    from nnlab import machine
    from nnlab.atomic import refuse_existing
    from nnlab.datasets import find_data, open_data
    from nnlab.errors import InputError
    from nnlab.evaluation import data_of
    from nnlab.runs import open_run
    from nnlab.training.images import ImageSet
    from nnlab.training.replay import Replay

    out = Output(as_json)
    loaded = open_run(run)
    if threads is None and isinstance(loaded.config.get("threads"), int):
        threads = loaded.config["threads"]  # of which the last bits depend
    machine.limit_blas_threads(machine.thread_count(threads))
    source = data or data_of(loaded)
    if not source:
        raise InputError(f"{run} does not say which data it was trained on; name DATA.")
    if output is not None:
        refuse_existing(output, force, run, Path(source).expanduser())
    with open_data(find_data(source, root, out.note)) as file:
        if file.checksum != loaded.config.get("data_checksum"):
            raise InputError(
                f"{file.path} is not the data that {run} was trained on (its content has another "
                "checksum); name the right one as DATA."
            )
        parts = {
            name: ImageSet.of(part.images, part.labels, folds=part.folds)
            for name in ("train", "val")
            if name in file.splits
            for part in [file.split(name)]
        }
        replay = Replay(loaded, parts["train"], parts.get("val"))
        place = replay.place(step, epoch)
        made = replay.step(*place)
        classes = list(file.classes)
        record: dict[str, Any] = {"run": str(run), **made.record(classes), "divergence": None}
        _show(out, made, record)
        divergence = replay.divergence(_Walk()) if _is_divergence(loaded, made) else None
    if divergence is not None:
        dissection = divergence.dissection
        record["divergence"] = {
            "what": divergence.what,
            "walked_from": divergence.walked_from,
            "stages": [vars(stage) for stage in dissection.stages],
            "first": None if dissection.finding is None else dissection.finding.record(),
        }
        _show_divergence(out, divergence)
    if output is not None:
        from nnlab.batch_sheet import draw_batch
        from nnlab.neighbors.pictures import save_png

        save_png(draw_batch(made, classes, run.name), output)
        out.line(f"images -> {output}")
    record["sheet"] = None if output is None else str(output)
    out.result(record)


def _is_divergence(run: Any, made: Any) -> bool:
    found = run.attributes.get("divergence", {})
    return bool(found.get("global_step") == made.global_step)


def _show(out: Output, made: Any, record: dict[str, Any]) -> None:
    images = record["images"]
    mixed = made.partners is not None
    rows = [
        [place, image["row"], image["label"], image["class"]]
        + ([f"{image['mixed_with']} ({1 - image['share']:.0%})"] if mixed else [])
        for place, image in enumerate(images[:ROWS_SHOWN])
    ]
    out.line(
        f"epoch {made.epoch}, step {made.step} (step {made.global_step:,} of the run): "
        f"{len(images)} images"
    )
    columns = ["image", "row", "label", "class"] + (["mixed with"] if mixed else [])
    out.table("", columns, rows, 0)
    if len(images) > ROWS_SHOWN:
        out.line(f"... {len(images) - ROWS_SHOWN} more images; --json lists them all")
    out.line(f"learning rate {made.learning_rate:.6g}")
    if made.loss is not None:
        out.line(f"loss {made.loss:.6g}, norm of the gradient {made.gradient_norm:.6g}")
    elif not made.taken:
        out.line("the run has not recorded this step")
    for mask in made.masks:
        out.line(
            f"dropout {mask.layer}: {mask.shape[0]} x {mask.shape[1]}, {mask.kept:.2%} kept, "
            f"SHA-256 {mask.sha256[:16]}..."
        )


def _show_divergence(out: Output, divergence: Any) -> None:
    stages, finding = divergence.dissection.stages, divergence.dissection.finding
    out.line(f"the run diverged here: {divergence.what} was not finite")
    out.table(
        "the largest absolute value of what the step computed, in order",
        ["array", "largest"],
        [[stage.name, f"{stage.largest:.4g}"] for stage in stages[-STAGES_SHOWN:]]
        + ([] if finding is None else [[finding.array, finding.value]]),
    )
    if finding is None:
        out.line("this time everything is finite: another machine or thread count adds otherwise")
    else:
        out.line(f"first: {finding}")


class _Walk:
    """Says on stderr how far a walk has come, sparingly."""

    def __init__(self) -> None:
        self._last = monotonic()

    def __call__(self, done: int, steps: int) -> None:
        if monotonic() - self._last >= LINE_SECONDS:
            self._last = monotonic()
            print(f"walking to the step: {done:,} of {steps:,}", file=sys.stderr, flush=True)  # noqa: T201
