"""The `shapes` data set as a format: its images are drawn, not read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions, Part

DEFAULT_SIZE = 32


def recognises(path: Path) -> bool:
    """No file holds it."""
    del path
    return False


def decode(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Draw the images; those that are not square are drawn in 32 x 32 and resized later."""
    from nnlab.datasets import shapes

    del paths
    height, width = options.size or (DEFAULT_SIZE, DEFAULT_SIZE)
    drawn = shapes.generate(
        options.seed,
        background_bias=options.background_bias,
        size=height if height == width else DEFAULT_SIZE,
    )
    splits = {
        split: Part.of(images, np.asarray(labels, np.int64))
        for split, (images, labels) in drawn.items()
    }
    return Decoded(list(shapes.CLASSES), splits)
