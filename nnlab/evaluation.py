"""What surrounds an evaluation: the right classes, the run file, the table of predictions."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnlab.atomic import write_bytes
from nnlab.errors import FileFormatError, InputError
from nnlab.metrics import Metrics
from nnlab.runs import Run, open_run


def check_same_classes(run: Run, classes: Sequence[str], where: str) -> None:
    """Check that data has the classes of a run, in the same order.

    Raises:
        InputError: it has not.
    """
    if list(run.classes) == list(classes):
        return
    raise InputError(
        f"{where} has the classes {', '.join(classes)}; {run.path} was trained on "
        f"{', '.join(run.classes)}."
    )


def store_evaluation(run: Run, data: str, split: str, metrics: Metrics) -> str:
    """Keep an evaluation in the run file.

    The file is read again first: another command may have added to it meanwhile.

    Returns:
        Why that was not possible, or an empty text: a run in a read-only folder can be evaluated.
    """
    if run.path is None:
        return "the run is not saved yet; the evaluation is not kept."
    try:
        current = open_run(run.path)
        current.evaluations[data, split] = metrics
        current.save(run.path)
    except (InputError, FileFormatError) as error:
        return f"the evaluation is not kept in the run file: {error}"
    return ""


def predictions_table(
    path: Path,
    classes: Sequence[str],
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
) -> None:
    """Write a CSV file with one line an image: index, true class, predicted class.

    Args:
        path: the file.
        classes: the names of the classes.
        labels: (N,) true classes.
        predicted: (N,) predicted classes.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", "class", "predicted"])
    for index, (true, guess) in enumerate(zip(labels, predicted, strict=True)):
        writer.writerow([index, classes[true], classes[guess]])
    write_bytes(path, text.getvalue().encode())
