"""Choosing k on the training images alone, by cross-validation.

Every fold's images are classified by the other folds' images. The neighbours of an image do not
depend on k, so the largest k's are searched once and every smaller k reads its votes from them.
Images of one fold are never compared with each other, and two images of different folds only once
(`nnlab.neighbors.mutual_search`; twice by ``cosine`` and on images of real numbers).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError
from nnlab.neighbors.exact_search import Neighbors, Progress, Rows, check_k
from nnlab.neighbors.metrics import find_metric
from nnlab.neighbors.mutual_search import has_mutual_search, mutual_search
from nnlab.neighbors.together import search_together
from nnlab.neighbors.vote import count_votes
from nnlab.ranks import Alone
from nnlab.stratify import stratified_folds


@dataclass(frozen=True)
class CrossValidation:
    """Accuracy of each k on each fold.

    Attributes:
        ks: the numbers of neighbours tried.
        accuracy: (len(ks), folds).
    """

    ks: tuple[int, ...]
    accuracy: NDArray[np.float64]

    @property
    def best(self) -> int:
        """The k with the highest mean accuracy, of equals the smallest."""
        mean = self.accuracy.mean(axis=1)
        return min(k for k, value in zip(self.ks, mean, strict=True) if value == mean.max())

    def record(self) -> dict[str, list[float]]:
        """Return ``{k: [accuracy per fold]}``."""
        return {
            str(k): row.tolist() for k, row in zip(self.ks, self.accuracy, strict=True)
        }  # fmt: skip


def elect(
    found: Neighbors, labels: NDArray[np.int64], class_count: int, metric: str, weights: str, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Let the first k of each query's neighbours vote.

    Args:
        found: the neighbours of a search with at least k of them.
        labels: (N,) of the whole training set.
        class_count: K.
        metric: a name in `METRICS`.
        weights: a name in `WEIGHTS`.
        k: how many vote.

    Returns:
        The elected classes (Q,) and the votes (Q, K).
    """
    distances = find_metric(metric).distance(found.distances[:, :k])
    votes = count_votes(labels[found.indices[:, :k]], distances, class_count, weights)
    return votes.argmax(axis=1), votes


def cross_validate(
    images: NDArray[Any],
    labels: NDArray[np.int64],
    ks: Sequence[int],
    *,
    folds: int,
    seed: int,
    class_count: int,
    metric: str = "l1",
    weights: str = "uniform",
    rows: Rows | None = None,
    fold_of: Rows | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    ranks: Alone | None = None,
) -> CrossValidation:
    """Measure each k by cross-validation.

    Args:
        images: (N, ...).
        labels: (N,) class indices.
        ks: the numbers of neighbours to try.
        folds: how many parts, stratified by class; what `fold_of` has, if it is given.
        seed: which image goes to which fold.
        class_count: K.
        metric: a name in `METRICS`.
        weights: a name in `WEIGHTS`.
        rows: use these rows only, ascending.
        fold_of: (N,) the fold of each image, instead of dealing them.
        threads: how many to compute with.
        progress: called with (pairs compared, pairs in all).
        ranks: that search together; None for this process alone.

    Raises:
        InputError: folds or a k that the number of images does not allow.
    """
    rows = np.arange(len(labels)) if rows is None else rows
    if fold_of is None:
        fold_of = stratified_folds(labels[rows], folds, seed)
    else:
        fold_of = np.unique(fold_of[rows], return_inverse=True)[1]
        folds = int(fold_of.max()) + 1
    sizes = np.bincount(fold_of, minlength=folds)
    smallest = len(rows) - int(sizes.max())
    if max(ks) > smallest:
        raise InputError(
            f"k is {max(ks)}, but {folds} folds of {len(rows)} training images leave only "
            f"{smallest} to find; use a smaller k."
        )
    check_k(min(ks), smallest)
    groups = [rows[fold_of == fold] for fold in range(folds)]
    found = _neighbors(images, groups, max(ks), metric, threads, progress, ranks or Alone())
    accuracy = np.empty((len(ks), folds))
    for index, k in enumerate(ks):
        for fold, inside in enumerate(groups):
            elected, _ = elect(found[fold], labels, class_count, metric, weights, k)
            accuracy[index, fold] = np.mean(elected == labels[inside])
    return CrossValidation(tuple(ks), accuracy)


def _neighbors(
    images: NDArray[Any],
    groups: Sequence[Rows],
    k: int,
    metric: str,
    threads: int | None,
    progress: Progress | None,
    ranks: Alone,
) -> list[Neighbors]:
    """Return for each group's images the nearest of all other groups."""
    if ranks.size == 1 and has_mutual_search(images, metric):
        return mutual_search(images, groups, k, metric, threads=threads, progress=progress)
    total = sum(len(group) for group in groups)
    pairs = [len(group) * (total - len(group)) for group in groups]
    found = []
    for number, group in enumerate(groups):

        def advance(done: int, _: int, before: int = sum(pairs[:number])) -> None:
            if progress is not None:
                progress(before + done, sum(pairs))

        others = np.sort(np.concatenate([other for other in groups if other is not group]))
        found.append(
            search_together(
                ranks, images, images, k, metric, query_rows=group, training_rows=others,
                threads=threads, progress=advance,
            )
        )  # fmt: skip
    return found


def pair_count(images: NDArray[Any], rows: int, folds: int, metric: str) -> int:
    """Return how many pairs a cross-validation of `rows` images compares, give or take a few."""
    if not folds:
        return 0
    pairs = rows * (rows - -(-rows // folds))
    return pairs // 2 if has_mutual_search(images, metric) else pairs
