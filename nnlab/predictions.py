"""What a model says about labelled images: asked once, measured and written as often as wanted."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from nnlab import hdf5
from nnlab._version import __version__
from nnlab.atomic import write_bytes
from nnlab.errors import InputError
from nnlab.metrics import Metrics, measure, top_accuracy

FORMAT_VERSION = 1
HDF5_SUFFIXES = (".h5", ".hdf5")
SUFFIXES = (".csv", *HDF5_SUFFIXES)


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's answers to N images of K classes.

    Attributes:
        labels: (N,) the true classes.
        predicted: (N,) the classes given.
        probabilities: (N, K); of a nearest-neighbour run each class's share of the votes.
        scores: (N, K) what a network gave before the softmax; None for other models.
        loss: the mean of the data loss that the model was trained with; None if it has none.
        delta: the margin of its hinge loss; 1 for a model trained with another loss.
    """

    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    scores: NDArray[np.floating] | None = None
    loss: float | None = None
    delta: float = 1.0

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether each image was classified right."""
        return self.predicted == self.labels

    def metrics(self) -> Metrics:
        """Compare the answers with the truth."""
        return measure(
            self.labels,
            self.predicted,
            self.probabilities.shape[1],
            self.probabilities,
            self.loss,
            self.scores,
            self.delta,
        )

    def top_accuracy(self, count: int) -> float:
        """Return the share of images whose true class is among the `count` most probable."""
        return top_accuracy(self.labels, self.probabilities, count)


def check_name(path: Path) -> None:
    """Raise `InputError` unless the name says which kind of file `write_predictions` makes."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} should end in {' or '.join(SUFFIXES)}, which names its format.")


def write_predictions(
    path: Path, predictions: Predictions, classes: Sequence[str], **origin: str
) -> None:
    """Write one row an image: as CSV, or as HDF5 with every probability and score.

    The columns of the CSV file are ``index``, ``class``, ``predicted`` and ``probability`` (of the
    predicted class). The HDF5 file holds ``/labels`` and ``/predicted`` (N,) as class numbers,
    ``/probabilities`` and for networks ``/scores`` (N, K), and ``/classes`` (K,).

    Args:
        path: the file; its ending chooses the format.
        predictions: what to write.
        classes: the K names.
        origin: attributes of the HDF5 file that say where the predictions come from.

    Raises:
        InputError: another ending, or the file cannot be written.
    """
    check_name(path)
    if path.suffix.lower() in HDF5_SUFFIXES:
        write_bytes(path, _as_hdf5(predictions, classes, origin))
    else:
        write_bytes(path, _as_csv(predictions, classes).encode(errors=hdf5.ODD_BYTES))


def _as_csv(predictions: Predictions, classes: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", "class", "predicted", "probability"])
    rows = np.arange(len(predictions.labels))
    chosen = predictions.probabilities[rows, predictions.predicted]
    columns = (rows, predictions.labels, predictions.predicted, chosen)
    for index, label, guess, probability in zip(*(c.tolist() for c in columns), strict=True):
        writer.writerow([index, classes[label], classes[guess], probability])
    return text.getvalue()


def _as_hdf5(predictions: Predictions, classes: Sequence[str], origin: dict[str, str]) -> bytes:
    # Built in memory and written at once: a full disk then shows, which HDF5 would not report.
    with h5py.File("predictions", "w", driver="core", backing_store=False) as file:
        hdf5.set_attributes(
            file,
            nnlab_format="predictions",
            format_version=FORMAT_VERSION,
            nnlab_version=__version__,
            **origin,
        )
        for name in ("labels", "predicted", "probabilities", "scores"):
            values = getattr(predictions, name)
            if values is not None:
                file[name] = values
        hdf5.write_texts(file, "classes", classes)
        file.flush()
        return bytes(file.id.get_file_image())
