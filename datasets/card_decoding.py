"""The files of a known data set as images and labels, with what its card adds to the format."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.card import Card
from nnlab.datasets.choosing import ChoiceOptions
from nnlab.datasets.decoders import DECODERS, Decoded, DecodeOptions, Part, Reading
from nnlab.errors import FileFormatError

# Formats whose files name the classes; the labels of all others are places in the card's list.
NAMING = {"folders", "table"}


def decode_card(card: Card, paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read the files of a known data set.

    Args:
        card: the data set.
        paths: its verified files, in the order of the card; none if it is generated.
        options: as for any decoder.

    Raises:
        InputError: a file cannot be read.
        FileFormatError: the files hold something else than the card says.
    """
    decoder = DECODERS[card.format]
    if card.generated:
        return decoder.decode(paths, options)
    # The card's classes are those of all images: the choice among them comes later.
    options = replace(
        options, reading=replace(card.reading, shape=card.shape), choice=ChoiceOptions()
    )
    if card.files[0].split:
        decoded = _merged(
            {
                file.split: decoder.decode([path], options)
                for file, path in zip(card.files, paths, strict=True)
            }
        )
    else:
        decoded = decoder.decode(paths, options)
    for split, part in decoded.splits.items():
        labels = _relabelled(part.labels, card.reading, f"the {split} split of {card.name}")
        decoded.splits[split] = replace(part, labels=labels)
    decoded.steps = None
    _name_classes(card, decoded)
    decoded.notes += _count_notes(card, decoded.splits)
    return decoded


def _merged(files: dict[str, Decoded]) -> Decoded:
    """Put the training images of several files together as splits."""
    classes = sorted({name for decoded in files.values() for name in decoded.classes})
    merged = Decoded(classes, {})
    numbered = all(name.isdecimal() for name in classes)
    if numbered:
        merged.classes = sorted(classes, key=int)
    for split, decoded in files.items():
        part = decoded.splits["train"]
        rows = np.array([merged.classes.index(name) for name in decoded.classes], np.int64)
        merged.splits[split] = replace(part, labels=rows[part.labels])
        merged.unreadable += decoded.unreadable
        merged.notes += decoded.notes
    return merged


def _relabelled(labels: NDArray[np.int64], reading: Reading, where: str) -> NDArray[np.int64]:
    if reading.zero_label:
        labels = np.where(labels == reading.zero_label, 0, labels)
    labels = labels - reading.first_label
    if len(labels) and labels.min() < 0:
        raise FileFormatError(f"{where} has labels below {reading.first_label}.")
    return labels


def _name_classes(card: Card, decoded: Decoded) -> None:
    """Give the labels the names of the card."""
    if card.format in NAMING:
        if decoded.classes != list(card.classes):
            raise FileFormatError(
                f"the files of {card.name} have the classes {', '.join(decoded.classes[:20])}; "
                f"its card says {', '.join(card.classes[:20])}."
            )
        return
    highest = max(int(part.labels.max()) for part in decoded.splits.values())
    if highest >= len(card.classes):
        raise FileFormatError(
            f"the files of {card.name} have a label {highest + card.reading.first_label}; "
            f"{card.title} has {len(card.classes)} classes."
        )
    decoded.classes = list(card.classes)


def _count_notes(card: Card, splits: dict[str, Part]) -> list[str]:
    """Return a line for each split that has not as many images as the card says."""
    return [
        f"the {split} split has {len(splits[split].labels):,} images, its card says {count:,}"
        for split, count in card.splits.items()
        if split in splits and len(splits[split].labels) != count
    ]
