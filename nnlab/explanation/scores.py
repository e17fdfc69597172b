"""The scores of one image, class by class, and the pixels that speak for and against each."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnlab.core.network import Network
from nnlab.explanation.passes import passes

Floats = NDArray[np.float64]
# Evidence is shown for all of so few classes; else for the best and the right one.
ALL_CLASSES = 12
BEST_CLASSES = 5
STRONGEST = 5


@dataclass(frozen=True)
class PixelEvidence:
    """What one pixel adds to a score, all channels together."""

    row: int
    column: int
    value: float


@dataclass(frozen=True)
class ClassEvidence:
    """What each pixel adds to the score of one class.

    Attributes:
        label: the class.
        pixels: (H, W) input times gradient of the score, summed over channels. For a linear
            model that is exactly ``x_i W_ij``, and sums to ``x W``.
        total: their sum.
        strongest_for, strongest_against: the pixels that add and subtract most.
    """

    label: int
    pixels: Floats
    total: float
    strongest_for: list[PixelEvidence]
    strongest_against: list[PixelEvidence]


@dataclass(frozen=True)
class ScoresPart:
    """The scores, class by class.

    Attributes:
        linear: the model is linear: the image itself is what W is multiplied with.
        inputs: how many numbers the last layer takes.
        products: (C,) ``x W`` of the last layer.
        biases: (C,) its b.
        scores: (C,) their sum.
        predicted: the class with the largest.
        evidence: of all classes, or of the best ones and the right one.
    """

    linear: bool
    inputs: int
    products: Floats
    biases: Floats
    scores: Floats
    predicted: int
    evidence: list[ClassEvidence]


def scores_part(network: Network, x: Floats, shape: tuple[int, int, int], label: int) -> ScoresPart:
    """Take the scores of one image apart.

    Args:
        network: made by `nnlab.explanation.passes.twin`.
        x: (1, D).
        shape: (H, W, C) of the image.
        label: a class that is shown in any case.
    """
    last = network.layers[-1]
    classes = network.outputs
    taken = passes(network, x, np.zeros((1, classes)))[-1].x
    products, biases = (taken @ last.params["W"])[0], last.params["b"].copy()
    found = products + biases
    shown = list(range(classes))
    if classes > ALL_CLASSES:
        best = np.argsort(-found, kind="stable")[:BEST_CLASSES].tolist()
        shown = best if label in best else [*best, label]
    # One row a class: the gradient of each one's score by the image.
    seeds = np.zeros((len(shown), classes))
    seeds[np.arange(len(shown)), shown] = 1.0
    gradients = passes(network, np.repeat(x, len(shown), axis=0), seeds)[0].dx
    maps = (gradients * x).reshape(len(shown), *shape).sum(axis=3)
    return ScoresPart(
        linear=len(network.layers) == 1,
        inputs=last.inputs,
        products=products,
        biases=biases,
        scores=found,
        predicted=int(found.argmax()),
        evidence=[_evidence(j, pixels) for j, pixels in zip(shown, maps, strict=True)],
    )


def _evidence(label: int, pixels: Floats) -> ClassEvidence:
    order = np.argsort(pixels, axis=None, kind="stable")

    def strongest(places: NDArray[np.int64], sign: int) -> list[PixelEvidence]:
        found = []
        for place in places:
            row, column = divmod(int(place), pixels.shape[1])
            value = float(pixels[row, column])
            if sign * value > 0:
                found.append(PixelEvidence(row, column, value))
        return found

    return ClassEvidence(
        label, pixels, float(pixels.sum()),
        strongest(order[::-1][:STRONGEST], 1), strongest(order[:STRONGEST], -1),
    )  # fmt: skip
