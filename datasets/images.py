"""From the bytes of one image file to an array, the way people see the picture.

Turned upright as its EXIF data say; palettes become colours; what is transparent shows white;
16 bits a channel become 8; of an animation the first frame counts. Grey pictures become RGB with
three equal channels, unless grey is wanted.
"""

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# A few kilobytes can claim gigabytes of pixels; no photograph to learn from is larger than this.
MAX_PIXELS = 50_000_000
ORIENTATION = 0x0112
SIXTEEN_BITS = 65535
# How --size brings a picture to its size: the whole picture is kept, its proportions are not.
RESAMPLING = Image.Resampling.BICUBIC


class BadImageError(Exception):
    """An image that cannot be read; the message is the reason, a few words."""


def decode_image(data: bytes, size: tuple[int, int] | None, gray: bool) -> NDArray[np.uint8]:
    """Decode the content of an image file.

    Args:
        data: the file's bytes.
        size: (height, width) to resize to; None keeps the picture's own.
        gray: one channel by ITU-R 601 luma instead of RGB.

    Returns:
        (H, W, 3) uint8, or (H, W, 1) if `gray`.

    Raises:
        BadImageError: not an image, damaged, or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = _upright(_load(data))
            picture = _flat(picture, "L" if gray else "RGB")
            if size is not None and picture.size != (size[1], size[0]):
                picture = picture.resize((size[1], size[0]), RESAMPLING)
    except BadImageError:
        raise
    except UnidentifiedImageError as error:
        raise BadImageError("not an image of a known format") from error
    except Image.DecompressionBombError as error:
        raise BadImageError(f"more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:
        # Pillow's readers raise whatever their parsers stumble over: OSError, SyntaxError,
        # struct.error, IndexError, ... All of them mean the same.
        raise BadImageError(str(error).split("\n", maxsplit=1)[0] or "damaged") from error
    pixels = np.asarray(picture, np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def resize_images(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (N, H, W, C) images to (height, width), one by one."""
    if images.shape[1:3] == size:
        return images
    resized = np.empty((len(images), *size, images.shape[3]), np.uint8)
    for source, target in zip(images, resized, strict=True):
        for channel in range(source.shape[2]):
            picture = Image.fromarray(np.ascontiguousarray(source[..., channel]))
            target[..., channel] = np.asarray(picture.resize((size[1], size[0]), RESAMPLING))
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


def _load(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data), formats=FORMATS)
    if picture.width * picture.height > MAX_PIXELS:
        raise BadImageError(f"{picture.width} x {picture.height} pixels, more than {MAX_PIXELS:,}")
    picture.load()
    return picture


def _upright(picture: Image.Image) -> Image.Image:
    if picture.getexif().get(ORIENTATION, 1) == 1:
        return picture
    return ImageOps.exif_transpose(picture)


def _flat(picture: Image.Image, mode: str) -> Image.Image:
    """Bring any mode to L or RGB."""
    if picture.mode.startswith("I"):
        picture = _eight_bits(picture)
    if picture.mode == "F":
        raise BadImageError("floating-point pixels have no known range")
    if picture.has_transparency_data:
        colours = picture.convert("RGBA")
        picture = Image.new("RGBA", picture.size, "white")
        picture.alpha_composite(colours)
    elif picture.mode == "P":
        picture = picture.convert("RGB")
    return picture if picture.mode == mode else picture.convert("RGB").convert(mode)


def _eight_bits(picture: Image.Image) -> Image.Image:
    values: NDArray[Any] = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > SIXTEEN_BITS:
        raise BadImageError("pixels of more than 16 bits")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
