"""An image as a tensor: its pixel matrices, the flattened row, what standardization makes of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnlab.training.standardization import Standardization

Floats = NDArray[np.float64]
# So many rows and columns of the pixel matrices, and numbers of the flattened row, are written out.
WINDOW = 8
HEAD = 12
CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}
FORMULAS = {
    "none": "x = pixel / 255",
    "mean_image": "x = pixel / 255 - mean of the training images at that place and channel",
    "channel": "x = (pixel / 255 - mean of its channel) / standard deviation of its channel",
    "pixel": "x = (pixel / 255 - mean at its place) / standard deviation at its place",
    "zca": "x = (pixel / 255, standardized by channel, minus the mean) times the whitening matrix",
}


@dataclass(frozen=True)
class ChannelWindow:
    """A part of one channel's pixel matrix.

    Attributes:
        name: of the channel.
        mean: of the whole channel.
        values: (rows, columns) uint8.
    """

    name: str
    mean: float
    values: NDArray[np.uint8]


@dataclass(frozen=True)
class TensorPart:
    """An image as numbers.

    Attributes:
        pixels: (H, W, C) uint8.
        shape: (H, W, C).
        minimum, maximum, mean: of the pixels.
        row, column: where the windows begin: the corner, or the middle where the corner is of
            one colour.
        windows: the same part of each channel's matrix.
        length: H * W * C, the length of the flattened row.
        head: its numbers from the first pixel of the windows on.
        head_start: the place of the first of them, ``(row * W + column) * C``.
    """

    pixels: NDArray[np.uint8]
    shape: tuple[int, int, int]
    minimum: int
    maximum: int
    mean: float
    row: int
    column: int
    windows: list[ChannelWindow]
    length: int
    head: NDArray[np.uint8]
    head_start: int


@dataclass(frozen=True)
class StandardizedPart:
    """The flattened image as the network takes it.

    Attributes:
        kind: a name in `nnlab.training.standardization.STANDARDIZATIONS`.
        formula: what was done, in one line.
        values: (D,).
        minimum, maximum, mean, deviation: of the values.
        head: those at the places of `TensorPart.head`.
    """

    kind: str
    formula: str
    values: Floats
    minimum: float
    maximum: float
    mean: float
    deviation: float
    head: Floats


def tensor_part(pixels: NDArray[np.uint8]) -> TensorPart:
    """Describe an image (H, W, C), uint8."""
    height, width, channels = pixels.shape
    rows, columns = min(WINDOW, height), min(WINDOW, width)
    corner = pixels[:rows, :columns]
    row = column = 0
    if (corner == corner[0, 0]).all():
        row, column = (height - rows) // 2, (width - columns) // 2
    names = CHANNELS.get(channels) or tuple(f"channel {number}" for number in range(channels))
    start = (row * width + column) * channels
    flat = pixels.reshape(-1)
    return TensorPart(
        pixels=pixels,
        shape=(height, width, channels),
        minimum=int(pixels.min()),
        maximum=int(pixels.max()),
        mean=float(pixels.mean(dtype=np.float64)),
        row=row,
        column=column,
        windows=[
            ChannelWindow(
                name,
                float(pixels[:, :, channel].mean(dtype=np.float64)),
                pixels[row : row + rows, column : column + columns, channel],
            )
            for channel, name in enumerate(names)
        ],
        length=flat.size,
        head=flat[start : start + HEAD],
        head_start=start,
    )


def standardized_part(tensor: TensorPart, standardization: Standardization) -> StandardizedPart:
    """Standardize a flattened image as a run does, in float64."""
    apply = standardization.applier(np.float64)
    values = apply(tensor.pixels.reshape(1, -1), np.empty((1, tensor.length)))[0]
    return StandardizedPart(
        kind=standardization.kind,
        formula=FORMULAS[standardization.kind],
        values=values,
        minimum=float(values.min()),
        maximum=float(values.max()),
        mean=float(values.mean()),
        deviation=float(values.std()),
        head=values[tensor.head_start : tensor.head_start + HEAD],
    )
