"""Image files and arrays of images as arrays of one size and so many channels.

How a file becomes a picture is said in `nnlab.datasets.rendering`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nnlab.datasets.rendering import Rendering, flatten, one_error, open_picture, resize, silent

# How a picture looked at first is judged by so many of its pixels.
SAMPLE = (64, 64)
# A pixel whose channels differ by more than this is seen as coloured.
CLEARLY_COLOURED = 40


@dataclass(frozen=True)
class Rendered:
    """An image file as an array, and what the picture was before.

    Attributes:
        pixels: (H, W, C) uint8.
        remarks: keys of `REMARKS`.
        height, width: of the picture, turned upright.
        frames: more than 1 for an animation.
        transparent: the share of pixels that let more than half through.
        colourful: the share of pixels that are clearly not grey.
    """

    pixels: NDArray[np.uint8]
    remarks: tuple[str, ...]
    height: int
    width: int
    frames: int
    transparent: float
    colourful: float


def decode_image(data: bytes, size: tuple[int, int] | None, gray: bool) -> NDArray[np.uint8]:
    """Decode the content of an image file; see `render`.

    Args:
        data: the file's bytes.
        size: (height, width) to resize to; None keeps the picture's own.
        gray: one channel by ITU-R 601 luma instead of RGB.

    Returns:
        (H, W, 3) uint8, or (H, W, 1) if `gray`.

    Raises:
        BadImageError: not an image, damaged, or too large.
    """
    return render(data, Rendering(size, gray))[0]


def render(
    data: bytes, rendering: Rendering, name: str = ""
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Decode the content of an image file; see `render_described`.

    Returns:
        (H, W, C) uint8, and keys of `REMARKS`.

    Raises:
        BadImageError: not an image, damaged, or too large.
    """
    with silent(), one_error():
        opened = open_picture(data, rendering, name)
        return _array(opened.picture, rendering), opened.remarks


def render_described(data: bytes, rendering: Rendering, name: str = "") -> Rendered:
    """Decode the content of an image file, and say what the picture was.

    Args:
        data: the file's bytes.
        rendering: what to make of it.
        name: of the file; its suffix is compared with the content.

    Raises:
        BadImageError: not an image, damaged, or too large.
    """
    with silent(), one_error():
        opened = open_picture(data, rendering, name)
        transparent, colourful = _shares(opened.picture)
        frames = getattr(opened.file, "n_frames", 1) if "animated" in opened.remarks else 1
        return Rendered(
            pixels=_array(opened.picture, rendering),
            remarks=opened.remarks,
            height=opened.size[1],
            width=opened.size[0],
            frames=int(frames),
            transparent=transparent,
            colourful=colourful,
        )


def _array(picture: Image.Image, rendering: Rendering) -> NDArray[np.uint8]:
    pixels = np.asarray(flatten(picture, rendering), np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _shares(picture: Image.Image) -> tuple[float, float]:
    """Return the shares of transparent and of coloured pixels, of a few looked at."""
    if picture.mode in {"1", "L", "F"} and not picture.has_transparency_data:
        return 0.0, 0.0
    few = picture.resize(SAMPLE, Image.Resampling.NEAREST)
    if not few.has_transparency_data:
        few = few.convert("RGB")  # not every mode knows the way to RGBA
    values = np.asarray(few.convert("RGBA")).astype(np.int64)
    seen = values[..., 3] >= 128
    coloured = np.ptp(values[..., :3], axis=2) > CLEARLY_COLOURED
    return float(1 - seen.mean()), float((coloured & seen).mean())


def render_arrays(images: NDArray[np.uint8], rendering: Rendering) -> NDArray[np.uint8]:
    """Bring (N, H, W, C) images to the channels and the size of a rendering."""
    if rendering.gray:
        images = gray_images(images)
    if rendering.size is None or images.shape[1:3] == rendering.size:
        return images
    resized = np.empty((len(images), *rendering.size, images.shape[3]), np.uint8)
    for source, target in zip(images, resized, strict=True):
        plane = source[..., 0] if source.shape[2] == 1 else source
        picture = Image.fromarray(np.ascontiguousarray(plane))
        target[...] = np.asarray(resize(picture, rendering)).reshape(target.shape)
    return resized


def gray_images(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn (N, H, W, 3) into (N, H, W, 1) by the luma of ITU-R 601, rounded as Pillow does."""
    if images.shape[3] == 1:
        return images
    gray = np.empty((*images.shape[:3], 1), np.uint8)
    for source, target in zip(images, gray, strict=True):
        weighted = source.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
        target[..., 0] = (weighted + 0x8000) >> 16
    return gray
