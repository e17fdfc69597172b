"""Which rows belong to which split: `--test`, `--val` and `--limit`, as operations on indices."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.decoders.decoded import Part
from nnlab.errors import InputError
from nnlab.stratify import held_out_count, stratified_split


@dataclass(frozen=True)
class Rows:
    """Some rows of an array, gathered only when they are asked for.

    Attributes:
        images: (N, H, W, C) uint8.
        rows: (n,) which of them, in which order.
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, H, W, C)."""
        return (len(self.rows), *self.images.shape[1:])

    def __getitem__(self, wanted: slice, /) -> NDArray[np.uint8]:
        return self.images[self.rows[wanted]]


def arrange_splits(
    parts: Mapping[str, Part],
    test: float | None,
    val: float | None,
    limit: int | None,
    seed: int,
) -> dict[str, Part]:
    """Set test and validation images aside from the training split, and cut every split short.

    Args:
        parts: what the decoder found; `train` is one of them.
        test: share or count of the training images that become the test split.
        val: the same for the validation split; both count from the whole training split.
        limit: the most images of a split.
        seed: which images.

    Returns:
        The splits; every class keeps its share in each, and rows keep their order.

    Raises:
        InputError: a split is asked for that is there already, or an amount makes no sense.
    """
    parts = dict(parts)
    total = len(parts["train"].labels)
    amounts = {
        split: _amount(f"--{split}", amount, total)
        for split, amount in (("test", test), ("val", val))
        if amount  # 0 asks for none, as leaving the option out does
    }
    if sum(amounts.values()) >= total:
        raise InputError(
            f"--test and --val set aside all of the {total:,} training images; nothing is left."
        )
    for split, count in amounts.items():
        if split in parts:
            raise InputError(
                f"the source has a {split} split of {len(parts[split].labels):,} images already; "
                f"leave out --{split}."
            )
        stay, aside = stratified_split(parts["train"].labels, count, seed)
        parts[split] = _take(parts["train"], aside)
        parts["train"] = _take(parts["train"], stay)
    if limit is not None:
        for split, part in parts.items():
            if len(part.labels) > limit:
                _, chosen = stratified_split(part.labels, limit, seed)
                parts[split] = _take(part, chosen)
    return parts


def _amount(option: str, amount: float, total: int) -> int:
    if not math.isfinite(amount):
        raise InputError(f"{option}: {amount} is not a number of images.")
    try:
        count = held_out_count(amount, total)
    except InputError as error:
        raise InputError(f"{option}: {error}") from error
    if count < 1:
        raise InputError(f"{option} {amount:g} sets no image of {total:,} aside; leave it out.")
    return count


def _take(part: Part, rows: NDArray[np.int64]) -> Part:
    names = [part.names[row] for row in rows] if part.names else ()
    return Part(part.images, part.labels[rows], part.order[rows], names)
