"""Writes the data file: block by block, checked against its checksum before it gets its name."""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nnlab._version import __version__
from nnlab.atomic import staged
from nnlab.claims import Claim
from nnlab.datasets.datafile import FORMAT_VERSION, Images, Provenance, blocks, open_data
from nnlab.datasets.statistics import Measurement, Statistics
from nnlab.errors import InputError
from nnlab.hdf5 import set_attributes, write_texts

# Images begin at a page of memory, which keeps their mapping aligned.
ALIGNMENT = 4096


def write_data(
    path: str | Path,
    name: str,
    source: str,
    options: Mapping[str, Any],
    classes: Sequence[str],
    splits: Mapping[str, tuple[Images, NDArray[np.int64]]],
    held: Claim | None = None,
    folds: NDArray[np.int64] | None = None,
    provenance: Provenance | None = None,
) -> str:
    """Write a data file, whole or not at all; a file of that name is replaced.

    Args:
        path: the file.
        name: the data set's name.
        source: where the images came from.
        options: how it was made; kept as JSON.
        classes: names, in the order of the labels.
        splits: name -> (images (N, H, W, C) uint8, labels (N,)); `train` must be one of them.
        held: the claim to `path`; None to claim it while the file is written.
        folds: (N,) the fold of each training image, from 0; None for no folds.
        provenance: how the images came here.

    Returns:
        The checksum.

    Raises:
        InputError: the file could not be written.
    """
    path = Path(path)
    parts = {split: (images, np.asarray(y, np.int64)) for split, (images, y) in splits.items()}
    _check_parts(parts, len(classes))
    digest = _ContentDigest(classes)
    measured = Measurement(parts["train"][0].shape[1:])
    with staged(path, held) as temporary:
        with _Sink(temporary, "r+") as sink:
            with h5py.File(
                sink, "w", alignment_threshold=ALIGNMENT, alignment_interval=ALIGNMENT
            ) as file:
                for split in sorted(parts):
                    images, labels = parts[split]
                    digest.begin(split, images.shape, labels)
                    group = file.create_group(split)
                    group["labels"] = labels
                    for block in _write_images(group, images, sink):
                        digest.update(block)
                        if split == "train":
                            measured.add(block)
                if folds is not None:
                    file["train/folds"] = folds
                write_texts(file, "classes", classes)
                _write_statistics(file, measured.result())
                _write_provenance(file.create_group("provenance"), provenance or Provenance())
                set_attributes(
                    file,
                    nnlab_format="data",
                    format_version=FORMAT_VERSION,
                    nnlab_version=__version__,
                    created=datetime.now(UTC).isoformat(timespec="seconds"),
                    name=name,
                    source=source,
                    options=json.dumps(dict(options), sort_keys=True),
                    checksum=digest.hexdigest(),
                )
            sink.check()
        _verify(temporary, path, digest.hexdigest())
    return digest.hexdigest()


class _ContentDigest:
    """SHA-256 over what the images are, not over when and how they were stored."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._sha = hashlib.sha256(json.dumps(["nnlab data", *classes]).encode())

    def begin(self, split: str, shape: tuple[int, ...], labels: NDArray[np.int64]) -> None:
        self._sha.update(json.dumps([split, list(shape)]).encode())
        self._sha.update(np.ascontiguousarray(labels, "<i8").data)

    def update(self, block: NDArray[np.uint8]) -> None:
        self._sha.update(np.ascontiguousarray(block).data)

    def hexdigest(self) -> str:
        return self._sha.hexdigest()


def _check_parts(parts: Mapping[str, tuple[Images, NDArray[np.int64]]], class_count: int) -> None:
    if "train" not in parts:
        raise ValueError("a data file needs a split called train")
    shape = parts["train"][0].shape[1:]
    for split, (images, labels) in parts.items():
        if len(images.shape) != 4 or images.shape[1:] != shape or 0 in images.shape:
            raise ValueError(f"{split}: images of shape {images.shape}, expected (N, *{shape})")
        if labels.shape != images.shape[:1]:
            raise ValueError(f"{split}: {images.shape[0]} images, labels {labels.shape}")
        if labels.min() < 0 or labels.max() >= class_count:
            raise ValueError(f"{split}: labels outside 0..{class_count - 1}")


class _Sink(io.FileIO):
    """A file that keeps its first error for `check` and lets HDF5 believe that all is well.

    HDF5 does not survive a full disk: it loses errors that come while it frees an object, and
    ends the process with a segmentation fault at exit.
    """

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        length = len(view)
        try:
            while view and self.error is None:
                view = view[super().write(view) :]
        except OSError as error:
            self.error = error
        return length

    def truncate(self, size: int | None = None, /) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.error is not None:
            raise self.error


def _write_images(group: h5py.Group, images: Images, sink: _Sink) -> Iterator[NDArray[np.uint8]]:
    """Write images block by block; gives each block that has been written."""
    target = group.create_dataset("images", shape=images.shape, dtype=np.uint8)
    start = 0
    for block in blocks(images):
        target[start : start + len(block)] = block
        sink.check()
        yield block
        start += len(block)


def _write_provenance(group: h5py.Group, provenance: Provenance) -> None:
    write_texts(group, "steps", provenance.steps)
    left_out = group.create_group("left_out")
    write_texts(left_out, "file", [file for file, _ in provenance.left_out])
    write_texts(left_out, "reason", [reason for _, reason in provenance.left_out])
    files = group.create_group("files")
    for split, names in provenance.files.items():
        write_texts(files, split, names)


def _write_statistics(file: h5py.File, statistics: Statistics) -> None:
    group = file.create_group("statistics")
    for name in ("mean_image", "channel_mean", "channel_std"):
        group[name] = getattr(statistics, name)


def _verify(temporary: Path, path: Path, expected: str) -> None:
    """Read what was written and compare: only a right file gets its name."""
    with open_data(temporary) as data:
        digest = _ContentDigest(data.classes)
        for split in sorted(data.splits):
            part = data.split(split)
            digest.begin(split, part.images.shape, part.labels)
            for block in blocks(part.images):
                digest.update(block)
    if digest.hexdigest() != expected:
        raise InputError(f"{path} was not stored as it was written; check the disk, try again.")
