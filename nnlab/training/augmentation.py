"""Augmentation: random changes of the training images, drawn anew for every image of every batch.

    augmentation = Augmentation.parse("flip,shift=2,mixup=0.2", image_shape)
    changed = augmentation.apply(pixels, rng)        # before standardization
    partner, share = augmentation.mix(x, rng)        # after it, if augmentation.mixup

Whatever the order in the text, the changes happen in the order of the table `AUGMENTATIONS`, and
every draw comes from the generator that is passed in: the same generator gives the same batch.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError
from nnlab.training.augmentation_steps import (
    Brightness,
    Contrast,
    Crop,
    Cutout,
    Flip,
    Images,
    ImageShape,
    Noise,
    Rotate,
    Shift,
    ShiftEdge,
    Step,
)


@dataclass(frozen=True)
class Kind:
    """One augmentation as a user knows it.

    Attributes:
        step: what does it; None for mixup, which works on standardized images and their labels.
        meaning: what its number says, for the help.
        default: the number if only the name is given.
        largest: the largest number; the smallest is 0, which changes nothing.
        whole: whether it is a whole number.
    """

    step: type[Step] | None
    meaning: str
    default: float
    largest: float
    whole: bool = False


# One entry an augmentation, in the order in which they happen.
AUGMENTATIONS: dict[str, Kind] = {
    "flip": Kind(Flip, "probability of mirroring left and right", 0.5, 1.0),
    "shift": Kind(Shift, "pixels to move by at most, filling with 0", 2, 1024, whole=True),
    "shift_edge": Kind(ShiftEdge, "the same, repeating the edge", 2, 1024, whole=True),
    "crop": Kind(Crop, "pixels of reflected padding to crop from", 4, 1024, whole=True),
    "rotate": Kind(Rotate, "degrees to turn by at most", 15, 180),
    "brightness": Kind(Brightness, "largest relative change of brightness", 0.2, 1.0),
    "contrast": Kind(Contrast, "largest relative change of contrast", 0.2, 1.0),
    "noise": Kind(Noise, "standard deviation of noise, as a share of 255", 0.05, 1.0),
    "cutout": Kind(Cutout, "side of a covered square in pixels", 8, 1024, whole=True),
    "mixup": Kind(None, "alpha of Beta(alpha, alpha), the shares of two mixed images", 0.2, 100),
}


def augmentation_help() -> str:
    """Return, for every kind, how it is written with its default, what its number means, range."""
    return "; ".join(
        f"{name}={kind.default:g}: {kind.meaning}, from 0 to {kind.largest:g}"
        for name, kind in AUGMENTATIONS.items()
    )


class Augmentation:
    """The changes of one run, with their work arrays; false if there are none.

    Args:
        steps: the changes of pixels, in the order in which they happen.
        mixup: alpha of mixup, 0 for none.
    """

    def __init__(self, steps: list[Step], mixup: float = 0.0) -> None:
        self.steps = steps
        self.mixup = mixup
        self._mixed = np.empty((0, 0))

    @classmethod
    def parse(cls, text: str, image_shape: ImageShape) -> "Augmentation":
        """Read a text such as ``flip,shift=2,mixup=0.2``.

        Args:
            text: names from `AUGMENTATIONS`, each with ``=number`` unless its default is meant;
                empty for none.
            image_shape: (H, W, C).

        Raises:
            InputError: an unknown or repeated name, or a number outside its range.
        """
        amounts: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, equals, number = (piece.strip() for piece in part.partition("="))
            name = name.replace("-", "_")
            if name not in AUGMENTATIONS:
                known = ", ".join(AUGMENTATIONS)
                raise InputError(f"--augment does not know {name!r}; it knows {known}.")
            if name in amounts:
                raise InputError(f"--augment names {name} twice; name it once.")
            kind = AUGMENTATIONS[name]
            amounts[name] = _amount(name, kind, number) if equals else kind.default
        mixup = amounts.pop("mixup", 0.0)
        steps = [
            kind.step(amounts[name], image_shape)
            for name, kind in AUGMENTATIONS.items()
            if kind.step is not None and amounts.get(name)
        ]
        return cls(steps, mixup)

    def __bool__(self) -> bool:
        return bool(self.steps or self.mixup)

    def apply(self, images: NDArray[np.uint8], rng: np.random.Generator) -> Images:
        """Return the images changed, each in its own way.

        Args:
            images: (B, H, W, C); left as they are.
            rng: every random number comes from it.

        Returns:
            (B, H, W, C), uint8 or float32, from 0 to 255. The images themselves if there is
            nothing to do, else a work array, valid until the next call.
        """
        changed: Images = images
        for step in self.steps:
            changed = step.change(changed, *step.draw(len(changed), rng))
        if changed.dtype == np.float32:
            np.clip(changed, 0, 255, out=changed)
        return changed

    def mix(
        self, x: NDArray[Any], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Mix every image with another of its batch (mixup; Zhang et al. 2017, arXiv:1710.09412).

        ``x_i = share_i * x_i + (1 - share_i) * x_partner(i)`` with shares from Beta(alpha,
        alpha), one an image (the paper's code draws one a batch).

        Args:
            x: (B, ...) floats, standardized; mixed in place.
            rng: every random number comes from it.

        Returns:
            The row of each image's partner, (B,), and each image's own share, (B,).
        """
        partner = rng.permutation(len(x))
        share = rng.beta(self.mixup, self.mixup, len(x)).astype(x.dtype)
        if self._mixed.shape[1:] != x.shape[1:] or len(self._mixed) < len(x):
            self._mixed = np.empty_like(x)
        others = np.take(x, partner, axis=0, out=self._mixed[: len(x)], mode="clip")
        others -= x
        others *= (1 - share).reshape(-1, *(1 for _ in x.shape[1:]))
        x += others
        return partner, share


def _amount(name: str, kind: Kind, number: str) -> float:
    try:
        amount = float(number)
    except ValueError:
        amount = float("nan")
    fits = isfinite(amount) and 0 <= amount <= kind.largest
    if not fits or (kind.whole and amount != int(amount)):
        what = "a whole number" if kind.whole else "a number"
        raise InputError(
            f"--augment {name} takes {what} from 0 to {kind.largest:g} ({kind.meaning}), such as "
            f"{name}={kind.default:g}, not {number!r}."
        )
    return amount
