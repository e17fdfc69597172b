"""Images that occur more than once: equal to the last bit, or nearly the same to the eye.

Nearly the same: of the 256 lowest frequencies (of the discrete cosine transform of the grey image)
all but the mean are each above or below their median; these bits of two images differ in at most
`NEAR_BITS` places, and the means of each channel by at most `NEAR_MEAN`. Recompressing, resizing,
a little noise or another brightness keep a picture within that distance; other pictures of the
same thing, mirror images and shifted cuts are outside. (A perceptual hash after Zauner 2010,
"Implementation and Benchmarking of Perceptual Image Hash Functions".)
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.datafile import Images, blocks
from nnlab.randomness import generator

# So many pairs of equal images are named.
EXAMPLES = 3
FREQUENCIES = 16
# Two codes that differ in fewer places than they have groups of 16 bits agree in a whole group.
GROUPS = FREQUENCIES**2 // 16
NEAR_BITS = GROUPS - 1
NEAR_MEAN = 24.0
LUMA = np.array([0.299, 0.587, 0.114])

# How many bits of a byte are 1.
ONES = np.array([value.bit_count() for value in range(256)], np.uint8)

Codes = NDArray[np.uint8]
Digests = NDArray[np.uint64]


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
class Copy:
    """An image that repeats another one.

    Attributes:
        split, row: the image.
        of_split, of_row: the one that it repeats.
        bits: in how many places their codes differ; None if they are equal to the last bit.
    """

    split: str
    row: int
    of_split: str
    of_row: int
    bits: int | None = None


def count_duplicates(
    digests: Mapping[str, Digests],
    labels: Mapping[str, NDArray[np.int64]],
    names: Mapping[str, Sequence[str]],
) -> Duplicates:
    """Count equal images.

    Args:
        digests: split -> (N, 2), made by `digest_images`.
        labels: split -> (N,).
        names: split -> where each image came from; a split may be missing.
    """
    splits = list(digests)
    group = _groups(np.concatenate([digests[split] for split in splits]))
    sizes = [len(digests[split]) for split in splits]
    place = np.cumsum([0, *sizes])
    of = {split: group[place[i] : place[i + 1]] for i, split in enumerate(splits)}
    distinct = {split: np.unique(groups) for split, groups in of.items()}
    labelled = np.stack([group, np.concatenate([labels[split] for split in splits])], axis=1)
    _, counts = np.unique(np.unique(labelled, axis=0)[:, 0], return_counts=True)

    def name(row: int) -> str:
        number = int(np.searchsorted(place, row, side="right")) - 1
        split, inside = splits[number], row - int(place[number])
        return name_of(split, inside, names)

    repeated = np.flatnonzero(group != np.arange(len(group)))[:EXAMPLES]
    return Duplicates(
        within={split: len(of[split]) - len(distinct[split]) for split in splits},
        across={
            f"{a}/{b}": int(np.isin(of[b], distinct[a]).sum()) for a, b in combinations(splits, 2)
        },
        contradictory=int((counts > 1).sum()),
        examples=[(name(int(group[row])), name(int(row))) for row in repeated],
    )


def name_of(split: str, row: int, names: Mapping[str, Sequence[str]]) -> str:
    """Return where an image came from, or failing that its split and row."""
    return names[split][row] if names.get(split) else f"{split} {row}"


def find_copies(parts: Mapping[str, Images], near: bool) -> list[Copy]:
    """Find the images that repeat others and should go, so that each picture stays once.

    An image of the test split stays rather than one of `val`, and that rather than one of
    `train`: what is measured on stays whole. Within a split the first one stays.

    Args:
        parts: split -> images of one shape.
        near: also find images that are nearly the same.
    """
    order = sorted(parts, key=lambda split: ({"train": 2, "val": 1}.get(split, 0), split != "test"))
    place = np.cumsum([0, *(parts[split].shape[0] for split in order)])

    def copy(row: int, of: int, bits: int | None) -> Copy:
        numbers = np.searchsorted(place, (row, of), side="right") - 1
        (split, inside), (of_split, of_inside) = (
            (order[number], int(at - place[number]))
            for number, at in zip(numbers, (row, of), strict=True)
        )
        return Copy(split, inside, of_split, of_inside, bits)

    group = _groups(np.concatenate([digest_images(parts[split]) for split in order]))
    distinct = group == np.arange(len(group))
    copies = [copy(int(row), int(group[row]), None) for row in np.flatnonzero(~distinct)]
    if near:
        rows = np.flatnonzero(distinct)
        coded = [_codes(parts[split]) for split in order]
        codes, means = (np.concatenate([pair[i] for pair in coded])[rows] for i in (0, 1))
        gone: set[int] = set()
        for first, second, bits in _near_pairs(codes, means):
            if first not in gone and second not in gone:
                gone.add(second)
                copies.append(copy(int(rows[second]), int(rows[first]), bits))
    return sorted(copies, key=lambda item: (item.split, item.row))


def digest_images(images: Images) -> Digests:
    """Return (N, 2): 128 bits of a digest of each image; equal images have equal digests."""
    found = b"".join(
        hashlib.blake2b(image, digest_size=16).digest()
        for block in blocks(images)
        for image in np.ascontiguousarray(block)
    )
    return np.frombuffer(found, np.uint64).reshape(-1, 2)


def _groups(digests: Digests) -> NDArray[np.int64]:
    """Return for each row the first row that is equal to it."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    sorted_digests = digests[order]
    new = np.ones(len(order), bool)
    new[1:] = (sorted_digests[1:] != sorted_digests[:-1]).any(axis=1)
    first = order[new]  # lexsort is stable: the lowest row of each group
    groups = np.empty(len(order), np.int64)
    groups[order] = first[np.cumsum(new) - 1]
    return groups


