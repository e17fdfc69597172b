"""Batches: which images a step sees, shuffled, augmented and standardized."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.core.plain import Gathered
from nnlab.randomness import generator
from nnlab.ranks import Alone
from nnlab.training.augmentation import Augmentation
from nnlab.training.images import ImageSet
from nnlab.training.shuffling import Shuffle
from nnlab.training.standardization import Applier


@dataclass(frozen=True)
class Batch:
    """What one step trains on.

    Attributes:
        x: (B, D) standardized images; a work array.
        labels: (B,) their classes.
        partners: (B,) second classes of mixtures (mixup), or None.
        share: (B,) how much of each image is its first class, with `partners`.
    """

    x: NDArray[Any]
    labels: NDArray[np.int64]
    partners: NDArray[np.int64] | None = None
    share: NDArray[Any] | None = None


@dataclass(frozen=True)
class Seen:
    """A batch as a person would look at it.

    Attributes:
        rows: (B,) which rows of the data.
        images: (B, H, W, C) uint8, changed as augmentation changed them, mixtures included.
        labels, partners, share: as in `Batch`.
    """

    rows: NDArray[np.int64]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    partners: NDArray[np.int64] | None = None
    share: NDArray[Any] | None = None


class Batches:
    """The batches of every epoch: a function of (seed, epoch, step) and nothing else.

    Every epoch sees each image once, in a new order; the last batch is short where the number of
    images is not a multiple of the batch size.

    Args:
        images: the training set.
        applier: the standardization.
        augmentation: what happens to the pixels before it.
        shuffle: the order of the images.
        batch_size: images a step, at most as many as there are.
        seed: the run's.
        ranks: the processes that train together; each has its rows of every batch.
    """

    def __init__(
        self,
        images: ImageSet,
        applier: Applier,
        augmentation: Augmentation,
        shuffle: Shuffle,
        batch_size: int,
        seed: int,
        ranks: Alone | None = None,
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.steps = -(-len(images) // batch_size)
        self._applier = applier
        self._augmentation = augmentation
        self._shuffle = shuffle
        self._seed = seed
        self._shape = images.images.shape[1:]
        self._ranks = ranks or Alone()
        most = max(-(-batch_size // self._ranks.size), min(batch_size, self._ranks.size - 1))
        self._pixels = np.empty((most, images.flat.shape[1]), np.uint8)
        self._x = np.empty(self._pixels.shape, applier.dtype)
        self._labels = np.empty(most, np.int64)

    def count(self, step: int) -> int:
        """Return how many images the batch of a step has, those of all ranks together."""
        return min(self.batch_size, len(self.images) - step * self.batch_size)

    def batch(self, epoch: int, step: int) -> Batch:
        """Return a batch, or this rank's rows of it; the next call overwrites its arrays."""
        portion = self._shuffle.portion(epoch, step)
        mine = self._ranks.rows(len(portion.rows))
        rows, places = portion.rows[mine], portion.places[mine]
        count = len(rows)
        x, pixels = self._x[:count], self._pixels[:count]
        # mode="clip" writes straight to `out`; the rows are known to be in range.
        labels = np.take(self.images.labels, rows, out=self._labels[:count], mode="clip")
        if not self._augmentation:
            return Batch(self._applier.gather(portion.pixels, places, pixels, x), labels)
        np.take(portion.pixels, places, axis=0, out=pixels, mode="clip")
        rng = generator(self._seed, "augment", epoch, step, *self._ranks.stream)
        changed = self._augmentation.apply(pixels.reshape(count, *self._shape), rng)
        self._applier(changed.reshape(count, -1), x)
        if not self._augmentation.mixup:
            return Batch(x, labels)
        partner, share = self._augmentation.mix(x, rng)
        return Batch(x, labels, labels[partner], share)

    def several(
        self, epoch: int, step: int, most: int
    ) -> tuple[Gathered, NDArray[np.int64]] | None:
        """Return whole batches that follow one another, for steps in one call.

        Args:
            epoch: theirs.
            step: that of the first.
            most: so many of them at most.

        Returns:
            The images and their labels; None where there is more to a batch (mixup), or less (this
            rank's share). The next call, of `batch` as well, overwrites the arrays.
        """
        if self._augmentation.mixup or self._ranks.size > 1:
            return None
        factors = self._applier.factors
        if self._augmentation or factors is None:
            batch = self.batch(epoch, step)
            return Gathered.already(batch.x), batch.labels
        portion = self._shuffle.portion(epoch, step, most)
        whole = len(portion.rows) // self.batch_size * self.batch_size
        labels = np.take(self.images.labels, portion.rows[:whole])
        return Gathered(portion.pixels, portion.places[:whole], *factors, self._x), labels

    def seen(self, epoch: int, step: int) -> Seen:
        """Return a past or future batch before its standardization, in arrays of its own."""
        portion = self._shuffle.portion(epoch, step)
        labels = self.images.labels[portion.rows]
        pixels = portion.pixels[portion.places].reshape(-1, *self._shape)
        if not self._augmentation:
            return Seen(portion.rows.copy(), pixels, labels)
        rng = generator(self._seed, "augment", epoch, step)
        changed = self._augmentation.apply(pixels, rng).astype(np.float64)
        partners = share = None
        if self._augmentation.mixup:
            # What is mixed linearly after standardization is mixed linearly before it.
            partner, share = self._augmentation.mix(changed, rng)
            partners = labels[partner]
        images = np.rint(changed).clip(0, 255).astype(np.uint8)
        return Seen(portion.rows.copy(), images, labels, partners, share)
