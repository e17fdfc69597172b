"""The model of a run file, ready to classify, whatever its kind."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nnlab.datasets import open_data
from nnlab.errors import InputError
from nnlab.runs import Run


@contextmanager
def open_model(run: Run) -> Iterator[Any]:
    """Yield the run's classifier: it has `predict`, `probabilities`, `evaluate`, `image_shape`.

    A nearest-neighbour run holds no images: it opens the data file that it searched, and refuses
    one with another content.

    Raises:
        InputError: the data file of a nearest-neighbour run is gone or has changed.
    """
    if run.kind == "network":
        from nnlab.training.trained import TrainedNetwork

        yield TrainedNetwork.from_run(run)
        return
    from nnlab.evaluation import NeighborModel

    with open_searched(run) as searched:
        yield NeighborModel(run, searched.images, searched.labels)


@contextmanager
def open_searched(run: Run) -> Iterator[Any]:
    """Yield the split (images and labels) that a nearest-neighbour run searched.

    Raises:
        InputError: its data file is gone or has changed.
    """
    source = run.spec.get("data", {})
    path = Path(str(source.get("path", "")))
    if not path.is_file():
        raise InputError(
            f"{run.path} searches the images of {path}, which is not there; put the data file "
            "back or run knn-baseline again."
        )
    with open_data(path) as data:
        if data.checksum != source.get("checksum"):
            raise InputError(
                f"{path} is not the data that {run.path} searched (its content has changed); run "
                "knn-baseline again."
            )
        yield data.split(str(source.get("split", "train")))
