"""`nnlab eval`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson, Force, Mpi, Root, Threads
from nnlab.cli.output import Output, loss_text, percent

# A confusion matrix wider than this is in the JSON and the run file, not on the terminal.
WIDEST_MATRIX = 20


def command(
    run: Annotated[Path, typer.Argument(help="A run file.", show_default=False)],
    data: Annotated[
        str | None,
        typer.Argument(
            help="A data file or the name of a known data set. \\[default: the run's own]"
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Which split to measure on.")] = "test",
    top: Annotated[
        str | None,
        typer.Option(
            metavar="K,...",
            help="Also the share of images with the true class among the K most probable.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN2.h5",
            help="Compare with another run on the same images (McNemar's test).",
        ),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option(
            min=0.5, max=0.9999, metavar="SHARE", help="Of the interval around the accuracy."
        ),
    ] = 0.95,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv or FILE.h5",
            help="Write a row an image: true and predicted class; as HDF5 with all probabilities.",
        ),
    ] = None,
    save: Annotated[
        bool, typer.Option("--save/--no-save", help="Store the evaluation in the run file.")
    ] = True,
    threads: Threads = None,
    root: Root = None,
    force: Force = False,
    mpi: Mpi = False,
    as_json: AsJson = False,
) -> None:
    """Measure a trained model on a data split.

    Accuracy with a bootstrap interval, top-5 accuracy, precision, recall and F1 of every class and
    their means, the confusion matrix, the data loss that the model was trained with, log loss,
    hinge loss, Brier score and expected calibration error. The result is also kept in the run file
    under /evaluations.

    [bold]Examples[/bold]

    nnlab eval mlp.h5

    nnlab eval mlp.h5 shapes.h5 --split test_swapped --json

    nnlab eval mlp.h5 --against softmax.h5

    nnlab eval knn.h5 --top 1,3 --predictions predictions.csv
    """
    from nnlab import machine
    from nnlab.atomic import refuse_existing
    from nnlab.cli.ranks import ranks_of, threads_of
    from nnlab.cli.trained_models import open_model
    from nnlab.datasets import find_data, open_data
    from nnlab.errors import InputError
    from nnlab.evaluation import (
        answers_together,
        check_same_classes,
        comparison_in_words,
        data_of,
        evaluation_record,
        parse_tops,
        store_evaluation,
        warning_of_own_images,
    )
    from nnlab.predictions import check_name, write_predictions
    from nnlab.runs import open_run
    from nnlab.significance import compare_pairs

    ranks = ranks_of(mpi)
    out = Output(as_json)
    tops = parse_tops(top)
    machine.limit_blas_threads(threads_of(ranks, threads))
    loaded = open_run(run)
    other = None if against is None else open_run(against)
    source = data or data_of(loaded)
    if not source:
        raise InputError(f"{run} does not say which data it was trained on; name DATA.")
    if predictions is not None and ranks.speaks:
        refuse_existing(predictions, force, run, Path(source).expanduser(), against or run)
        check_name(predictions)
    with open_data(find_data(source, root, out.note)) as file:
        part = file.split(split)
        check_same_classes(loaded, file.classes, str(file.path))
        name, classes = file.name, list(file.classes)
        origin = {"run": str(run), "data": name, "split": split, "checksum": file.checksum}
        if other is not None:
            check_same_classes(other, file.classes, str(file.path))
        with open_model(loaded) as model:
            answers = answers_together(ranks, model, part.images, part.labels)
        comparison = None
        if other is not None:
            with open_model(other) as model:
                comparison = compare_pairs(
                    answers.right,
                    answers_together(ranks, model, part.images, part.labels).right,
                )
    ranks.together = True
    if not ranks.speaks:
        return
    for one in (loaded, other):
        warning = "" if one is None else warning_of_own_images(one, origin["checksum"], split)
        if warning:
            out.warn(warning)
    if predictions is not None:
        write_predictions(predictions, answers, classes, **origin)
    measured = answers.metrics()
    if save:
        warning = store_evaluation(loaded, name, split, measured)
        if warning:
            out.warn(warning)
    record = {
        "run": str(run),
        "data": name,
        "split": split,
        **evaluation_record(answers, measured, classes, confidence, tops),
    }
    if comparison is not None:
        record["against"] = {"run": str(against), **comparison.record()}
    _show(out, record)
    if comparison is not None:
        out.text(comparison_in_words(comparison, str(run), str(against)))
    out.result(record)


def _show(out: Output, record: dict[str, Any]) -> None:
    rows = [(row["class"], row, row["support"]) for row in record["per_class"]]
    rows += [(f"{kind} mean", record[kind], "") for kind in ("macro", "weighted")]
    out.table(
        f"{record['run']} on {record['data']}/{record['split']}, {record['n']:,} images",
        ["class", "precision", "recall", "F1", "images"],
        [
            [name, percent(row["precision"]), percent(row["recall"]), percent(row["f1"]), support]
            for name, row, support in rows
        ],
    )
    matrix, classes = record["confusion_matrix"], [row["class"] for row in record["per_class"]]
    if len(classes) <= WIDEST_MATRIX:
        out.table(
            "confusion matrix: rows are true classes, columns predicted ones",
            ["", *(str(index) for index in range(len(classes)))],
            [
                [f"{index} {name}", *row]
                for index, (name, row) in enumerate(zip(classes, matrix, strict=True))
            ],
        )
    interval = record["accuracy_interval"]
    parts = [
        f"accuracy {percent(record['accuracy'])} ({100 * interval['confidence']:g} % interval "
        f"{percent(interval['low'])} to {percent(interval['high'])})"
    ]
    if record.get("top5_accuracy") is not None:
        parts.append(f"top-5 {percent(record['top5_accuracy'])}")
    for count, share in record.get("top_accuracy", {}).items():
        parts.append(f"top-{count} {percent(share)}")
    out.text("  ".join(parts))
    parts = [
        f"{title} {loss_text(record[key])}"
        for key, title in (
            ("loss", "data loss"),
            ("log_loss", "log loss"),
            ("hinge_loss", "hinge loss"),
            ("brier_score", "Brier score"),
        )
        if record.get(key) is not None
    ]
    if record.get("expected_calibration_error") is not None:
        parts.append(f"calibration error {percent(record['expected_calibration_error'])}")
    out.text("  ".join(parts))