def _codes(images: Images) -> tuple[Codes, NDArray[np.float64]]:
    """Return the images' codes (N, 32) and the means of their channels (N, C)."""
    _, height, width, channels = images.shape
    down, across = _waves(height), _waves(width)
    # Neighbouring frequencies go to different groups of bits: they are often alike.
    mixed = generator(0, "near duplicates").permutation(FREQUENCIES**2)
    codes, means = [], []
    for block in blocks(images):
        gray = block[..., 0].astype(np.float64) if channels == 1 else block @ LUMA
        # Rounded, so that a picture of one colour has no frequencies, not those of rounding.
        strength = np.round(down @ (gray @ across.T), 3).reshape(len(block), -1)
        strength[:, 0] = 0.0
        median = np.median(strength[:, 1:], axis=1, keepdims=True)
        bits = strength > median
        bits[:, 0] = False
        codes.append(np.packbits(bits[:, mixed], axis=1))
        means.append(block.mean(axis=(1, 2)))
    return np.concatenate(codes), np.concatenate(means)


def _waves(length: int) -> NDArray[np.float64]:
    """Return (FREQUENCIES, length): the first basis functions of the cosine transform."""
    middles = (np.arange(length) + 0.5) / length
    return np.cos(np.pi * np.arange(FREQUENCIES)[:, None] * middles) / length


def _near_pairs(codes: Codes, means: NDArray[np.float64]) -> list[tuple[int, int, int]]:
    """Return (first, second, differing bits) of all near pairs, in this order."""
    found: set[tuple[int, int, int]] = set()
    for group in codes.view(np.uint16).T:
        order = np.argsort(group, kind="stable")
        equal = group[order]
        places, step = np.arange(len(order)), 0
        # Rows with the same 16 bits stand side by side: each meets all others of its kind.
        while len(places):
            step += 1
            places = places[: np.searchsorted(places, len(order) - step)]
            places = places[equal[places] == equal[places + step]]
            a, b = order[places], order[places + step]
            bits = ONES[codes[a] ^ codes[b]].sum(axis=1)
            near = (bits <= NEAR_BITS) & (np.abs(means[a] - means[b]) <= NEAR_MEAN).all(axis=1)
            found.update(
                (min(i, j), max(i, j), k)
                for i, j, k in zip(
                    a[near].tolist(), b[near].tolist(), bits[near].tolist(), strict=True
                )
            )
    return sorted(found)
