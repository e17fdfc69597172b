"""What weights look like: the templates of a linear model, the first units of an MLP."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab import pages
from nnlab.core.activations import Activation
from nnlab.errors import FileFormatError, InputError
from nnlab.report.history import network_layers
from nnlab.runs import Run
from nnlab.training.trained import TrainedNetwork

TEMPLATES_SHOWN = 100
UNITS_SHOWN = 24
# So many images tell which units are used most.
PROBES = 512

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WeightPictures:
    """First-layer weights as pictures.

    Attributes:
        title: of the section.
        text: what they are and how they are coloured.
        pictures: (picture, caption) each.
    """

    title: str
    text: str
    pictures: list[tuple[Any, Any]]


def weight_pictures(run: Run, images: NDArray[np.uint8] | None) -> WeightPictures | None:
    """Draw the first layer's weights; None for runs without a network.

    Args:
        run: the run.
        images: (N, H, W, C) to see which units are used; None if there are none at hand.
    """
    if not network_layers(run):
        return None
    try:
        trained = TrainedNetwork.from_run(run)
    except (InputError, FileFormatError):
        return None
    weights = _first_weights(trained)
    if len(trained.network.weight_matrices()) == 1:
        return _templates(weights, trained)
    return _units(weights, trained, images)


def _first_weights(trained: TrainedNetwork) -> Floats:
    """Return the first layer's weights (D, units), by standardized pixel."""
    weights = np.asarray(trained.network.weight_matrices()[0], np.float64)
    matrix = trained.standardization.matrix
    # Whitening is a linear layer of its own: what stands before both is a pixel again.
    return weights if matrix is None else matrix @ weights


def _templates(weights: Floats, trained: TrainedNetwork) -> WeightPictures:
    shown = min(weights.shape[1], TEMPLATES_SHOWN)
    pictures = [
        (_drawn(weights[:, k], trained.image_shape, f"Weights of the class {name}"), name)
        for k, name in enumerate(trained.classes[:shown])
    ]
    text = (
        "The score of a class is the sum of the pixels times these weights, plus a bias: each "
        f"picture is the template that its class looks for. {_legend(trained.image_shape)}"
    )
    if shown < weights.shape[1]:
        text += f" The first {shown} of {weights.shape[1]} classes are shown."
    return WeightPictures("Templates of the classes", text, pictures)


def _units(
    weights: Floats, trained: TrainedNetwork, images: NDArray[np.uint8] | None
) -> WeightPictures:
    use, measured = _use(trained, images)
    order = np.argsort(-use, kind="stable")[:UNITS_SHOWN]
    pictures = [
        (
            _drawn(weights[:, unit], trained.image_shape, f"Weights into hidden unit {unit}"),
            f"unit {unit}",
        )
        for unit in order.tolist()
    ]
    text = (
        f"What the units of the first hidden layer look for, the {len(order)} most used of "
        f"{weights.shape[1]:,}, by {measured}. {_legend(trained.image_shape)}"
    )
    return WeightPictures("Units of the first layer", text, pictures)


def _use(trained: TrainedNetwork, images: NDArray[np.uint8] | None) -> tuple[Floats, str]:
    """Return how much each first-layer unit has a say, and how that was measured."""
    matrices = trained.network.weight_matrices()
    into = np.linalg.norm(np.asarray(matrices[0], np.float64), axis=0)
    out = np.linalg.norm(np.asarray(matrices[1], np.float64), axis=1)
    fits = images is not None and images.shape[1:] == trained.image_shape
    if images is None or not fits or len(images) == 0:
        return into * out, "the size of the weights into and out of them (there were no images)"
    pixels = np.asarray(images[:PROBES]).reshape(min(len(images), PROBES), -1)
    network = trained.network
    x = np.empty((len(pixels), network.inputs), network.dtype)
    x = trained.standardization.applier(network.dtype)(pixels, x)
    network.reserve(len(x))
    for layer in network.layers:
        x = layer.forward(x, training=False)
        if isinstance(layer, Activation):
            break
    size = np.abs(np.asarray(x, np.float64)).mean(axis=0)
    return size * out, f"their mean output over {len(pixels)} images times their outgoing weights"


def _drawn(weights: Floats, image_shape: Sequence[int], alt: str) -> Any:
    values = weights.reshape(tuple(image_shape))
    if values.shape[2] == 3:
        return pages.picture(pages.stretched(values), alt)
    return pages.picture(pages.heat(values.mean(axis=2)), alt)


def _legend(image_shape: Sequence[int]) -> str:
    if image_shape[2] == 3:
        return (
            "Bright parts of a colour speak for it, dark ones against it; mid-grey says nothing. "
            "Each is stretched to its own range."
        )
    return (
        "Blue pixels speak for it when they are bright, orange ones against it; white says nothing."
    )
