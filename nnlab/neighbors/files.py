"""The neighbours of every tested image as an HDF5 file of plain arrays, for other tools."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from nnlab._version import __version__
from nnlab.atomic import write_bytes
from nnlab.hdf5 import set_attributes, write_texts
from nnlab.neighbors.baseline import KnnResult
from nnlab.neighbors.metrics import find_metric


def write_neighbors(path: Path, result: KnnResult, data: str, checksum: str, split: str,
                    classes: Sequence[str]) -> None:  # fmt: skip
    """Write the neighbours of a baseline.

    Data sets, for Q tested images and the largest k tried: ``/indices`` (Q, k) rows of the
    training split, nearest first; ``/distances`` (Q, k), exact integers except for ``cosine``
    (the attribute ``distance`` says what they are); ``/queries`` (Q,) rows of the tested split;
    ``/labels`` and ``/predicted`` (Q,) class numbers; ``/classes`` their names.

    Args:
        path: the file; replaced if it is there.
        result: the baseline.
        data: the data set's name.
        checksum: the data file's checksum.
        split: the tested split.
        classes: names.

    Raises:
        InputError: it cannot be written.
    """
    queries = result.test_rows
    # Built in memory and written at once: a full disk then shows, which HDF5 would not report.
    with h5py.File("neighbors", "w", driver="core", backing_store=False) as file:
        set_attributes(
            file, nnlab_format="neighbors", format_version=1, nnlab_version=__version__,
            data=data, checksum=checksum, split=split, metric=result.settings.metric,
            distance=find_metric(result.settings.metric).stored, k=result.k,
        )  # fmt: skip
        file["indices"] = result.neighbors.indices
        file["distances"] = result.neighbors.distances
        file["queries"] = np.arange(len(result.labels)) if queries is None else queries
        file["labels"] = result.labels
        file["predicted"] = result.predicted
        write_texts(file, "classes", classes)
        file.flush()
        image = file.id.get_file_image()
    write_bytes(path, image)
