"""`nnlab predict`."""

import csv
import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson, Force, Threads
from nnlab.cli.output import Output, percent, write_csv

# So many images are decoded and classified together: folders of any size take little memory.
BLOCK = 256


def command(
    run: Annotated[Path, typer.Argument(help="A run file.", show_default=False)],
    images: Annotated[
        list[str],
        typer.Argument(
            help="Image files, folders of them, or - for one image from standard input.",
            show_default=False,
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="Name so many classes an image.")] = 3,
    csv_file: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE", help="Write a CSV file; - for stdout."),
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad", help="Leave unreadable images out and name them, instead of stopping."
        ),
    ] = False,
    threads: Threads = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Classify image files.

    Any size, grey, colour or transparent: an image is turned upright and brought to the size and
    the channels that the run was trained on, the way preprocess does it; what changes it much is
    said. For a model trained with a hinge loss the probabilities only order the classes.

    [bold]Examples[/bold]

    nnlab predict mlp.h5 cat.jpg

    nnlab predict mlp.h5 pictures/ --top 1 --json

    nnlab predict mlp.h5 pictures/ --skip-bad --csv predictions.csv

    curl -s https://example.org/cat.jpg | nnlab predict mlp.h5 -
    """
    from nnlab import machine
    from nnlab.atomic import refuse_existing
    from nnlab.cli.trained_models import open_model
    from nnlab.datasets.image_files import changes_in_words, find_images
    from nnlab.errors import InputError
    from nnlab.runs import open_run

    out = Output(as_json)
    to_stdout = csv_file == "-"
    if to_stdout and as_json:
        raise InputError("--csv - and --json would both write to stdout; name a CSV file.")
    machine.limit_blas_threads(machine.thread_count(threads))
    loaded = open_run(run)
    sources = find_images(images, read_standard_input)
    if csv_file is not None and not to_stdout:
        named = [source.path for source in sources if source.path is not None]
        refuse_existing(Path(csv_file), force, run, *named)
    predictions: list[dict[str, Any]] = []
    unreadable: list[dict[str, str]] = []
    changed: list[Any] = []
    with open_model(loaded) as model:
        for start in range(0, len(sources), BLOCK):
            block = _fitted(
                sources[start : start + BLOCK], model, loaded.config, skip_bad, unreadable
            )
            predictions += _classified(model, block, loaded.classes, top)
            changed += [image for image in block if image.changes]
    for line in changes_in_words(changed):
        out.note(f"note: {line}.")
    for item in unreadable:
        out.warn(f"left out: {item['reason']}")
    if csv_file is not None:
        text = _csv(predictions, min(top, len(loaded.classes)))
        write_csv(csv_file, text)
    if not to_stdout:
        _show(out, predictions, min(top, len(loaded.classes)))
    out.result({"run": str(run), "predictions": predictions, "unreadable": unreadable})


def read_standard_input() -> bytes:
    """Return the bytes on standard input; one more than an image may have, if there are so many.

    Raises:
        InputError: standard input is a terminal.
    """
    from nnlab.datasets.image_files import MAX_BYTES
    from nnlab.errors import InputError

    if sys.stdin.isatty():
        raise InputError("standard input is a terminal; pipe the bytes of one image into it.")
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def _fitted(
    sources: list[Any], model: Any, config: Any, skip_bad: bool, unreadable: list[dict[str, str]]
) -> list[Any]:
    from nnlab.datasets.image_files import fit_image
    from nnlab.errors import InputError

    fitted = []
    for source in sources:
        try:
            fitted.append(fit_image(source, model.image_shape, config))
        except InputError as error:
            if not skip_bad:
                raise
            unreadable.append({"image": source.name, "reason": str(error)})
    return fitted


def _classified(model: Any, images: list[Any], classes: Any, top: int) -> list[dict[str, Any]]:
    import numpy as np

    from nnlab.evaluation import most_probable

    if not images:
        return []
    probabilities = model.probabilities(np.stack([image.pixels for image in images]))
    ranked = most_probable(probabilities, classes, top)
    return [
        {
            "image": image.name,
            "top": best,
            "changes": [change.in_words() for change in image.changes],
        }
        for image, best in zip(images, ranked, strict=True)
    ]


def _show(out: Output, predictions: list[dict[str, Any]], top: int) -> None:
    out.table(
        "",
        ["image", *(f"{rank}." for rank in range(1, 1 + top))],
        [
            [p["image"], *(f"{b['class']} {percent(b['probability'])}" for b in p["top"])]
            for p in predictions
        ],
        left=1 + top,
    )


def _csv(predictions: list[dict[str, Any]], top: int) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ranks = ["", *(f"_{rank}" for rank in range(2, 1 + top))]
    writer.writerow(["image", *(f"{name}{r}" for r in ranks for name in ("class", "probability"))])
    for p in predictions:
        writer.writerow([p["image"], *(b[k] for b in p["top"] for k in ("class", "probability"))])
    return text.getvalue()
