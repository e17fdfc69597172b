"""`nnlab explain`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson, Force, Root, Threads
from nnlab.cli.output import Output

EXAMPLE = "Worked example"


def command(
    run: Annotated[
        Path | None, typer.Argument(help="A run file.", show_default=False)
    ] = None,
    image: Annotated[
        str | None,
        typer.Argument(help="An image file, or - for standard input.", show_default=False),
    ] = None,
    index: Annotated[
        int | None,
        typer.Option(min=0, help="Explain this row of a data split instead of an image file."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="The data file or known data set of --index. \\[default: the run's own]"
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="The split of --index.")] = "test",
    true: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS", help="What is right: the name of a class, or its number from 0."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE.html",
            help="Write a self-contained web page, with the pictures.",
        ),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            metavar="S,S,...", help="Work out the loss of these scores, without a run.",
            rich_help_panel=EXAMPLE,
        ),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help="The margin of the hinge loss of --scores. \\[default: 1]",
            rich_help_panel=EXAMPLE,
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="The loss of --scores: softmax, hinge or squared_hinge. \\[default: hinge, and "
            "without --delta softmax too]",
            rich_help_panel=EXAMPLE,
        ),
    ] = None,
    threads: Threads = None,
    root: Root = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show the whole way of one image, from its pixels to the gradient that changes W.

    The image as a tensor; the scores, class by class, and the pixels that speak for and against
    them; the loss, stage by stage, and the penalty; the forward pass, and the backward pass with
    the chain rule in numbers; one step of gradient descent. For a nearest-neighbour run: the
    neighbours, their votes, and where in the image the distances lie. Numbers are computed in
    64-bit floating point; dropout and batch normalization behave as in prediction.

    [bold]Examples[/bold]

    nnlab explain mlp.h5 boot.png --true boot -o boot.html

    nnlab explain svm.h5 --index 12

    nnlab explain knn.h5 --data shapes.h5 --split test_swapped --index 3 -o shape.html

    nnlab explain --scores 13,8,-2 --true 0 --delta 10
    """
    from nnlab import machine
    from nnlab.errors import InputError

    out = Output(as_json)
    if scores is not None:
        if run is not None or image is not None or index is not None or data is not None:
            raise InputError("--scores is a worked example: it takes no run and no image.")
        _example(out, scores, true, delta, loss, output, force)
        return
    if run is None:
        raise InputError("name a run file, or --scores for a worked example without one.")
    if delta is not None or loss is not None:
        raise InputError("--delta and --loss belong to --scores; a run has its own loss.")
    if (image is None) == (index is None):
        raise InputError("name one image: a file, or --index I for a row of a data split.")
    if image is not None and data is not None:
        raise InputError("--data goes with --index; an image file needs none.")
    machine.limit_blas_threads(machine.thread_count(threads))
    explanation = _explain(out, run, image, (data, split, index, root), true, output, force)
    _finish(out, explanation, output)


def _explain(
    out: Output, path: Path, image: str | None, row: Any, true: str | None, output: Path | None,
    force: bool,
) -> Any:  # fmt: skip
    from nnlab.atomic import refuse_existing
    from nnlab.explanation.inputs import find_class
    from nnlab.runs import open_run

    run = open_run(path)
    if output is not None:
        refuse_existing(output, force, path, *([Path(image)] if image not in {None, "-"} else []))
    label = None if true is None else find_class(true, run.classes)
    with _explainer(run) as (shape, explain):
        if image is not None:
            pixels, name = _from_file(out, image, shape, run.config)
        else:
            pixels, name, own = _from_data(out, run, *row)
            label = own if label is None else label
        return explain(pixels, label, run=str(path), image=name, config=run.config)


@contextmanager
def _explainer(run: Any) -> Iterator[Any]:
    """Yield the shape of the images that a run takes, and what explains one of them."""
    from functools import partial

    if run.kind == "network":
        from nnlab.explanation import explain_network
        from nnlab.training.trained import TrainedNetwork

        model = TrainedNetwork.from_run(run)
        yield model.image_shape, partial(explain_network, model)
        return
    from nnlab.cli.trained_models import open_searched
    from nnlab.explanation import explain_neighbors

    with open_searched(run) as searched:
        training = (searched.images, searched.labels)
        explain = partial(explain_neighbors, run.spec, training, classes=list(run.classes))
        yield tuple(searched.images.shape[1:]), explain


def _from_file(out: Output, image: str, shape: Any, config: Any) -> tuple[Any, str]:
    from nnlab.cli.predict import read_standard_input
    from nnlab.datasets.image_files import changes_in_words, find_images, fit_image
    from nnlab.errors import InputError

    sources = find_images([image], read_standard_input)
    if len(sources) != 1:
        raise InputError(f"{image} holds {len(sources)} images; name one of them.")
    fitted = fit_image(sources[0], shape, config)
    for line in changes_in_words([fitted]):
        out.note(f"note: {line}.")
    return fitted.pixels, fitted.name


def _from_data(
    out: Output, run: Any, data: str | None, split: str, index: int, root: Path | None
) -> tuple[Any, str, int]:
    from nnlab.datasets import find_data, open_data
    from nnlab.errors import InputError
    from nnlab.evaluation import check_same_classes, data_of

    source = data or data_of(run)
    if not source:
        raise InputError(f"{run.path} does not say which data it was trained on; name --data.")
    with open_data(find_data(source, root, out.note)) as file:
        part = file.split(split)
        check_same_classes(run, file.classes, str(file.path))
        if index >= len(part.labels):
            raise InputError(
                f"there is no image {index}; {split} has rows 0 to {len(part.labels) - 1}."
            )
        name = f"{file.name}/{split}, row {index}"
        return part.images[index].copy(), name, int(part.labels[index])


def _finish(out: Output, explanation: Any, output: Path | None) -> None:
    from nnlab.explanation.network import NetworkExplanation
    from nnlab.explanation.page import write_page
    from nnlab.explanation.record import record

    if output is not None:
        write_page(output, explanation)
    found = record(explanation)
    if output is not None:
        found["page"] = str(output)
    if not out.as_json:
        from nnlab.cli import explain_view

        if isinstance(explanation, NetworkExplanation):
            explain_view.show_network(out, explanation)
        else:
            explain_view.show_neighbors(out, explanation)
        if output is not None:
            out.line(f"page -> {output}")
    out.result(found)


def _example(
    out: Output, scores: str, true: str | None, delta: float | None, loss: str | None,
    output: Path | None, force: bool,
) -> None:  # fmt: skip
    from nnlab.atomic import refuse_existing
    from nnlab.cli import explain_view
    from nnlab.errors import InputError
    from nnlab.explanation.inputs import example_losses, find_class, parse_scores
    from nnlab.explanation.page import write_scores_page
    from nnlab.explanation.record import record

    numbers = parse_scores(scores)
    if true is None:
        raise InputError("--true is missing: the number of the right class, from 0.")
    classes = [f"class {index}" for index in range(len(numbers))]
    if output is not None:
        refuse_existing(output, force)
    losses = example_losses(numbers, find_class(true, classes), delta, loss)
    if output is not None:
        write_scores_page(output, classes, losses)
    for part in losses:
        explain_view.show_loss(out, part, classes)
    found: dict[str, Any] = {"scores": numbers, "true": losses[0].label}
    found |= {part.kind: record(part) for part in losses}
    if output is not None:
        out.line(f"page -> {output}")
        found["page"] = str(output)
    out.result(found)
