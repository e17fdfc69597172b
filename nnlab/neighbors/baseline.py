"""The whole nearest-neighbour experiment: choose k on the training split, then test."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError
from nnlab.metrics import Metrics, measure
from nnlab.neighbors.classifier import training_rows
from nnlab.neighbors.crossvalidation import (
    CrossValidation,
    cross_validate,
    elect,
    pair_count,
)
from nnlab.neighbors.exact_search import Neighbors, Progress, Rows, check_k, search
from nnlab.neighbors.metrics import find_metric
from nnlab.neighbors.together import search_together
from nnlab.neighbors.vote import WEIGHTS
from nnlab.ranks import Alone

DEFAULT_KS = (1, 3, 5, 7, 9, 11, 15, 21)
DEFAULT_FOLDS = 5


@dataclass(frozen=True)
class Settings:
    """What a baseline is asked to do.

    Attributes:
        ks: the numbers of neighbours to try.
        metric, weights: names.
        folds: parts of the cross-validation that chooses k, 0 for none; None for 5 where there is
            a choice of k. Without cross-validation the first of `ks` is the result's k.
        limit_train, limit_test: use a stratified part of so many images only.
        seed: which images go to which fold and part.
        threads: how many to compute with.
    """

    ks: Sequence[int] = DEFAULT_KS
    metric: str = "l1"
    weights: str = "uniform"
    folds: int | None = None
    limit_train: int | None = None
    limit_test: int | None = None
    seed: int = 0
    threads: int | None = None

    @property
    def effective_folds(self) -> int:
        """The number of folds in force."""
        if self.folds is None:
            return DEFAULT_FOLDS if len(self.ks) > 1 else 0
        return self.folds

    def record(self) -> dict[str, Any]:
        """Return every setting in force, plain enough for JSON."""
        return {**asdict(self), "ks": list(self.ks), "folds": self.effective_folds}


@dataclass(frozen=True)
class KnnResult:
    """What a baseline found.

    Attributes:
        settings: what was asked for.
        k: the chosen number of neighbours.
        cross_validation: how it was chosen; None without folds.
        folds_of_data: the folds were the data's own.
        accuracy_by_k: accuracy on the tested split of every k tried.
        train_rows, test_rows: rows of the splits that were used; None for all.
        labels: (Q,) true classes of the tested images.
        predicted: (Q,) elected classes.
        neighbors: the tested images' nearest, as many as the largest k.
        metrics: measured on the tested images with the chosen k.
        seconds: what the test (search and vote) took.
        cross_validation_seconds: what choosing k took.
        image_shape, train_count, class_count: of the data.
    """

    settings: Settings
    k: int
    cross_validation: CrossValidation | None
    folds_of_data: bool
    accuracy_by_k: dict[int, float]
    train_rows: Rows | None
    test_rows: Rows | None
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    neighbors: Neighbors
    metrics: Metrics
    seconds: float
    cross_validation_seconds: float
    image_shape: tuple[int, ...]
    train_count: int
    class_count: int

    def with_k_alone(self) -> Settings:
        """Return the settings with the chosen k as the only one, for all images."""
        return replace(self.settings, ks=(self.k,), folds=0, limit_train=None, limit_test=None)

    def record(self) -> dict[str, Any]:
        """Return the JSON keys of a baseline's result."""
        validation = self.cross_validation
        return {
            "metric": self.settings.metric,
            "weights": self.settings.weights,
            "k": self.k,
            "cross_validation": validation.record() if validation else {},
            "cross_validation_seconds": self.cross_validation_seconds,
            "folds_of_data": self.folds_of_data,
            "train_images": self.train_count if self.train_rows is None else len(self.train_rows),
            "n": len(self.labels),
            "correct": int((self.predicted == self.labels).sum()),
            "accuracy": self.metrics.accuracy,
            "accuracy_by_k": {str(k): value for k, value in self.accuracy_by_k.items()},
            "seconds": self.seconds,
            "queries_per_second": len(self.labels) / max(self.seconds, 1e-9),
        }

    def spec(self, path: str, name: str, checksum: str, split: str = "train") -> dict[str, Any]:
        """Return what `restore` needs to make the classifier again.

        Args:
            path: the data file.
            name: the data set's name.
            checksum: the data file's checksum.
            split: the split whose images vote.
        """
        return {
            "kind": "knn",
            "metric": self.settings.metric,
            "weights": self.settings.weights,
            "k": self.k,
            "class_count": self.class_count,
            "image_shape": list(self.image_shape),
            "images": self.train_count,
            "limit_train": self.settings.limit_train,
            "seed": self.settings.seed,
            "data": {"path": path, "name": name, "checksum": checksum, "split": split},
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays worth keeping in a run file, by their path in it."""
        arrays: dict[str, NDArray[Any]] = {
            "neighbors/distances": self.neighbors.distances,
            "neighbors/indices": self.neighbors.indices,
            "neighbors/labels": self.labels,
            "neighbors/predicted": self.predicted,
            "accuracy_by_k/k": np.array(list(self.accuracy_by_k)),
            "accuracy_by_k/accuracy": np.array(list(self.accuracy_by_k.values())),
        }
        if self.test_rows is not None:
            arrays["neighbors/queries"] = self.test_rows
        if self.cross_validation is not None:
            arrays["cross_validation/k"] = np.array(self.cross_validation.ks)
            arrays["cross_validation/accuracy"] = self.cross_validation.accuracy
        return arrays


def baseline(
    train: tuple[NDArray[Any], NDArray[np.int64]],
    test: tuple[NDArray[Any], NDArray[np.int64]],
    class_count: int,
    settings: Settings,
    progress: Progress | None = None,
    fold_of: Rows | None = None,
    ranks: Alone | None = None,
) -> KnnResult:
    """Choose k by cross-validation on the training images, then classify the test images.

    Args:
        train: images (N, H, W, C) and labels (N,).
        test: images (M, H, W, C) and labels (M,).
        class_count: K.
        settings: what to do.
        progress: called with (pairs compared, pairs in all), over both parts.
        fold_of: (N,) the data's own fold of each training image. They are used where there is a
            choice of k and no number of folds was asked for.
        ranks: that search together, each with the same arguments; None for this process alone.

    Raises:
        InputError: settings that make no sense for these images.
    """
    images, labels = train
    test_images, test_labels = test
    ranks = ranks or Alone()
    _check(settings)
    if fold_of is not None and settings.folds is None and settings.effective_folds:
        settings = replace(settings, folds=len(np.unique(fold_of)))
    else:
        fold_of = None
    folds = settings.effective_folds
    train_rows = training_rows(labels, settings.limit_train, settings.seed)
    test_rows = training_rows(test_labels, settings.limit_test, settings.seed)
    train_count = len(labels) if train_rows is None else len(train_rows)
    check_k(max(settings.ks), train_count)
    used_labels = test_labels if test_rows is None else test_labels[test_rows]
    ahead = pair_count(images, train_count, folds, settings.metric)
    total = ahead + len(used_labels) * train_count

    def advance_validation(done: int, pairs: int) -> None:
        if progress is not None:
            progress(ahead * done // pairs, total)

    def advance_test(done: int, _: int) -> None:
        if progress is not None:
            progress(ahead + done, total)

    # Loads (and the first time compiles) the kernels, so that the clock shows the search alone.
    search(test_images[:1], images[:1], 1, settings.metric)
    started = time.perf_counter()
    validation = None
    if folds:
        validation = cross_validate(
            images, labels, settings.ks, folds=folds, seed=settings.seed,
            class_count=class_count, metric=settings.metric, weights=settings.weights,
            rows=train_rows, fold_of=fold_of, threads=settings.threads,
            progress=advance_validation, ranks=ranks,
        )  # fmt: skip
    k = validation.best if validation else settings.ks[0]
    between = time.perf_counter()
    found = search_together(
        ranks, test_images, images, max(settings.ks), settings.metric, query_rows=test_rows,
        training_rows=train_rows, threads=settings.threads, progress=advance_test,
    )  # fmt: skip
    elected = {
        n: elect(found, labels, class_count, settings.metric, settings.weights, n)
        for n in (*settings.ks,)
    }
    seconds = time.perf_counter() - between
    predicted, votes = elected[k]
    return KnnResult(
        settings=settings,
        k=k,
        cross_validation=validation,
        folds_of_data=validation is not None and fold_of is not None,
        accuracy_by_k={n: float(np.mean(e[0] == used_labels)) for n, e in elected.items()},
        train_rows=train_rows,
        test_rows=test_rows,
        labels=used_labels,
        predicted=predicted,
        neighbors=found,
        metrics=measure(
            used_labels,
            predicted,
            class_count,
            votes / votes.sum(axis=1, keepdims=True),
            rows=test_rows,
        ),
        seconds=seconds,
        cross_validation_seconds=between - started if folds else 0.0,
        image_shape=tuple(images.shape[1:]),
        train_count=len(labels),
        class_count=class_count,
    )


def _check(settings: Settings) -> None:
    find_metric(settings.metric)
    if settings.weights not in WEIGHTS:
        raise InputError(
            f"no weights are called '{settings.weights}'; known: {', '.join(WEIGHTS)}."
        )
    if not settings.ks:
        raise InputError("no k to try; give at least one.")
    if min(settings.ks) < 1:
        raise InputError(f"k is {min(settings.ks)}; it must be at least 1.")
    if len(set(settings.ks)) != len(settings.ks):
        raise InputError("the same k is given twice.")
    if settings.effective_folds < 0 or settings.effective_folds == 1:
        raise InputError(f"{settings.effective_folds} folds; use 0 for none, or at least 2.")
