"""`nnlab predict`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson, Threads
from nnlab.cli.output import Output, percent

# So many images are decoded and classified together: folders of any size take little memory.
BLOCK = 256


def command(
    run: Annotated[Path, typer.Argument(help="A run file.", show_default=False)],
    images: Annotated[
        list[Path], typer.Argument(help="Image files, or folders of them.", show_default=False)
    ],
    top: Annotated[int, typer.Option(min=1, help="Name so many classes an image.")] = 3,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Classify image files.

    Any size, grey or colour; the images are brought to the size that the run was trained on. For
    a model trained with a hinge loss the probabilities only order the classes.

    [bold]Examples[/bold]

    nnlab predict mlp.h5 cat.jpg

    nnlab predict mlp.h5 pictures/ --top 1 --json
    """
    from nnlab import machine
    from nnlab.cli.trained_models import open_model
    from nnlab.datasets.image_files import find_image_files, read_image_files
    from nnlab.evaluation import most_probable
    from nnlab.runs import open_run

    out = Output(as_json)
    machine.limit_blas_threads(machine.thread_count(threads))
    loaded = open_run(run)
    paths = find_image_files(images)
    predictions: list[dict[str, Any]] = []
    with open_model(loaded) as model:
        for start in range(0, len(paths), BLOCK):
            block = paths[start : start + BLOCK]
            pixels = read_image_files(block, model.image_shape)
            ranked = most_probable(model.probabilities(pixels), loaded.classes, top)
            predictions += [
                {"image": str(path), "top": best} for path, best in zip(block, ranked, strict=True)
            ]
    out.table(
        "",
        ["image", *(f"{rank}." for rank in range(1, 1 + min(top, len(loaded.classes))))],
        [
            [p["image"], *(f"{b['class']} {percent(b['probability'])}" for b in p["top"])]
            for p in predictions
        ],
        left=1 + top,
    )
    out.result({"run": str(run), "predictions": predictions})
