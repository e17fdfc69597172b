"""The data file: images, labels and classes in one HDF5 file that readers map instead of load.

    /classes                      (K,) text
    /<split>/images               (N, H, W, C) uint8, contiguous, uncompressed
    /<split>/labels               (N,) int64, from 0 to K - 1
    /train/folds                  (N,) int64, from 0 to F - 1: only if folds were asked for
    /statistics/mean_image        (H, W, C) of the training split, in the units of a pixel, 0..255
    /statistics/channel_mean      (C,)
    /statistics/channel_std       (C,)
    /provenance/steps             (S,) text: what was done, in its order
    /provenance/left_out/file     (L,) text: images that are not here,
    /provenance/left_out/reason   (L,) text: and why each of them is not
    /provenance/files/<split>     (N,) text: the file that each image came from, if from one

The splits are `train`, mostly `test` and `val`, and others that a data set brings.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from nnlab.errors import FileFormatError, InputError
from nnlab.hdf5 import (
    map_dataset,
    open_checked,
    read_texts,
    reading,
    text_attribute,
)

FORMAT_VERSION = 1
# Rows go to the file, and through the checksum, in blocks of about so many bytes.
BLOCK_BYTES = 8 * 2**20


class Images(Protocol):
    """What can be written as the images of a split: an array, or rows gathered from one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""

    def __getitem__(self, rows: slice, /) -> NDArray[np.uint8]:
        """The images of some rows."""


@dataclass(frozen=True)
class Split:
    """The images and labels of one split.

    Attributes:
        images: (N, H, W, C) uint8, read-only, mapped from the file.
        labels: (N,) int64.
        folds: (N,) int64, the fold of each image, or None.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    folds: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Provenance:
    """How the images came into a data file.

    Attributes:
        steps: what was done, a line each.
        left_out: (file, reason) of images that are not there.
        files: split -> the file that each image came from.
    """

    steps: Sequence[str] = ()
    left_out: Sequence[tuple[str, str]] = ()
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class DataFile:
    """An open data file; see `open_data`.

    Attributes:
        path: the file.
        name: the data set's name.
        source: where the images came from.
        checksum: SHA-256 over classes, images and labels; equal data have equal checksums.
        created: when it was made, ISO 8601 in UTC.
        options: how it was made.
        classes: names, in the order of the labels.
        image_shape: (H, W, C).
        splits: the names of the splits.
        mean_image: (H, W, C) float64, mean of the training images, 0..255.
        channel_mean: (C,) float64.
        channel_std: (C,) float64.
        provenance: how the images came here.
    """

    path: Path
    name: str
    source: str
    checksum: str
    created: str
    options: dict[str, Any]
    classes: list[str]
    image_shape: tuple[int, int, int]
    splits: list[str]
    mean_image: NDArray[np.float64]
    channel_mean: NDArray[np.float64]
    channel_std: NDArray[np.float64]
    parts: Mapping[str, Split]
    provenance: Provenance

    @property
    def picture_options(self) -> dict[str, str]:
        """How its pictures were brought to their size, by the keys of a run's config."""
        fitted = {"image_fit": "fit", "image_filter": "filter"}
        return {
            key: str(self.options[name]) for key, name in fitted.items() if name in self.options
        }

    def split(self, name: str) -> Split:
        """Return one split.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.parts:
            raise InputError(f"{self.path} has no split {name!r}; it has {', '.join(self.splits)}.")
        return self.parts[name]


@contextlib.contextmanager
def open_data(path: str | Path) -> Iterator[DataFile]:
    """Open a data file; its images are mapped, not loaded.

    The checksum is taken from the file, not computed again: that would read every image.

    Raises:
        InputError: there is no such file.
        FileFormatError: it is damaged, foreign, of a newer version, or contradicts itself.
    """
    path = Path(path)
    # HDF5 may also find fault with closing the file.
    with reading(path, "data file"), open_checked(path, "data", FORMAT_VERSION) as file:
        data = _read(file, path)
    yield data


def blocks(images: Images) -> Iterator[NDArray[np.uint8]]:
    """Give the rows of a split in blocks of a few megabytes."""
    count, *shape = images.shape
    rows = max(1, BLOCK_BYTES // max(1, int(np.prod(shape))))
    for start in range(0, count, rows):
        yield images[start : start + rows]


def _read(file: h5py.File, path: Path) -> DataFile:
    classes = read_texts(file, "classes")
    others = {"classes", "statistics", "provenance"}
    splits = sorted((name for name in file if name not in others), key=_place)
    if not classes or "train" not in splits:
        raise FileFormatError(f"{path} has no classes or no training split; make it again.")
    parts = {split: _read_split(file, path, split, len(classes)) for split in splits}
    shape = parts["train"].images.shape[1:]
    for split, part in parts.items():
        if part.images.shape[1:] != shape:
            raise FileFormatError(f"{path}: the images of {split} differ in shape from train's.")
    statistics = file["statistics"]
    return DataFile(
        path=path,
        name=text_attribute(file, "name"),
        source=text_attribute(file, "source", ""),
        checksum=text_attribute(file, "checksum"),
        created=text_attribute(file, "created", ""),
        options=json.loads(text_attribute(file, "options", "{}")),
        classes=classes,
        image_shape=(int(shape[0]), int(shape[1]), int(shape[2])),
        splits=splits,
        mean_image=_floats(statistics, "mean_image", shape),
        channel_mean=_floats(statistics, "channel_mean", shape[2:]),
        channel_std=_floats(statistics, "channel_std", shape[2:]),
        parts=parts,
        provenance=_read_provenance(file),
    )


def _read_provenance(file: h5py.File) -> Provenance:
    if "provenance" not in file:  # made without a word about it
        return Provenance()
    group = file["provenance"]
    left_out = group["left_out"]
    return Provenance(
        steps=read_texts(group, "steps"),
        left_out=list(
            zip(read_texts(left_out, "file"), read_texts(left_out, "reason"), strict=True)
        ),
        files={split: read_texts(group["files"], split) for split in group["files"]},
    )


def _place(split: str) -> tuple[int, str]:
    """Sort key of the splits: in the order of their use, then by name."""
    known = ["train", "val", "test"]
    return (known.index(split) if split in known else len(known), split)


def _read_split(file: h5py.File, path: Path, split: str, class_count: int) -> Split:
    images, labels = file[split]["images"], file[split]["labels"]
    where = f"{path}: {split}"
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
        raise FileFormatError(f"{where}/images is not a filled (N, H, W, C) array of bytes.")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise FileFormatError(f"{where} has {len(images)} images but labels {labels.shape}.")
    values = np.asarray(labels[()]).astype(np.int64)
    if values.min() < 0 or values.max() >= class_count:
        raise FileFormatError(f"{where}/labels reaches beyond the {class_count} classes.")
    folds = None
    if "folds" in file[split]:
        stored = file[split]["folds"]
        if stored.dtype.kind not in "iu" or stored.shape != labels.shape:
            raise FileFormatError(f"{where}/folds is not one number for each image.")
        folds = np.asarray(stored[()]).astype(np.int64)
        if len(np.unique(folds)) < 2 or folds.min() < 0:
            raise FileFormatError(f"{where}/folds holds no two folds.")
    mapped = map_dataset(images, path)
    mapped.flags.writeable = False
    return Split(mapped, values, folds)


def _floats(group: h5py.Group, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.asarray(group[name][()], np.float64)
    if values.shape != tuple(shape):
        raise ValueError(f"{name} has shape {values.shape}")
    return values
