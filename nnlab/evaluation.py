"""What surrounds an evaluation: the right classes, the run file, the table of predictions."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.atomic import write_bytes
from nnlab.errors import FileFormatError, InputError
from nnlab.metrics import Metrics, measure
from nnlab.neighbors import restore
from nnlab.runs import Run, open_run


class NeighborModel:
    """A nearest-neighbour classifier with the face of a trained network.

    Args:
        run: of kind ``knn``.
        images: (N, H, W, C) the whole split that the run searched.
        labels: (N,) its labels.

    Raises:
        InputError: other images than the run was made with.
        FileFormatError: the run does not describe a classifier.
    """

    def __init__(self, run: Run, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.classes = list(run.classes)
        try:
            self.image_shape = tuple(int(length) for length in run.spec["image_shape"])
            self._classifier = restore(run.spec, images, labels)
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(
                f"{run.path} does not describe a classifier ({error})."
            ) from error

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return each class's share of the votes, (N, C)."""
        return self._classifier.predict_proba(images)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the elected class (N,)."""
        return self._classifier.predict(images)

    def evaluate(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Metrics:
        """Measure the classifier on labelled images; it has no loss of its own."""
        votes = self.probabilities(images)
        # Of equal shares the smallest class is elected: what argmax does.
        return measure(labels, votes.argmax(axis=1), len(self.classes), probabilities=votes)


def data_of(run: Run) -> str:
    """Return the path of the data file that a run was made with; empty if it does not say."""
    named = run.spec.get("data")
    if isinstance(named, dict):
        return str(named.get("path", ""))
    return str(run.config.get("data_path", ""))


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


def most_probable(
    probabilities: NDArray[np.float64], classes: Sequence[str], count: int
) -> list[list[dict[str, Any]]]:
    """Return, for each image, its `count` most probable classes, the likeliest first.

    Args:
        probabilities: (N, C).
        classes: the names of the C classes.
        count: how many; all C where there are fewer.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    return [
        [{"class": classes[index], "probability": float(row[index])} for index in best]
        for row, best in zip(probabilities, order, strict=True)
    ]
