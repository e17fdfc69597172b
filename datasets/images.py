"""From the bytes of one image file to an array, the way people see the picture.

Turned upright as its EXIF data say; palettes become colours; what is transparent shows white;
16 bits a channel become 8; of an animation the first frame counts. Grey pictures become RGB with
three equal channels, unless grey is wanted. A picture's size is looked at before its pixels are.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

# What Pillow has to say about a damaged file comes as an exception, too.
logging.getLogger("PIL").addHandler(logging.NullHandler())

SUFFIXES = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# A few kilobytes can claim gigabytes of pixels; no photograph to learn from is larger than this.
MAX_PIXELS = 50_000_000
ORIENTATION = 0x0112
# Where the different formats keep EXIF and XMP data, which may say how a picture is turned.
METADATA = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
SIXTEEN_BITS = 65535
# A JPEG file that is much larger than needed is decoded at 1/2, 1/4 or 1/8 of its size, as long as
# each side keeps so many times what is needed.
SPARE = 3

# How a picture looked at first is judged by so many of its pixels.
SAMPLE = (64, 64)
# A pixel whose channels differ by more than this is seen as coloured.
CLEARLY_COLOURED = 40

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
FITS = {
    "stretch": "the whole picture; its proportions change",
    "crop": "the largest part in the middle that has the proportions",
    "pad": "the whole picture in its proportions, between black bars",
}
# What may be worth telling about a picture.
REMARKS = {
    "turned": "turned upright as their EXIF data say",
    "transparent": "partly transparent: shown on white",
    "animated": "of several frames: the first was taken",
    "deep": "of 16 bits a channel: scaled to 8",
    "cmyk": "of printing inks (CMYK): converted to RGB",
    "misnamed": "in another format than their names say",
}
SUFFIX_OF = {
    "BMP": (".bmp",), "GIF": (".gif",), "JPEG": (".jpeg", ".jpg"), "MPO": (".jpeg", ".jpg"),
    "PNG": (".png",), "PPM": (".pbm", ".pgm", ".pnm", ".ppm"), "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}  # fmt: skip


@dataclass(frozen=True)
class Rendering:
    """How pictures become arrays.

    Attributes:
        size: (height, width) to bring them to; None keeps their own.
        gray: one channel (ITU-R 601 luma) instead of RGB.
        fit: a key of `FITS`: what becomes of other proportions.
        filter: a key of `FILTERS`: how pixels are resampled.
    """

    size: tuple[int, int] | None = None
    gray: bool = False
    fit: str = "stretch"
    filter: str = "bicubic"

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 1 if self.gray else 3

    @classmethod
    def like(cls, image_shape: tuple[int, int, int], config: Mapping[str, Any]) -> "Rendering":
        """Return how the images of a run were made: of this (H, W, C), and as its config says."""
        height, width, channels = image_shape
        fit, resampling = config.get("image_fit"), config.get("image_filter")
        return cls(
            (height, width),
            channels == 1,
            fit if fit in FITS else cls.fit,
            resampling if resampling in FILTERS else cls.filter,
        )


class BadImageError(Exception):
    """An image that cannot be read; the message is the reason, a few words."""


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
    with _one_error():
        _, _, picture, remarks = _decoded(data, rendering, name)
        return _array(picture, rendering), remarks


def render_described(data: bytes, rendering: Rendering, name: str = "") -> Rendered:
    """Decode the content of an image file, and say what the picture was.

    Args:
        data: the file's bytes.
        rendering: what to make of it.
        name: of the file; its suffix is compared with the content.

    Raises:
        BadImageError: not an image, damaged, or too large.
    """
    with _one_error():
        opened, (width, height), picture, remarks = _decoded(data, rendering, name)
        transparent, colourful = _shares(picture)
        return Rendered(
            pixels=_array(picture, rendering),
            remarks=remarks,
            height=height,
            width=width,
            frames=int(getattr(opened, "n_frames", 1)) if "animated" in remarks else 1,
            transparent=transparent,
            colourful=colourful,
        )


@contextlib.contextmanager
def _one_error() -> Iterator[None]:
    """Turn whatever a damaged image makes its reader raise into `BadImageError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BadImageError:
        raise
    except UnidentifiedImageError as error:
        raise BadImageError("not an image of a known format") from error
    except Image.DecompressionBombError as error:
        raise BadImageError(f"more than {MAX_PIXELS:,} pixels") from error
    except MemoryError as error:
        raise BadImageError("it takes more memory than there is") from error
    except Exception as error:
        # Pillow's readers raise whatever their parsers stumble over: OSError, SyntaxError,
        # struct.error, IndexError, ... All of them mean the same.
        raise BadImageError(str(error).split("\n", maxsplit=1)[0] or "damaged") from error


def _decoded(
    data: bytes, rendering: Rendering, name: str
) -> tuple[Image.Image, tuple[int, int], Image.Image, tuple[str, ...]]:
    """Return the file's image, the upright picture's size and the picture, and remarks."""
    opened, (width, height) = _load(data, rendering)
    remarks = []
    if name and not name.lower().endswith(SUFFIX_OF[str(opened.format)]):
        remarks.append("misnamed")
    if opened.format != "MPO" and getattr(opened, "is_animated", False):
        remarks.append("animated")
    if opened.mode == "CMYK":
        remarks.append("cmyk")
    picture = _upright(opened)
    if picture is not opened:
        remarks.append("turned")
        if picture.size == opened.size[::-1]:
            width, height = height, width
    if picture.mode.startswith("I"):
        picture = _eight_bits(picture)
        remarks.append("deep")
    if picture.has_transparency_data:
        remarks.append("transparent")
    return opened, (width, height), picture, tuple(remarks)


def _array(picture: Image.Image, rendering: Rendering) -> NDArray[np.uint8]:
    flat = resize(_flat(picture, "L" if rendering.gray else "RGB"), rendering)
    pixels = np.asarray(flat, np.uint8)
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


def resize(picture: Image.Image, rendering: Rendering) -> Image.Image:
    """Bring a picture to the size of a rendering, if it has one."""
    if rendering.size is None or picture.size == rendering.size[::-1]:
        return picture
    height, width = rendering.size
    resampling = FILTERS[rendering.filter]
    factors = picture.width / width, picture.height / height
    if rendering.fit == "crop":
        across, down = min(factors) * width, min(factors) * height
        left, top = (picture.width - across) / 2, (picture.height - down) / 2
        box = (left, top, left + across, top + down)
        return picture.resize((width, height), resampling, box)
    if rendering.fit == "pad":
        across = min(width, max(1, round(picture.width / max(factors))))
        down = min(height, max(1, round(picture.height / max(factors))))
        padded = Image.new(picture.mode, (width, height))
        whole = picture.resize((across, down), resampling)
        padded.paste(whole, ((width - across) // 2, (height - down) // 2))
        return padded
    return picture.resize((width, height), resampling)


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


def _load(data: bytes, rendering: Rendering) -> tuple[Image.Image, tuple[int, int]]:
    """Return the picture, perhaps decoded at less than its size, and its (width, height)."""
    picture = Image.open(io.BytesIO(data), formats=FORMATS)
    if picture.width * picture.height > MAX_PIXELS:
        raise BadImageError(f"{picture.width} x {picture.height} pixels, more than {MAX_PIXELS:,}")
    size = picture.size
    if rendering.size is not None:
        side = SPARE * max(rendering.size)
        picture.draft(None, (side, side))
    picture.load()
    return picture, size


def _upright(picture: Image.Image) -> Image.Image:
    has_metadata = picture.format == "TIFF" or any(key in picture.info for key in METADATA)
    if not has_metadata or picture.getexif().get(ORIENTATION, 1) == 1:
        return picture
    return ImageOps.exif_transpose(picture)


def _flat(picture: Image.Image, mode: str) -> Image.Image:
    """Bring any mode of at most 8 bits to L or RGB."""
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
    values: NDArray[Any] = np.asarray(picture)
    if values.min() < 0 or values.max() > SIXTEEN_BITS:
        raise BadImageError("pixels of more than 16 bits")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
