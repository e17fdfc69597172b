"""From the bytes of one image file to a picture, the way people see it.

Turned upright as its EXIF data say; palettes become colours; what is transparent shows white;
16 bits a channel become 8; of an animation the first frame counts. Grey pictures become RGB with
three equal channels, unless grey is wanted. A picture's size is looked at before its pixels are.

NumPy is loaded for the rare pictures that need it: processes that decode begin sooner without.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
class Opened:
    """An image file whose pixels are known, as it is and as it is seen.

    Attributes:
        file: what Pillow opened.
        size: (width, height) of the picture, turned upright.
        picture: turned upright, of at most 8 bits, in the mode of the file.
        remarks: keys of `REMARKS`.
    """

    file: Image.Image
    size: tuple[int, int]
    picture: Image.Image
    remarks: tuple[str, ...]


def open_picture(data: bytes, rendering: Rendering, name: str = "") -> Opened:
    """Decode the content of an image file.

    Args:
        data: the file's bytes.
        rendering: what is to be made of it: less than the whole size may do.
        name: of the file; its suffix is compared with the content.

    Raises:
        Exception: whatever Pillow raises; see `one_error`.
    """
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
    return Opened(opened, (width, height), picture, tuple(remarks))


def flatten(picture: Image.Image, rendering: Rendering) -> Image.Image:
    """Bring an upright picture to the channels and the size of a rendering."""
    return resize(_flat(picture, "L" if rendering.gray else "RGB"), rendering)


def render_bytes(
    data: bytes, rendering: Rendering, name: str = ""
) -> tuple[bytes, tuple[int, int, int], tuple[str, ...]]:
    """Decode the content of an image file to the bytes of its pixels.

    Args:
        data: the file's bytes.
        rendering: what to make of it.
        name: of the file; its suffix is compared with the content.

    Returns:
        H x W x C bytes, (H, W, C), and keys of `REMARKS`.

    Raises:
        BadImageError: not an image, damaged, or too large.
    """
    with one_error():
        opened = open_picture(data, rendering, name)
        flat = flatten(opened.picture, rendering)
        return flat.tobytes(), (flat.height, flat.width, rendering.channels), opened.remarks


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep Pillow's warnings of odd files to itself; whoever decodes many enters it once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def one_error() -> Iterator[None]:
    """Turn whatever a damaged image makes its reader raise into `BadImageError`."""
    try:
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
    import numpy as np

    values: Any = np.asarray(picture)
    if values.min() < 0 or values.max() > SIXTEEN_BITS:
        raise BadImageError("pixels of more than 16 bits")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
