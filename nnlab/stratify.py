"""Parts of a labelled set that keep each class's share: held-out splits and folds."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnlab.errors import InputError
from nnlab.randomness import generator

Indices = NDArray[np.int64]


def held_out_count(amount: float, total: int) -> int:
    """Turn ``--val``'s number into a count: a share if below 1, else a whole number of images.

    Raises:
        InputError: negative, not whole, or as many as there are.
    """
    count = round(amount * total) if 0 <= amount < 1 else int(amount)
    if amount < 0 or (amount >= 1 and amount != int(amount)):
        raise InputError(f"{amount:g} is neither a share below 1 nor a whole number of images.")
    if count >= total:
        raise InputError(f"cannot set aside {count} of {total} images; nothing would be left.")
    return count


def stratified_split(labels: ArrayLike, amount: float, seed: int) -> tuple[Indices, Indices]:
    """Split rows in two so that every class keeps its share.

    Args:
        labels: (N,) integers.
        amount: how much to set aside: a share below 1 or a count.
        seed: which rows; the same seed gives the same split.

    Returns:
        The rows that stay and the rows set aside, both ascending. The number set aside is exact;
        classes are rounded by largest remainder.

    Raises:
        InputError: the amount makes no sense for this many rows.
    """
    labels = np.asarray(labels)
    count = held_out_count(amount, len(labels))
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * (count / max(len(labels), 1))
    shares = np.floor(exact).astype(np.int64)
    remainder_first = np.argsort(shares - exact, kind="stable")
    shares[remainder_first[: count - shares.sum()]] += 1

    chosen = np.zeros(len(labels), dtype=bool)
    for label, share in zip(classes, shares, strict=True):
        rows = np.flatnonzero(labels == label)
        rng = generator(seed, "split", int(label))
        chosen[rng.permutation(rows)[:share]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def stratified_folds(labels: ArrayLike, folds: int, seed: int) -> NDArray[np.int64]:
    """Deal rows to folds so that every fold holds every class's share, give or take one row.

    Args:
        labels: (N,) integers.
        folds: how many, from 2 to N.
        seed: which rows go where.

    Returns:
        (N,) the fold of each row, from 0 to `folds` - 1.

    Raises:
        InputError: fewer than 2 folds, or more folds than rows.
    """
    labels = np.asarray(labels)
    if not 2 <= folds <= len(labels):
        raise InputError(f"{folds} folds of {len(labels)} rows; take from 2 to {len(labels)}.")
    order = generator(seed, "folds").permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    assigned = np.empty(len(labels), dtype=np.int64)
    assigned[order] = np.arange(len(labels)) % folds
    return assigned
