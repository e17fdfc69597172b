"""One image and its nearest neighbours: who they are, how they vote, where they differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError
from nnlab.explanation.subject import Subject
from nnlab.explanation.tensor import TensorPart, tensor_part
from nnlab.neighbors.classifier import restore, training_rows
from nnlab.neighbors.metrics import find_metric
from nnlab.neighbors.regions import halve, pixel_parts
from nnlab.neighbors.vote import WEIGHTS, count_votes

Floats = NDArray[np.float64]
# What the parts of the pixels add up to.
SUMS = {
    "l1": "|a - b|, summed over all pixels and channels",
    "l2": "(a - b)^2, summed over all pixels and channels; the distance is its square root",
    "cosine": "half of (a - b)^2 of the images scaled to length 1, summed: 1 - cosine",
    "linf": "the largest |a - b|, shared among the pixels that reach it",
}


@dataclass(frozen=True)
class NeighborPart:
    """One neighbour.

    Attributes:
        rank: 1 for the nearest.
        row: in the training split.
        label: its class.
        distance: in the run's metric.
        vote: what its vote counts.
        pixels: (H, W, C) uint8.
        parts: (H, W) what each pixel adds to the distance (to the squared one for ``l2``).
        parts_sum: their sum.
        border: the sum of those in the border; None where the image is too small to have one.
        centre: the sum of the others.
        border_share: ``border / parts_sum``; None where the images are equal.
    """

    rank: int
    row: int
    label: int
    distance: float
    vote: float
    pixels: NDArray[np.uint8]
    parts: NDArray[Any]
    parts_sum: float
    border: float | None
    centre: float | None
    border_share: float | None


@dataclass(frozen=True)
class NeighborsExplanation:
    """Everything about one image and its neighbours.

    Attributes:
        subject: which image, and which run.
        tensor: the image as numbers.
        metric: a name in `nnlab.neighbors.METRICS`.
        metric_summary: what it is.
        sum_formula: what `NeighborPart.parts` add up to.
        weights: how votes are weighted.
        searched: how many training images were compared.
        border_width: of the ring that is called border, in pixels; 0 for none.
        border_pixels: its share of the pixels.
        neighbors: the k nearest, nearest first.
        votes: (C,).
        predicted: the elected class.
        runner_up: the class with the next most votes; None where nobody else has any.
    """

    subject: Subject
    tensor: TensorPart
    metric: str
    metric_summary: str
    sum_formula: str
    weights: str
    searched: int
    border_width: int
    border_pixels: float
    neighbors: list[NeighborPart]
    votes: Floats
    predicted: int
    runner_up: int | None


def explain_neighbors(
    spec: Mapping[str, Any],
    training: tuple[NDArray[np.uint8], NDArray[np.int64]],
    pixels: NDArray[np.uint8],
    label: int | None,
    *,
    classes: list[str],
    config: dict[str, Any],
    run: str = "",
    image: str = "",
) -> NeighborsExplanation:
    """Explain how the neighbours of an image elect its class.

    Args:
        spec: of the run.
        training: images (N, H, W, C) and labels (N,) of the whole split that the run searched.
        pixels: (H, W, C) uint8.
        label: the right class; None where it is not known.
        classes: the names of the classes.
        config: the run's settings.
        run: the name of the run.
        image: the name of the image.

    Raises:
        InputError: an image of another shape, or other training images than the run was made with.
    """
    images, labels = training
    model = restore(spec, images, labels)
    if pixels.shape != images.shape[1:]:
        raise InputError(
            f"the run compares images of shape {images.shape[1:]}, not {pixels.shape}."
        )
    rows = training_rows(labels, spec["limit_train"], spec["seed"])
    distances, found = model.kneighbors(pixels[None])
    found_labels = model.labels[found]
    votes = count_votes(found_labels, distances, len(classes), model.weights)[0]
    single = WEIGHTS[model.weights](np.asarray(distances, np.float64))[0]
    predicted = int(votes.argmax())
    others = np.where(np.arange(len(votes)) == predicted, 0.0, votes)
    border: NDArray[np.bool_] | None = None
    width, share = 0, 0.0
    if min(pixels.shape[:2]) >= 3:
        regions = halve(*pixels.shape[:2])
        border, width, share = regions.border, regions.width, regions.border_share
    neighbors = []
    for rank, (index, distance, vote) in enumerate(
        zip(found[0], distances[0], single, strict=True)
    ):
        row = int(index if rows is None else rows[index])
        parts = pixel_parts(pixels[None], images[row][None], model.metric)[0]
        whole = parts.sum().item()
        outside = None if border is None else parts[border].sum().item()
        neighbors.append(
            NeighborPart(
                rank=rank + 1, row=row, label=int(labels[row]), distance=distance.item(),
                vote=float(vote), pixels=np.asarray(images[row]), parts=parts, parts_sum=whole,
                border=outside, centre=None if outside is None else whole - outside,
                border_share=outside / whole if outside is not None and whole else None,
            )
        )  # fmt: skip
    return NeighborsExplanation(
        subject=Subject(
            run, f"{model.k} nearest neighbours", image, classes,
            predicted if label is None else label, label is not None, config,
        ),
        tensor=tensor_part(pixels),
        metric=model.metric,
        metric_summary=find_metric(model.metric).summary,
        sum_formula=SUMS[model.metric],
        weights=model.weights,
        searched=len(model.labels),
        border_width=width,
        border_pixels=share,
        neighbors=neighbors,
        votes=votes,
        predicted=predicted,
        runner_up=int(others.argmax()) if others.any() else None,
    )  # fmt: skip
