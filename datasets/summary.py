"""What is in a data file, and what looks suspicious in it."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.datafile import DataFile, blocks
from nnlab.datasets.statistics import measure_images

# So many pairs of equal images are named.
EXAMPLES = 3


@dataclass(frozen=True)
class Duplicates:
    """Images that are equal to the last bit.

    Attributes:
        within: split -> images that equal an earlier one of the same split.
        across: "train/test" -> images of the second split that are also in the first.
        contradictory: different images, counted once each, that occur with more than one label.
        examples: a few pairs, by name or by split and index.
    """

    within: dict[str, int]
    across: dict[str, int]
    contradictory: int
    examples: list[tuple[str, str]]


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
        low: the smallest pixel of all splits.
        high: the largest.
        channel_mean: of the training split, 0..255.
        channel_std: of the training split.
        empty_classes: split -> classes without an image there.
        duplicates: equal images.
        unreadable: (file, reason) of images that were left out.
        notes: other things worth knowing.
    """

    path: Path
    name: str
    source: str
    checksum: str
    classes: list[str]
    image_shape: tuple[int, int, int]
    counts: dict[str, list[int]]
    low: int
    high: int
    channel_mean: list[float]
    channel_std: list[float]
    empty_classes: dict[str, list[str]]
    duplicates: Duplicates
    unreadable: list[tuple[str, str]] = field(default_factory=list)
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
            "notes": self.notes,
        }


def summarize(
    data: DataFile,
    names: Mapping[str, Sequence[str]] | None = None,
    unreadable: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> Summary:
    """Look at every image of a data file.

    Args:
        data: an open data file.
        names: split -> where each image came from, to name duplicates by.
        unreadable: (file, reason) of images that did not get into the file.
        notes: what was noticed on the way into the file.
    """
    parts = {split: data.split(split) for split in data.splits}
    counts = {
        split: np.bincount(part.labels, minlength=len(data.classes)).tolist()
        for split, part in parts.items()
    }
    everything = measure_images(
        (block for part in parts.values() for block in blocks(part.images)), data.image_shape
    )
    notes = list(notes)
    if data.image_shape[2] == 3 and all(_is_gray(part.images) for part in parts.values()):
        notes.append("all images are grey; --gray would store one channel instead of three.")
    return Summary(
        path=data.path,
        name=data.name,
        source=data.source,
        checksum=data.checksum,
        classes=data.classes,
        image_shape=data.image_shape,
        counts=counts,
        low=everything.low,
        high=everything.high,
        channel_mean=data.channel_mean.tolist(),
        channel_std=data.channel_std.tolist(),
        empty_classes={
            split: empty
            for split, per_class in counts.items()
            if (empty := [data.classes[i] for i, n in enumerate(per_class) if n == 0])
        },
        duplicates=_duplicates(data, names or {}),
        unreadable=list(unreadable),
        notes=notes,
    )


def _is_gray(images: NDArray[np.uint8]) -> bool:
    return all(
        np.array_equal(block[..., 0], block[..., 1])
        and np.array_equal(block[..., 0], block[..., 2])
        for block in blocks(images)
    )


def _duplicates(data: DataFile, names: Mapping[str, Sequence[str]]) -> Duplicates:
    seen: dict[bytes, tuple[str, int]] = {}
    labels: dict[bytes, int] = {}
    contradictory: set[bytes] = set()
    distinct: dict[str, set[bytes]] = {}
    within: dict[str, int] = {}
    occurrences: dict[str, list[bytes]] = {}
    examples: list[tuple[str, str]] = []
    for split in data.splits:
        part = data.split(split)
        digests = list(_digests(part.images))
        for row, (digest, label) in enumerate(zip(digests, part.labels.tolist(), strict=True)):
            first = seen.setdefault(digest, (split, row))
            if labels.setdefault(digest, label) != label:
                contradictory.add(digest)
            if first != (split, row) and len(examples) < EXAMPLES:
                examples.append((_name(*first, names), _name(split, row, names)))
        occurrences[split] = digests
        distinct[split] = set(digests)
        within[split] = len(digests) - len(distinct[split])
    across = {
        f"{first}/{second}": sum(digest in distinct[first] for digest in occurrences[second])
        for first, second in combinations(data.splits, 2)
    }
    return Duplicates(within, across, len(contradictory), examples)


def _digests(images: NDArray[np.uint8]) -> Iterator[bytes]:
    for block in blocks(images):
        for image in np.ascontiguousarray(block):
            yield hashlib.blake2b(image, digest_size=16).digest()


def _name(split: str, row: int, names: Mapping[str, Sequence[str]]) -> str:
    return names[split][row] if names.get(split) else f"{split} {row}"
