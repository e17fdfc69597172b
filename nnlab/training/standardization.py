"""Standardization: from pixels (0 to 255) to the numbers that a network is trained on.

Fitted on the training images alone, stored in the run file, applied by every later command. With
p = pixel / 255:

    none        p
    mean_image  p - (mean of p at that place and channel)
    channel     (p - mean of its channel) / (standard deviation of its channel)
    pixel       the same for every place and channel apart
    zca         whitening of `channel`'s result: (x - mean) U (L + 0.1)^(-1/2) U^T, where
                U L U^T is its covariance (Coates and Ng 2012, Learning feature representations)

A standard deviation below one grey level counts as one grey level: a pixel that never changes
becomes 0, not infinite.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.core.workers import current
from nnlab.errors import InputError
from nnlab.mapping import release

Images = NDArray[Any]
Floats = NDArray[np.float64]
ZCA_EPSILON = 0.1
# Rows that are looked at together: some megabytes, however many images there are.
BLOCK = 2048
SUMMED = 512


@dataclass(frozen=True)
class Standardization:
    """``x = pixels * scale + shift``, and for ZCA a product with a matrix after it.

    Attributes:
        kind: a name in `STANDARDIZATIONS`.
        image_shape: (H, W, C) of the images it was fitted on.
        scale: (D,) float64.
        shift: (D,) float64.
        matrix: (D, D) float64 or None.
    """

    kind: str
    image_shape: tuple[int, ...]
    scale: Floats
    shift: Floats
    matrix: Floats | None = None

    @classmethod
    def fit(cls, kind: str, images: Images, rows: NDArray[np.int64]) -> "Standardization":
        """Fit to the images (N, H, W, C), uint8, of these rows.

        Raises:
            InputError: an unknown kind.
        """
        if kind not in STANDARDIZATIONS:
            raise InputError(
                f"unknown standardization {kind!r}; known: {', '.join(STANDARDIZATIONS)}."
            )
        return STANDARDIZATIONS[kind](images, rows)

    def applier(self, dtype: Any) -> "Applier":
        """Return what turns batches of pixels into arrays of this dtype."""
        return Applier(self, np.dtype(dtype))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store, by name."""
        matrix = {} if self.matrix is None else {"matrix": self.matrix}
        return {"scale": self.scale, "shift": self.shift, **matrix}


class Applier:
    """A standardization made ready for one dtype, with its work arrays."""

    def __init__(self, standardization: Standardization, dtype: np.dtype[Any]) -> None:
        self.image_shape = standardization.image_shape
        self.dtype = dtype
        self._scale = standardization.scale.astype(dtype)
        self._shift = standardization.shift.astype(dtype)
        matrix = standardization.matrix
        self._matrix = None if matrix is None else matrix.astype(dtype)
        self._work = np.empty((0, standardization.scale.size), dtype)

    def __call__(self, pixels: Images, out: NDArray[Any]) -> NDArray[Any]:
        """Write the standardized pixels (N, D), uint8 or float, to `out` (N, D) and return it."""
        target = out
        if self._matrix is not None:
            if len(self._work) < len(out):
                self._work = np.empty_like(out)
            target = self._work[: len(out)]
        workers = current()
        if workers.kernels is None:
            np.multiply(pixels, self._scale, out=target)
            target += self._shift
        else:
            workers.kernels.standardize(
                workers.team, workers.threads, pixels, self._scale, self._shift, target
            )
        if self._matrix is not None:
            np.matmul(target, self._matrix, out=out)
        return out

    @property
    def factors(self) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """The scale and the shift (D,), where there is nothing but these two."""
        return (self._scale, self._shift) if self._matrix is None else None

    def gather(
        self, images: Images, rows: NDArray[np.int64], pixels: Images, out: NDArray[Any]
    ) -> NDArray[Any]:
        """Write the standardized images (N, D) of some rows to `out` and return it.

        Args:
            images: (N, D) uint8.
            rows: (n,) in range.
            pixels: (n, D) uint8, a free array.
            out: (n, D).
        """
        workers = current()
        if workers.kernels is None or self._matrix is not None:
            # mode="clip" writes straight to `out`.
            return self(np.take(images, rows, axis=0, out=pixels, mode="clip"), out)
        workers.kernels.gather(
            workers.team, workers.threads, images, rows, self._scale, self._shift, out
        )
        return out


