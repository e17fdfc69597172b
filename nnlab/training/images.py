"""Labelled images as training sees them: an array, labels, and which rows are meant."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ImageSet:
    """Some rows of an array of images.

    Attributes:
        images: (N, H, W, C) uint8; may be mapped from a file.
        labels: (N,) int64, from 0 to classes - 1.
        rows: which of the N belong to the set, in its order.
        folds: (N,) the fold of each image, from 0; None without folds.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    rows: Rows
    folds: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls, images: Any, labels: Any, rows: Rows | None = None, folds: Rows | None = None
    ) -> "ImageSet":
        """Make a set after checking its arrays.

        Args:
            images: (N, H, W, C) or (N, H, W), uint8.
            labels: (N,) whole numbers.
            rows: which rows; None for all.
            folds: (N,) the fold of each image; None without folds.

        Raises:
            InputError: another type or shape, or lengths that differ.
        """
        images, labels = np.asanyarray(images), np.asarray(labels)
        if images.dtype != np.uint8:
            raise InputError(f"images must be uint8 (0 to 255), not {images.dtype}.")
        if images.ndim == 3:
            images = images[..., None]
        if images.ndim != 4:
            raise InputError(f"images must have shape (N, H, W, C), not {images.shape}.")
        if labels.shape != (len(images),):
            raise InputError(
                f"there are {len(images)} images and labels of shape {labels.shape}; "
                "one label an image is needed."
            )
        if labels.dtype.kind not in "iu":
            raise InputError(f"labels must be whole numbers, not {labels.dtype}.")
        if min(images.shape[1:]) < 1:
            raise InputError(f"images of shape {images.shape[1:]} have no pixels.")
        # Transposed images would be copied whole by every look at their rows.
        images = np.ascontiguousarray(images)
        if rows is None:
            rows = np.arange(len(images))
        return cls(images, labels.astype(np.int64, copy=False), rows, folds)

    def check_labels(self, classes: int) -> None:
        """Check that every label names a class; compiled loops rely on it.

        Raises:
            InputError: a label below 0, or of `classes` and more.
        """
        labels = self.labels
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            wrong = int(labels.min()) if int(labels.min()) < 0 else int(labels.max())
            raise InputError(f"label {wrong} names none of the {classes} classes.")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def flat(self) -> NDArray[np.uint8]:
        """The images as (N, D); a view."""
        return self.images.reshape(len(self.images), int(np.prod(self.images.shape[1:])))

    @property
    def chosen_labels(self) -> NDArray[np.int64]:
        """The labels of the rows that are meant."""
        return self.labels[self.rows]

    def blocks(self, size: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        """Yield pixels (n, D) and labels (n,) of up to `size` rows, in order."""
        flat = self.flat
        for start in range(0, len(self.rows), size):
            rows = self.rows[start : start + size]
            # Neighbouring rows are a view of the file; scattered ones have to be gathered.
            if rows[-1] - rows[0] == len(rows) - 1 and np.all(np.diff(rows) == 1):
                where: Any = slice(int(rows[0]), int(rows[-1]) + 1)
            else:
                where = rows
            yield flat[where], self.labels[where]
