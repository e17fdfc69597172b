"""A contact sheet of one training step's images, as they entered the network."""

from collections.abc import Sequence

from PIL import Image

from nnlab.neighbors.pictures import Tile, sheet
from nnlab.training.replay import ReplayedStep

COLUMNS = 8


def draw_batch(step: ReplayedStep, classes: Sequence[str], name: str) -> Image.Image:
    """Draw every image of a step, with its row in the data and its class.

    Args:
        step: the step.
        classes: names.
        name: of the run.
    """
    tiles = []
    for place, (row, label) in enumerate(zip(step.rows, step.labels, strict=True)):
        caption = [f"{row}: {classes[label]}"]
        if step.partners is not None and step.share is not None:
            caption.append(f"{step.share[place]:.0%}, rest {classes[step.partners[place]]}")
        tiles.append(Tile(step.images[place], caption))
    rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    title = f"{name}: epoch {step.epoch}, step {step.step}"
    notes = [f"{len(tiles)} images as they entered: the row in the data, and the class"]
    if step.partners is not None:
        notes.append("below: how much of it is its own image; the rest is another of the batch")
    return sheet(title, rows, notes)
