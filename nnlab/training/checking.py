"""The gradient check of a model as it would be trained, or as a run has trained it."""

from collections.abc import Iterator

import numpy as np

from nnlab.core.gradcheck import Check, check_network
from nnlab.core.penalties import Penalty
from nnlab.randomness import generator
from nnlab.runs import Run
from nnlab.training.assembly import make_loss, make_network
from nnlab.training.settings import Settings
from nnlab.training.standardization import Standardization
from nnlab.training.trained import TrainedNetwork


def check_settings(
    settings: Settings, image_shape: tuple[int, ...], classes: int, images: int, entries: int | None
) -> Iterator[Check]:
    """Check the network that these settings describe, with its first weights.

    Args:
        settings: as for training.
        image_shape: (H, W, C) of the random images it is checked on.
        classes: how many.
        images: how many.
        entries: of each parameter, chosen at random; None for all.
    """
    pixels, labels = _random_images(image_shape, classes, images, settings.seed)
    network = make_network(settings, image_shape, classes, np.float64)
    loss = make_loss(settings, labels, classes)
    # Standardized to itself: there is nothing else to fit to.
    kind = "channel" if settings.standardize == "zca" else settings.standardize
    standardization = Standardization.fit(kind, pixels, np.arange(images))
    x = standardization.applier(np.float64)(pixels.reshape(images, -1), _x(pixels))
    penalty = Penalty(settings.l2, settings.l1)
    yield from check_network(network, loss, x, labels, penalty, entries, settings.seed)


def check_run(run: Run, images: int, entries: int | None, seed: int) -> Iterator[Check]:
    """Check the network of a run with its best weights, on random images."""
    trained = TrainedNetwork.from_run(run, np.float64)
    network = trained.network
    pixels, labels = _random_images(trained.image_shape, network.outputs, images, seed)
    x = trained.standardization.applier(np.float64)(pixels.reshape(images, -1), _x(pixels))
    penalty = Penalty(float(run.config.get("l2", 0.0)), float(run.config.get("l1", 0.0)))
    yield from check_network(network, trained.loss, x, labels, penalty, entries, seed)


def _random_images(
    shape: tuple[int, ...], classes: int, images: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    rng = generator(seed, "gradcheck images")
    pixels = rng.integers(0, 256, (images, *shape), dtype=np.uint8)
    return pixels, rng.integers(0, classes, images)


def _x(pixels: np.ndarray) -> np.ndarray:
    return np.empty((len(pixels), int(np.prod(pixels.shape[1:]))))
