"""Drawing with Pillow: tiles with a caption, put side by side on a sheet."""

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nnlab.atomic import write_bytes

RIGHT, WRONG, INK, PAPER, FAINT = "#1a7f37", "#c62828", "#222222", "#ffffff", "#8a8a8a"
TILE = 112  # pixels of a tile's longer side on the sheet, about
GAP = 10
FRAME = 4
CAPTION = 15


@functools.cache
def font(size: int = 12) -> Any:
    """Return Pillow's own font, so that a sheet looks the same on every machine."""
    return ImageFont.load_default(size)


@dataclass(frozen=True)
class Tile:
    """One picture on a sheet.

    Attributes:
        pixels: (H, W), (H, W, 1) or (H, W, 3) uint8; None for an empty place.
        caption: lines of text under it.
        frame: a colour, or None.
    """

    pixels: NDArray[np.uint8] | None
    caption: Sequence[str] = ()
    frame: str | None = None


def enlarged(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return an image enlarged without smoothing, so that every pixel can be seen."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    factor = max(1, TILE // max(image.size))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def sheet(title: str, rows: Sequence[Sequence[Tile]], notes: Sequence[str] = ()) -> Image.Image:
    """Lay tiles out in rows under a title.

    Args:
        title: above everything.
        rows: the tiles; a row may be shorter than others.
        notes: lines of text between the title and the tiles.
    """
    pictures = [[tile.pixels is not None and enlarged(tile.pixels) for tile in row] for row in rows]
    sizes = [picture.size for row in pictures for picture in row if picture]
    wide = max(width for width, _ in sizes) + 2 * FRAME
    high = max(height for _, height in sizes) + 2 * FRAME
    columns = max(len(row) for row in rows)
    top = GAP + 24 + 17 * len(notes) + GAP
    heights = [
        high + CAPTION * max((len(tile.caption) for tile in row), default=0) + GAP for row in rows
    ]
    text_width = max([font(16).getlength(title), *(font(12).getlength(note) for note in notes)])
    width = max(GAP + columns * (wide + GAP), int(text_width) + 2 * GAP)
    page = Image.new("RGB", (width, top + sum(heights)), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, GAP), title, INK, font(16))
    for number, note in enumerate(notes):
        draw.text((GAP, GAP + 24 + 17 * number), note, INK, font(12))
    y = top
    for row, drawn, height in zip(rows, pictures, heights, strict=True):
        for column, (tile, picture) in enumerate(zip(row, drawn, strict=True)):
            if not picture:
                continue
            x = GAP + column * (wide + GAP)
            if tile.frame is not None:
                corner = (x + picture.width + 2 * FRAME - 1, y + picture.height + 2 * FRAME - 1)
                draw.rectangle((x, y, *corner), outline=tile.frame, width=FRAME)
            page.paste(picture, (x + FRAME, y + FRAME))
            for line, text in enumerate(tile.caption):
                place = (x, y + picture.height + 2 * FRAME + 1 + CAPTION * line)
                draw.text(place, _fitted(text, wide), tile.frame or INK, font(12))
        y += height
    return page


def _fitted(text: str, width: float) -> str:
    while text and font(12).getlength(text) > width:
        text = text[:-2].rstrip("…") + "…" if len(text) > 2 else ""
    return text


def short(number: float) -> str:
    """Write a distance: whole where it is large, four digits where it is small."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a PNG file, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    write_bytes(path, buffer.getvalue())
