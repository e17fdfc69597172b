"""The nearest-neighbour classifier as a Python object, and back from a run file's description."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnlab.errors import InputError
from nnlab.neighbors.exact_search import Progress, Rows, check_k, search
from nnlab.neighbors.metrics import find_metric
from nnlab.neighbors.vote import WEIGHTS, count_votes
from nnlab.stratify import stratified_split


class KNNClassifier:
    """Classify an image by a vote of the k training images nearest to it.

    Args:
        k: how many neighbours vote.
        metric: a name in `nnlab.neighbors.METRICS`.
        weights: ``"uniform"``, or ``"distance"`` for votes of 1 / distance.
        threads: how many to compute with; by default what the machine gives this process.
        level: the kernels to use instead of the processor's best.

    Raises:
        InputError: a setting that does not exist.
    """

    def __init__(
        self,
        k: int = 5,
        metric: str = "l1",
        weights: str = "uniform",
        threads: int | None = None,
        level: str | None = None,
    ) -> None:
        find_metric(metric)
        if weights not in WEIGHTS:
            raise InputError(f"no weights are called '{weights}'; known: {', '.join(WEIGHTS)}.")
        if k < 1:
            raise InputError(f"k is {k}; it must be at least 1.")
        self.k = k
        self.metric = metric
        self.weights = weights
        self.threads = threads
        self.level = level
        self.images: NDArray[Any] | None = None
        self.labels: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.classes: NDArray[Any] = np.zeros(0, dtype=np.int64)

    def fit(
        self, images: ArrayLike, labels: ArrayLike, class_count: int | None = None
    ) -> "KNNClassifier":
        """Remember the training images (without copying them) and their labels.

        Args:
            images: (N, ...) uint8, or real numbers; may map a file.
            labels: (N,) of any kind that sorts.
            class_count: the labels are class indices from 0 to `class_count` - 1, some of which
                may not occur here; without it the classes are the labels that occur.

        Raises:
            InputError: labels and images of different length, fewer images than k, or images that
                are not finite.
        """
        images, labels = np.asarray(images), np.asarray(labels)
        if labels.shape != (len(images),):
            raise InputError(f"{len(images)} images, but labels of shape {labels.shape}.")
        check_k(self.k, len(images))
        if class_count is None:
            self.classes, self.labels = np.unique(labels, return_inverse=True)
        else:
            self.classes, self.labels = np.arange(class_count), labels.astype(np.int64)
        self.images = images
        return self

    def kneighbors(
        self, queries: ArrayLike, k: int | None = None, progress: Progress | None = None
    ) -> tuple[NDArray[Any], Rows]:
        """Find the nearest training images.

        Args:
            queries: (Q, ...) images like the training images.
            k: how many, by default the classifier's.
            progress: called with (pairs compared, pairs in all).

        Returns:
            distances (Q, k), for ``l1`` and ``linf`` of uint8 images as int64, else float64; and
            indices (Q, k). Nearer first, then the lower index.

        Raises:
            InputError: nothing was fitted, images of another size, a k out of range, or values
                that are not finite.
        """
        if self.images is None:
            raise InputError("the classifier has no training images; call fit first.")
        found = search(
            np.asarray(queries), self.images, self.k if k is None else k, self.metric,
            threads=self.threads, level=self.level, progress=progress,
        )  # fmt: skip
        return find_metric(self.metric).distance(found.distances), found.indices

    def predict_proba(
        self, queries: ArrayLike, progress: Progress | None = None
    ) -> NDArray[np.float64]:
        """Return (Q, K) shares of the votes, in the order of `classes`."""
        distances, indices = self.kneighbors(queries, progress=progress)
        votes = count_votes(self.labels[indices], distances, len(self.classes), self.weights)
        return np.asarray(votes / votes.sum(axis=1, keepdims=True))

    def predict(self, queries: ArrayLike, progress: Progress | None = None) -> NDArray[Any]:
        """Return (Q,) the elected labels: the most votes, of equals the smallest class."""
        distances, indices = self.kneighbors(queries, progress=progress)
        votes = count_votes(self.labels[indices], distances, len(self.classes), self.weights)
        return np.asarray(self.classes[votes.argmax(axis=1)])


def training_rows(labels: NDArray[np.int64], limit: int | None, seed: int) -> Rows | None:
    """Choose the rows of a limited set: stratified, seeded, ascending; None for all of them.

    Raises:
        InputError: a limit below 1.
    """
    if limit is None or limit >= len(labels):
        return None
    if limit < 1:
        raise InputError(f"a limit of {limit} images leaves nothing; use at least 1.")
    return stratified_split(labels, limit, seed)[1]


def restore(
    spec: Mapping[str, Any], images: NDArray[Any], labels: NDArray[np.int64]
) -> KNNClassifier:
    """Make the classifier that a run file describes.

    Args:
        spec: the run's model description, made by `KnnResult.spec`.
        images: (N, H, W, C) the whole split that the description names, from the data file that
            it names (compare ``spec["data"]["checksum"]`` with the file's first).
        labels: (N,) its labels.

    Raises:
        InputError: images of another shape or number than the run was made with.
    """
    if list(images.shape[1:]) != list(spec["image_shape"]) or len(images) != spec["images"]:
        raise InputError(
            f"the run was made with {spec['images']} training images of shape "
            f"{tuple(spec['image_shape'])}, here are {len(images)} of {images.shape[1:]}; "
            "it needs the data file it was made with."
        )
    rows = training_rows(labels, spec["limit_train"], spec["seed"])
    if rows is not None:
        images, labels = images[rows], labels[rows]
    model = KNNClassifier(spec["k"], spec["metric"], spec["weights"])
    return model.fit(images, labels, spec["class_count"])