def _blocks(images: Images, rows: NDArray[np.int64]) -> Iterator[Floats]:
    flat = images.reshape(len(images), -1)
    for start in range(0, len(rows), BLOCK):
        yield flat[rows[start : start + BLOCK]].astype(np.float64)


def _moments(images: Images, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the sum (D,) of each pixel over these images, and the sum of its squares.

    Whole numbers below 2^53 are exact in float64: the order does not matter.
    """
    flat = images.reshape(len(images), -1)
    total = np.zeros(flat.shape[1])
    squares = np.zeros_like(total)
    for start in range(0, len(rows), SUMMED):
        block = flat[rows[start : start + SUMMED]]
        # 32 bits hold the sum of so many squares, and bytes are quickly added.
        total += block.sum(axis=0, dtype=np.uint32)
        squares += np.square(block, dtype=np.uint16).sum(axis=0, dtype=np.uint32)
        if start % BLOCK == 0:
            release(flat)
    return total, squares


def _build(kind: str, images: Images, mean: Floats, deviation: Floats) -> Standardization:
    # mean and deviation in grey levels, for every feature.
    shape = tuple(int(length) for length in images.shape[1:])
    scale = 1.0 / (255.0 * np.maximum(deviation, 1.0 / 255.0))
    return Standardization(kind, shape, scale, -mean * scale)


def _none(images: Images, rows: NDArray[np.int64]) -> Standardization:  # noqa: ARG001
    size = int(np.prod(images.shape[1:]))
    return _build("none", images, np.zeros(size), np.ones(size))


def _mean_image(images: Images, rows: NDArray[np.int64]) -> Standardization:
    total, _ = _moments(images, rows)
    return _build("mean_image", images, total / len(rows), np.ones_like(total))


def _channel(images: Images, rows: NDArray[np.int64]) -> Standardization:
    channels = images.shape[-1]
    total, squares = (sums.reshape(-1, channels).sum(axis=0) for sums in _moments(images, rows))
    count = len(rows) * (np.prod(images.shape[1:]) // channels)
    mean, deviation = _mean_and_deviation(total, squares, int(count))
    places = int(np.prod(images.shape[1:-1]))
    return _build("channel", images, np.tile(mean, places), np.tile(deviation, places))


def _pixel(images: Images, rows: NDArray[np.int64]) -> Standardization:
    mean, deviation = _mean_and_deviation(*_moments(images, rows), len(rows))
    return _build("pixel", images, mean, deviation)


def _mean_and_deviation(total: Floats, squares: Floats, count: int) -> tuple[Floats, Floats]:
    mean = total / count
    variance = np.maximum(squares / count - mean * mean, 0.0)
    return mean, np.sqrt(variance) / 255.0


def _zca(images: Images, rows: NDArray[np.int64]) -> Standardization:
    channel = _channel(images, rows)
    size = channel.scale.size
    total, products = np.zeros(size), np.zeros((size, size))
    for block in _blocks(images, rows):
        x = block * channel.scale + channel.shift
        total += x.sum(axis=0)
        products += x.T @ x
    mean = total / len(rows)
    covariance = products / len(rows) - np.outer(mean, mean)
    values, vectors = np.linalg.eigh(covariance)
    scale = 1.0 / np.sqrt(np.maximum(values, 0.0) + ZCA_EPSILON)
    matrix = (vectors * scale) @ vectors.T
    return Standardization("zca", channel.image_shape, channel.scale, channel.shift - mean, matrix)


# One entry a kind.
STANDARDIZATIONS: dict[str, Callable[[Images, NDArray[np.int64]], Standardization]] = {
    "none": _none,
    "mean_image": _mean_image,
    "channel": _channel,
    "pixel": _pixel,
    "zca": _zca,
}
