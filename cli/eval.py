"""`nnlab eval`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson, Force, Root, Threads
from nnlab.cli.output import Output, percent

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
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write one line an image: true and predicted class."),
    ] = None,
    save: Annotated[
        bool, typer.Option("--save/--no-save", help="Store the evaluation in the run file.")
    ] = True,
    threads: Threads = None,
    root: Root = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Measure a trained model on a data split.

    Accuracy, top-5 accuracy, precision, recall and F1 of every class, the confusion matrix, the
    data loss that the model was trained with, the log loss, and the expected calibration error.
    The result is also kept in the run file under /evaluations.

    [bold]Examples[/bold]

    nnlab eval mlp.h5

    nnlab eval mlp.h5 shapes.h5 --split test_swapped --json

    nnlab eval knn.h5 --predictions predictions.csv
    """
    from nnlab import machine
    from nnlab.atomic import refuse_existing
    from nnlab.cli.trained_models import open_model
    from nnlab.datasets import find_data, open_data
    from nnlab.errors import InputError
    from nnlab.evaluation import check_same_classes, data_of, predictions_table, store_evaluation
    from nnlab.runs import open_run

    out = Output(as_json)
    machine.limit_blas_threads(machine.thread_count(threads))
    loaded = open_run(run)
    source = data or data_of(loaded)
    if not source:
        raise InputError(f"{run} does not say which data it was trained on; name DATA.")
    if predictions is not None:
        refuse_existing(predictions, force, run, Path(source).expanduser())
    with open_data(find_data(source, root, out.note)) as file, open_model(loaded) as model:
        part = file.split(split)
        check_same_classes(loaded, file.classes, str(file.path))
        evaluated = model.evaluate(part.images, part.labels)
        name, classes = file.name, list(file.classes)
        if predictions is not None:
            predictions_table(predictions, classes, part.labels, model.predict(part.images))
    if save:
        warning = store_evaluation(loaded, name, split, evaluated)
        if warning:
            out.warn(warning)
    record = {"run": str(run), "data": name, "split": split, **evaluated.record(classes)}
    _show(out, record)
    out.result(record)


def _show(out: Output, record: dict[str, Any]) -> None:
    out.table(
        f"{record['run']} on {record['data']}/{record['split']}, {record['n']:,} images",
        ["class", "precision", "recall", "F1", "images"],
        [
            [row["class"], percent(row["precision"]), percent(row["recall"]), percent(row["f1"]),
             row["support"]]
            for row in record["per_class"]
        ],
    )  # fmt: skip
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
    parts = [f"accuracy {percent(record['accuracy'])}"]
    if record.get("top5_accuracy") is not None:
        parts.append(f"top-5 {percent(record['top5_accuracy'])}")
    for key, title in (("loss", "data loss"), ("log_loss", "log loss")):
        if record.get(key) is not None:
            parts.append(f"{title} {record[key]:.4f}")
    if record.get("expected_calibration_error") is not None:
        parts.append(f"calibration error {percent(record['expected_calibration_error'])}")
    out.line("  ".join(parts))
