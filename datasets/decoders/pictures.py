"""Image files whose classes are known from their names: chosen, then decoded."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.choosing import choose
from nnlab.datasets.decode_worker import Job
from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions, Part
from nnlab.datasets.picture_reading import read_pictures
from nnlab.datasets.rendering import REMARKS
from nnlab.errors import InputError

# What a list of left-out files names one by one.
NAMED = 3
# An image by its split and its place in it.
Wanted = list[tuple[str, int]]


def read_chosen(
    source: Path,
    classes: Sequence[str],
    labels: Mapping[str, NDArray[np.int64]],
    names: Mapping[str, Sequence[str]],
    jobs: Callable[[Wanted], Iterable[Job]],
    options: DecodeOptions,
) -> Decoded:
    """Decode the images that are wanted, and no others.

    Args:
        source: where the images come from, for messages.
        classes: names in the order of the labels.
        labels: split -> (N,) labels of its images.
        names: split -> (N,) what each image is called.
        jobs: makes the jobs of the chosen images; their rows are the places in the list it gets.
        options: what to choose, and how to decode it.

    Raises:
        InputError: a choice that makes no sense, images of differing sizes without a size, or an
            unreadable image without `skip_bad`.
    """
    choice = choose(classes, labels, options.choice)
    wanted = [
        (chosen.source, int(place)) for chosen in choice.splits.values() for place in chosen.rows
    ]
    called = [names[split][place] for split, place in wanted]
    pictures = read_pictures(jobs(wanted), len(wanted), source, options.pictures)
    decoded = Decoded(choice.classes, {}, steps=choice.steps)
    decoded.unreadable = sorted((called[row], reason) for row, reason in pictures.bad.items())
    begin = 0
    for split, chosen in choice.splits.items():
        rows = np.arange(begin, begin + len(chosen.rows))
        good = np.array([row not in pictures.bad for row in rows])
        begin += len(rows)
        if good.any():
            decoded.splits[split] = Part(
                pictures.images,
                chosen.labels[good],
                rows[good],
                [called[row] for row in rows[good]],
            )
    if "train" not in decoded.splits:
        raise InputError(f"{source} holds no readable images to train on.")
    for kind, noted in pictures.remarks.items():
        if noted:
            decoded.notes.append(f"images {REMARKS[kind]}: {some([called[row] for row in noted])}.")
    return decoded


def some(names: Sequence[str]) -> str:
    """Name a few of many."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(sorted(names)[:NAMED]) + more
