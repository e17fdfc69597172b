"""Arrays as pictures on a page: PNG inside the page, shown without blur; heat maps."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
# What speaks for is blue, what speaks against is orange: told apart by colour-blind readers too.
FOR, AGAINST, NEUTRAL = (33, 102, 172), (217, 95, 2), (247, 247, 247)
# Under a heat map an image is so bright at least; colours on black would all look alike.
PALE = 168
# A picture is stored at no fewer pixels than this: some programs blur what they enlarge.
SHORTEST_SIDE = 112


def picture(pixels: Pixels, alt: str, width: int | None = None) -> Any:
    """Return an ``<img>`` of an image, its pixels kept as squares.

    Args:
        pixels: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) uint8.
        alt: what it shows, in words; read out where the picture cannot be seen.
        width: how wide it is shown, in CSS pixels; by default as its place allows.
    """
    from markupsafe import Markup
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    factor = -(-SHORTEST_SIDE // min(image.size))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    size = Markup(' style="width:{}px"').format(width) if width else ""
    return Markup(
        '<img class="pixels" src="data:image/png;base64,{}" width="{}" height="{}"{} alt="{}">'
    ).format(encoded, image.width, image.height, size, alt)


def stretched(values: NDArray[Any]) -> Pixels:
    """Return values (H, W) or (H, W, C) as uint8: the smallest black, the largest white."""
    low, high = float(values.min()), float(values.max())
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.rint((values - low) * scale).astype(np.uint8)


def heat(values: NDArray[Any], limit: float | None = None) -> Pixels:
    """Return signed values (H, W) as colours (H, W, 3): blue above 0, orange below, white at 0.

    Args:
        values: finite numbers.
        limit: the size that gets the full colour; by default that of the largest.
    """
    strength, colour = _strength_and_colour(values, limit)
    return _mixed(np.broadcast_to(np.array(NEUTRAL, float), colour.shape), colour, strength)


def overlaid(image: Pixels, values: NDArray[Any], limit: float | None = None) -> Pixels:
    """Lay signed values (H, W) as colours over a pale grey image (H, W, C); see `heat`."""
    strength, colour = _strength_and_colour(values, limit)
    grey = image.reshape(*values.shape, -1).mean(axis=2, keepdims=True)
    return _mixed(np.repeat(PALE + grey * ((252 - PALE) / 255), 3, axis=2), colour, strength)


def _strength_and_colour(
    values: NDArray[Any], limit: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    size = float(np.abs(values).max()) if limit is None else limit
    strength = np.clip(np.abs(values) / size, 0, 1) if size > 0 else np.zeros(values.shape)
    colour = np.where((values >= 0)[..., None], np.array(FOR, float), np.array(AGAINST, float))
    return strength[..., None], colour


def _mixed(below: NDArray[Any], above: NDArray[Any], share: NDArray[np.float64]) -> Pixels:
    return np.rint(below * (1 - share) + above * share).astype(np.uint8)
