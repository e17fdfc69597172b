"""What is in a data file, and what looks suspicious in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.datafile import DataFile, blocks
from nnlab.datasets.duplicates import Duplicates, count_duplicates, digest_images
from nnlab.datasets.statistics import Measurement
from nnlab.mapping import release


@dataclass(frozen=True)
class Summary:
    """What a data file holds.

    Attributes:
        path: the data file.
        name: of the data set.
        source: where the images came from.
        checksum: of the content.
        classes: names, in the order of the labels.
        image_shape: (H, W, C).
        counts: split -> images a class, in the order of the classes.
        folds: images of each fold of the training split; empty without folds.
        low: the smallest pixel of all splits.
        high: the largest.
        channel_mean: of the training split, 0..255.
        channel_std: of the training split.
        empty_classes: split -> classes without an image there.
        duplicates: equal images.
        unreadable: (file, reason) of images that could not be read.
        steps: what was done to choose and change the images.
        left_out: (file, reason) of all images that were read, or looked at, and left out.
        notes: other things worth knowing.
    """

    path: Path
    name: str
    source: str
    checksum: str
    classes: list[str]
    image_shape: tuple[int, int, int]
    counts: dict[str, list[int]]
    folds: list[int]
    low: int
    high: int
    channel_mean: list[float]
    channel_std: list[float]
    empty_classes: dict[str, list[str]]
    duplicates: Duplicates
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Return the keys of ``preprocess --json``."""
        return {
            "data": str(self.path),
            "name": self.name,
            "source": self.source,
            "checksum": self.checksum,
            "classes": self.classes,
            "image_shape": list(self.image_shape),
            "splits": {
                split: {"n": sum(counts), "per_class": dict(zip(self.classes, counts, strict=True))}
                for split, counts in self.counts.items()
            },
            "folds": self.folds,
            "value_range": [self.low, self.high],
            "channel_mean": self.channel_mean,
            "channel_std": self.channel_std,
            "empty_classes": self.empty_classes,
            "duplicates": {
                "within": self.duplicates.within,
                "across": self.duplicates.across,
                "contradictory": self.duplicates.contradictory,
                "examples": [list(pair) for pair in self.duplicates.examples],
            },
            "unreadable": [{"file": file, "reason": reason} for file, reason in self.unreadable],
            "steps": self.steps,
            "left_out": [{"file": file, "reason": reason} for file, reason in self.left_out],
            "notes": self.notes,
        }


def summarize(
    data: DataFile,
    unreadable: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> Summary:
    """Look at every image of a data file.

    Args:
        data: an open data file.
        unreadable: (file, reason) of images that could not be read.
        notes: what was noticed on the way into the file.
    """
    parts = {split: data.split(split) for split in data.splits}
    counts = {
        split: np.bincount(part.labels, minlength=len(data.classes)).tolist()
        for split, part in parts.items()
    }
    measured = Measurement(data.image_shape)
    gray = data.image_shape[2] == 3
    for part in parts.values():
        for block in blocks(part.images):
            measured.add(block)
            gray = gray and _is_gray(block)
        release(part.images)
    everything, notes = measured.result(), list(notes)
    if gray:
        notes.append("all images are grey; --gray would store one channel instead of three.")
    folds = parts["train"].folds
    return Summary(
        path=data.path,
        name=data.name,
        source=data.source,
        checksum=data.checksum,
        classes=data.classes,
        image_shape=data.image_shape,
        counts=counts,
        folds=[] if folds is None else np.bincount(folds).tolist(),
        low=everything.low,
        high=everything.high,
        channel_mean=data.channel_mean.tolist(),
        channel_std=data.channel_std.tolist(),
        empty_classes={
            split: empty
            for split, per_class in counts.items()
            if (empty := [data.classes[i] for i, n in enumerate(per_class) if n == 0])
        },
        duplicates=count_duplicates(
            {split: digest_images(part.images) for split, part in parts.items()},
            {split: part.labels for split, part in parts.items()},
            data.provenance.files,
        ),
        unreadable=list(unreadable),
        steps=list(data.provenance.steps),
        left_out=list(data.provenance.left_out),
        notes=notes,
    )


def _is_gray(block: NDArray[np.uint8]) -> bool:
    return np.array_equal(block[..., 0], block[..., 1]) and np.array_equal(
        block[..., 0], block[..., 2]
    )
