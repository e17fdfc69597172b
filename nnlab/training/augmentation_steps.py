"""The changes of pixels that augmentation is made of; `augmentation.py` has their table.

Every change is vectorised over the batch, and its parameters are drawn apart for every image.
"""

from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from nnlab.errors import InputError

Images = NDArray[Any]
ImageShape = tuple[int, ...]
# Rotation works through so many pixels at a time: its arrays stay in the processor's cache.
BLOCK_PIXELS = 32768
# Steps into which the normal distribution is cut for noise: what 16 random bits can tell apart.
QUANTILES = 65536


class Step:
    """Base of the changes: `draw` decides what happens to each image, `change` does it.

    A change leaves uint8 images alone, because they are the caller's, and writes to a work array
    of its own. float32 images are an earlier step's work array and may be overwritten.

    Args:
        amount: the number behind the name, above 0.
        image_shape: (H, W, C).
    """

    def __init__(self, amount: float, image_shape: ImageShape) -> None:
        self.amount = amount
        self.height, self.width, self.channels = image_shape
        self._arrays: dict[str, NDArray[Any]] = {}

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        """Return the random parameters of `count` images, each array (count,)."""
        raise NotImplementedError

    def change(self, images: Images, *parameters: NDArray[Any]) -> Images:
        """Return the changed images (B, H, W, C)."""
        raise NotImplementedError

    def _work(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        # Made for the largest batch so far; a shorter one uses its beginning.
        array = self._arrays.get(name)
        if array is None or len(array) < shape[0] or array.dtype != dtype:
            array = self._arrays[name] = np.empty(shape, dtype)
        return array[: shape[0]]

    def _floats(self, images: Images) -> NDArray[np.float32]:
        if images.dtype == np.float32:
            return images
        floats = self._work("floats", images.shape, np.float32)
        floats[...] = images
        return floats


class Flip(Step):
    """Mirror left and right."""

    def __init__(self, amount: float, image_shape: ImageShape) -> None:
        super().__init__(amount, image_shape)
        mirrored = np.arange(np.prod(image_shape)).reshape(image_shape)[:, ::-1]
        self._mirrored = np.ascontiguousarray(mirrored.reshape(-1))

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        """Which images are mirrored."""
        return (rng.random(count) < self.amount,)

    def change(self, images: Images, *parameters: NDArray[Any]) -> Images:
        """Mirror the chosen images."""
        (chosen,) = parameters
        rows = np.flatnonzero(chosen)
        out = self._work("out", images.shape, images.dtype)
        before, after = (
            self._work(name, images.shape, images.dtype)[: len(rows)]
            for name in ("before", "after")
        )
        np.copyto(out, images)
        np.take(images, rows, axis=0, out=before, mode="clip")
        if self.channels == 1:
            after[...] = before[:, :, ::-1]
        else:  # copying backwards in groups of three bytes is slower than a gather of bytes
            flat = (len(rows), self._mirrored.size)
            np.take(
                before.reshape(flat), self._mirrored, axis=1, out=after.reshape(flat), mode="clip"
            )
        out[rows] = after
        return out


class Shift(Step):
    """Move by whole pixels, the same number at most in every direction; 0 comes in at the edges.

    Each image is put into a larger canvas, and a window of its own size is cut out of that: what
    lies around the image in the canvas is what a shift brings in.
    """

    padding: ClassVar[str] = "zero"

    def __init__(self, amount: float, image_shape: ImageShape) -> None:
        super().__init__(amount, image_shape)
        self.reach = int(amount)
        if self.reach >= min(self.height, self.width):
            raise InputError(
                f"--augment cannot move images of {self.height} x {self.width} pixels by "
                f"{self.reach}; take less than {min(self.height, self.width)}."
            )
        self._canvas = np.empty((0, 0, 0, 0), np.uint8)
        self._pixels: Any = self._canvas
        self._windows: Any = self._canvas

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        """How far down and to the right each image moves, from -reach to reach."""
        down, right = rng.integers(-self.reach, self.reach + 1, (2, count))
        return down, right

    def change(self, images: Images, *parameters: NDArray[Any]) -> Images:
        """Move the images."""
        down, right = parameters
        count = len(images)
        if count > len(self._canvas):
            self._allocate(count, images.dtype)
        self._fill(self._canvas[:count], self._pixels[:count], images)
        where = (np.arange(count), self.reach - down, self.reach - right)
        moved: Images = self._windows[where].reshape(images.shape)
        return moved

    def _allocate(self, count: int, dtype: Any) -> None:
        height, width = self.height + 2 * self.reach, self.width + 2 * self.reach
        self._canvas = np.zeros((count, height, width, self.channels), dtype)
        # One element a pixel: copied whole, which is quicker than channel by channel.
        size = self._canvas.itemsize * self.channels
        self._pixels = self._canvas.view(np.dtype((np.void, size)))[..., 0]
        image, row, pixel, channel = self._canvas.strides
        # Every window of an image's size, by its upper left corner; nothing is copied.
        corners = 2 * self.reach + 1
        self._windows = as_strided(
            self._canvas,
            (count, corners, corners, self.height, self.width * self.channels),
            (image, row, pixel, row, channel),
        )

    def _fill(self, canvas: Images, pixels: Images, images: Images) -> None:
        reach, height, width = self.reach, self.height, self.width
        canvas[:, reach : reach + height, reach : reach + width] = images
        if self.padding == "zero":
            return
        for axis, length in ((1, height), (2, width)):
            along = np.swapaxes(pixels, 1, axis)
            before, after = along[:, :reach], along[:, reach + length :]
            if self.padding == "edge":
                before[...] = along[:, reach : reach + 1]
                after[...] = along[:, reach + length - 1 : reach + length]
            else:
                before[...] = along[:, 2 * reach : reach : -1]
                after[...] = along[:, reach + length - 2 : length - 2 : -1]


class ShiftEdge(Shift):
    """Move by whole pixels; the edge's own pixels are repeated."""

    padding = "edge"


class Crop(Shift):
    """Pad by reflection and cut a window of the old size out at random (He et al. 2016)."""

    padding = "reflect"


class Rotate(Step):
    """Turn about the centre, bilinear; what comes in from outside repeats the edge."""

    def __init__(self, amount: float, image_shape: ImageShape) -> None:
        super().__init__(amount, image_shape)
        self._block = max(1, BLOCK_PIXELS // (self.height * self.width))
        shape = (self._block, self.height, self.width)
        self._y, self._x, self._row, self._column = (np.empty(shape, np.float32) for _ in range(4))
        self._top, self._bottom, self._far, self._plane = (
            np.empty(shape, np.float32) for _ in range(4)
        )
        self._index: NDArray[Any] = np.empty(shape, np.intp)
        pixels = self.height * self.width
        self._first = np.arange(0, self._block * pixels, pixels, dtype=np.float32)[:, None, None]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        """Each image's angle in degrees, anticlockwise."""
        return (rng.uniform(-self.amount, self.amount, count),)

    def change(self, images: Images, *parameters: NDArray[Any]) -> Images:
        """Turn the images."""
        (degrees,) = parameters
        out = self._work("out", images.shape, np.float32)
        for start in range(0, len(images), self._block):
            block = slice(start, start + self._block)
            self._turn(images[block], np.deg2rad(degrees[block]), out[block])
        return out

    def _turn(self, images: Images, angles: NDArray[Any], out: Images) -> None:
        count = len(images)
        sine = np.sin(angles).astype(np.float32)[:, None, None]
        cosine = np.cos(angles).astype(np.float32)[:, None, None]
        down = (np.arange(self.height, dtype=np.float32) - (self.height - 1) / 2)[None, :, None]
        right = (np.arange(self.width, dtype=np.float32) - (self.width - 1) / 2)[None, None, :]
        y, x, row, column = (a[:count] for a in (self._y, self._x, self._row, self._column))
        index = self._index[:count]
        np.add(cosine * down, sine * right, out=y)
        np.subtract(cosine * right, sine * down, out=x)
        # After this y and x are how far each point lies beyond the pixel above and left of it.
        self._split(y, self.height, row)
        self._split(x, self.width, column)
        # Pixels of a block are few enough for float32 to count them exactly.
        row *= self.width
        row += column
        row += self._first[:count]
        np.copyto(index, row, casting="unsafe")
        to_right, to_below = int(self.width > 1), self.width * int(self.height > 1)
        top, bottom, far, plane = (
            array[:count] for array in (self._top, self._bottom, self._far, self._plane)
        )
        for channel in range(self.channels):
            plane[...] = images[..., channel]
            pixels = plane.reshape(-1)
            for offset, upper in ((0, top), (to_below, bottom)):
                # The offset goes into where the array begins, so one index serves all four.
                np.take(pixels[offset:], index, out=upper, mode="clip")
                np.take(pixels[offset + to_right :], index, out=far, mode="clip")
                far -= upper
                far *= x
                upper += far
            bottom -= top
            bottom *= y
            np.add(top, bottom, out=out[..., channel])

    @staticmethod
    def _split(position: NDArray[np.float32], length: int, pixel: NDArray[np.float32]) -> None:
        # Positions relative to the centre become a pixel and the distance beyond it. The last
        # pixel is reached as distance 1 from the one before, so that a neighbour always exists.
        position += (length - 1) / 2
        np.clip(position, 0, length - 1, out=position)
        np.floor(position, out=pixel)
        np.minimum(pixel, max(length - 2, 0), out=pixel)
        position -= pixel


class Brightness(Step):
    """Multiply every pixel by one factor an image."""

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        """Each image's factor, between 1 - amount and 1 + amount."""
        return (rng.uniform(1 - self.amount, 1 + self.amount, count).astype(np.float32),)

    def change(self, images: Images, *parameters: NDArray[Any]) -> Images:
        """Brighten or darken the images."""
        (factor,) = parameters
        out = self._floats(images)
        out *= factor[:, None, None, None]
        return out


class Contrast(Brightness):
    """Multiply every pixel's distance from the image's mean by one factor an image."""

    def change(self, images: Images, *parameters: NDArray[Any]) -> Images:
        """Strengthen or weaken the images' contrast."""
        (factor,) = parameters
        out = self._floats(images)
        mean = np.add.reduce(out.reshape(len(out), -1), axis=1) / np.float32(out[0].size)
        out *= factor[:, None, None, None]
        out += (mean * (1 - factor))[:, None, None, None]
        return out


class Noise(Step):
    """Add Gaussian noise to every pixel; the standard deviation is a share of 255.

    A draw picks one of 65,536 equally likely quantiles of the normal distribution (none lies
    beyond 4.4 standard deviations), which is several times quicker than exact normal numbers.
    """

    def __init__(self, amount: float, image_shape: ImageShape) -> None:
        super().__init__(amount, image_shape)
        inverse = NormalDist().inv_cdf
        quantiles = np.array([inverse((step + 0.5) / QUANTILES) for step in range(QUANTILES)])
        self._noise = (quantiles * (255 * amount / quantiles.std())).astype(np.float32)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        """The noise itself, (count, H, W, C)."""
        noise = self._work(
            "noise", (count, self.height, self.width, self.channels), np.dtype(np.float32)
        )
        flat = noise.reshape(-1)
        for start in range(0, len(flat), BLOCK_PIXELS):
            block = flat[start : start + BLOCK_PIXELS]
            # Whole 64-bit numbers are the generator's cheapest; each gives four steps.
            bits = rng.integers(0, 2**64 - 1, -(-len(block) // 4), np.uint64, endpoint=True)
            np.take(self._noise, bits.view(np.uint16)[: len(block)], out=block, mode="clip")
        return (noise,)

    def change(self, images: Images, *parameters: NDArray[Any]) -> Images:
        """Add the noise."""
        out = self._floats(images)
        out += parameters[0]
        return out


class Cutout(Step):
    """Cover a square with the image's mean colour (DeVries and Taylor 2017, arXiv:1708.04552).

    Its centre may be any pixel, so that part of the square can lie outside the image.
    """

    def __init__(self, amount: float, image_shape: ImageShape) -> None:
        super().__init__(amount, image_shape)
        side = int(amount)
        self._across = np.arange(side) - side // 2

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        """The row and the column of each square's centre."""
        return rng.integers(0, self.height, count), rng.integers(0, self.width, count)

    def change(self, images: Images, *parameters: NDArray[Any]) -> Images:
        """Cover the squares."""
        row, column = parameters
        count = len(images)
        out = images
        if images.dtype != np.float32:
            out = self._work("out", images.shape, images.dtype)
            np.copyto(out, images)
        # Columns first: a sum over rows and columns at once goes channel by channel, slowly.
        lines = images.reshape(count, self.height, self.width * self.channels)
        colour = np.add.reduce(lines, axis=1, dtype=np.float32)
        colour = np.add.reduce(colour.reshape(count, self.width, self.channels), axis=1)
        colour /= self.height * self.width
        if images.dtype != np.float32:
            np.rint(colour, out=colour)
        # What lies outside falls on the edge's pixels, which the square covers anyway.
        rows = np.clip(row[:, None] + self._across, 0, self.height - 1)
        columns = np.clip(column[:, None] + self._across, 0, self.width - 1)
        image = np.arange(count)[:, None, None]
        out[image, rows[:, :, None], columns[:, None, :]] = colour[:, None, None, :]
        return out
