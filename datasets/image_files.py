"""Image files as a trained model takes them: named one by one, as folders, or piped in."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.images import Rendered, render_described
from nnlab.datasets.known import known_cards
from nnlab.datasets.rendering import SUFFIXES, BadImageError, Rendering
from nnlab.errors import InputError

STANDARD_INPUT = "-"
MAX_BYTES = 256 * 2**20
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# HDF5 begins with the first; nnlab's run files have a line before it.
NO_IMAGES = (b"\x89HDF\r\n\x1a\n", b"nnlab run ")

# From here on a change of size, proportions or colours makes another picture of it.
MUCH_SMALLER, MUCH_LARGER, SQUEEZED, SOME = 8.0, 2.0, 1.3, 0.05

CHANGES = {
    "smaller": "is made much smaller, so that details are lost",
    "larger": "is made much larger, so that it is blurred",
    "squeezed": "is squeezed out of proportion",
    "gray": "has colours, which the model does not see",
    "no_colours": "is grey, and the model was trained on colours",
    "transparent": "is partly transparent, which shows white",
    "first_frame": "is an animation, of which the first frame counts",
}


@dataclass(frozen=True)
class ImageSource:
    """An image to be read: a file, or bytes that are already here."""

    name: str
    path: Path | None = None
    content: bytes = b""

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            InputError: the file cannot be read, or is far too large for an image.
        """
        if self.path is None:
            return self.content
        try:
            if self.path.stat().st_size > MAX_BYTES:
                raise InputError(f"{self.name} is larger than {MAX_BYTES / 2**20:.0f} MiB.")
            return self.path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {error.strerror or error}.") from error


@dataclass(frozen=True)
class Change:
    """Something that was done to a picture and matters: a key of `CHANGES`, and numbers to it."""

    kind: str
    detail: str = ""

    def in_words(self) -> str:
        """Say it of one picture."""
        return CHANGES[self.kind] + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class FittedImage:
    """An image as the model takes it.

    Attributes:
        name: of its source.
        pixels: (H, W, C) uint8.
        changes: what changed it much.
    """

    name: str
    pixels: NDArray[np.uint8]
    changes: list[Change]


def find_images(names: Iterable[str], standard_input: Callable[[], bytes]) -> list[ImageSource]:
    """Return the images that are meant: files, all images of a folder by name, ``-``.

    Args:
        names: paths, or ``-`` for the bytes of one image from standard input.
        standard_input: reads those.

    Raises:
        InputError: a path that does not exist, a folder without images, a URL, or the name of a
            data set.
    """
    found: list[ImageSource] = []
    piped = False
    for name in names:
        path = Path(name)
        if name == STANDARD_INPUT:
            if piped:
                raise InputError("standard input can be read once; name - once.")
            piped = True
            found.append(ImageSource(name, content=_checked(standard_input())))
        elif URL.match(name):
            raise InputError(
                f"{name} is an address, not a file. Fetch it first, or for the images of "
                "a known data set use nnlab download NAME and nnlab eval RUN NAME."
            )
        elif path.is_dir():
            found += _inside(path)
        elif path.is_file():
            found.append(ImageSource(name, path))
        elif path.exists():
            raise InputError(f"{path} is no regular file.")
        elif name in known_cards():
            raise InputError(
                f"{name} is a data set, not an image; nnlab eval RUN {name} classifies its images."
            )
        else:
            raise InputError(f"{path} does not exist.")
    return found


def _inside(folder: Path) -> list[ImageSource]:
    inside = sorted(
        entry for entry in folder.rglob("*") if entry.suffix.lower() in SUFFIXES and entry.is_file()
    )
    if not inside:
        raise InputError(f"{folder} holds no images ({', '.join(SUFFIXES)}).")
    return [ImageSource(str(path), path) for path in inside]


def _checked(content: bytes) -> bytes:
    if not content:
        raise InputError("standard input is empty; pipe the bytes of one image into it.")
    if len(content) > MAX_BYTES:
        raise InputError(f"standard input holds more than {MAX_BYTES / 2**20:.0f} MiB.")
    return content


def fit_image(
    source: ImageSource, image_shape: tuple[int, int, int], config: Mapping[str, Any]
) -> FittedImage:
    """Read an image and bring it to a shape, as the images of a run were.

    Args:
        source: the image.
        image_shape: (H, W, C) to bring it to; grey for C = 1.
        config: of the run.

    Raises:
        InputError: it cannot be read or is no image.
    """
    content = source.read()
    if content.startswith(NO_IMAGES):
        raise InputError(
            f"{source.name} is an HDF5 file, not an image; nnlab eval RUN DATA classifies the "
            "images of a data file."
        )
    try:
        rendering = Rendering.like(image_shape, config)
        rendered = render_described(content, rendering)
    except BadImageError as error:
        raise InputError(f"{_shown(source.name)} cannot be decoded: {error}.") from error
    return FittedImage(source.name, rendered.pixels, _changes(rendered, rendering))


def _shown(name: str) -> str:
    return "standard input" if name == STANDARD_INPUT else name


def _changes(original: Rendered, rendering: Rendering) -> list[Change]:
    height, width = rendering.size or (original.height, original.width)
    channels, changes = rendering.channels, []
    sizes = f"{original.height} x {original.width} to {height} x {width}"
    factors = (original.height / height, original.width / width)
    if max(factors) > MUCH_SMALLER:
        changes.append(Change("smaller", sizes))
    elif min(factors) < 1 / MUCH_LARGER:
        changes.append(Change("larger", sizes))
    if rendering.fit == "stretch" and max(factors) / min(factors) > SQUEEZED:
        changes.append(Change("squeezed", sizes))
    if channels == 1 and original.colourful > SOME:
        changes.append(Change("gray"))
    if channels == 3 and original.colourful == 0:
        changes.append(Change("no_colours"))
    if original.transparent > SOME:
        changes.append(Change("transparent", f"{100 * original.transparent:.0f} % of it"))
    if original.frames > 1:
        changes.append(Change("first_frame", f"{original.frames} frames"))
    return changes


def changes_in_words(images: Iterable[FittedImage]) -> list[str]:
    """Say in one line a kind of change how many images it befell, and name the first."""
    found: dict[str, list[tuple[str, Change]]] = {}
    for image in images:
        for change in image.changes:
            found.setdefault(change.kind, []).append((image.name, change))
    lines = []
    for befallen in found.values():
        name, change = befallen[0]
        others = f"; {len(befallen) - 1:,} more likewise" if len(befallen) > 1 else ""
        lines.append(f"{_shown(name)} {change.in_words()}{others}")
    return lines
