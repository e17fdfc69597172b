"""Which rows belong to which split: `--test`, `--val` and `--limit`, as operations on indices."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError
from nnlab.randomness import generator
from nnlab.stratify import held_out_count, stratified_split

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Some rows of an array, gathered only when they are asked for.

    Attributes:
        images: (N, H, W, C) uint8.
        rows: (n,) which of them, in which order.
    """

    images: NDArray[np.uint8]
    rows: Indices

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, H, W, C)."""
        return (len(self.rows), *self.images.shape[1:])

    def __getitem__(self, wanted: slice, /) -> NDArray[np.uint8]:
        return self.images[self.rows[wanted]]


@dataclass(frozen=True)
class Chosen:
    """The images of one split, as rows of a split of the source.

    Attributes:
        source: the source's split.
        rows: (n,) which of its rows, ascending.
        labels: (n,) their labels.
    """

    source: str
    rows: Indices
    labels: Indices

    def take(self, places: Indices) -> "Chosen":
        """Return some of them."""
        return Chosen(self.source, self.rows[places], self.labels[places])


@dataclass(frozen=True)
class SplitOptions:
    """Which splits are made, and how large they may be.

    Attributes:
        test: share or count of the training images that become the test split.
        val: the same for the validation split; both count from the whole training split.
        limit: the most images of a split.
        limit_per_class: the most images of a class in a split.
        seed: which images.
    """

    test: float | None = None
    val: float | None = None
    limit: int | None = None
    limit_per_class: int | None = None
    seed: int = 0


def arrange_splits(
    splits: Mapping[str, Chosen], options: SplitOptions
) -> tuple[dict[str, Chosen], list[str]]:
    """Set test and validation images aside from the training split, and cut every split short.

    Args:
        splits: what the source has; `train` is one of them.
        options: what to do.

    Returns:
        The splits, in which rows keep their order, and a line about each thing that was done.
        Every class keeps its share, but for `limit_per_class`.

    Raises:
        InputError: a split is asked for that is there already, or an amount makes no sense.
    """
    splits, steps = dict(splits), []
    total = len(splits["train"].labels)
    amounts = {
        split: _amount(f"--{split}", amount, total)
        for split, amount in (("test", options.test), ("val", options.val))
        if amount  # 0 asks for none, as leaving the option out does
    }
    if sum(amounts.values()) >= total:
        raise InputError(
            f"--test and --val set aside all of the {total:,} training images; nothing is left."
        )
    for split, count in amounts.items():
        if split in splits:
            raise InputError(
                f"the source has a {split} split of {len(splits[split].labels):,} images already; "
                f"leave out --{split}."
            )
        stay, aside = stratified_split(splits["train"].labels, count, options.seed)
        splits[split] = splits["train"].take(aside)
        splits["train"] = splits["train"].take(stay)
        steps.append(f"{count:,} of the {total:,} training images became the {split} split")
    for split, chosen in splits.items():
        few = _limited(chosen, options)
        if len(few.rows) < len(chosen.rows):
            splits[split] = few
            steps.append(f"of {len(chosen.rows):,} images of {split}, {len(few.rows):,} were kept")
    return splits, steps


def _limited(chosen: Chosen, options: SplitOptions) -> Chosen:
    if options.limit_per_class is not None:
        mixed = [
            generator(options.seed, "limit", int(label)).permutation(
                np.flatnonzero(chosen.labels == label)
            )
            for label in np.unique(chosen.labels)
        ]
        few = [places[: options.limit_per_class] for places in mixed]
        chosen = chosen.take(np.sort(np.concatenate(few)))
    if options.limit is not None and len(chosen.labels) > options.limit:
        _, places = stratified_split(chosen.labels, options.limit, options.seed)
        chosen = chosen.take(places)
    return chosen


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
