"""A network over many images: scores, loss and accuracy, block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.core.losses import Loss, count_right
from nnlab.core.network import Network
from nnlab.core.plain import PlainScores, has_plain_layers
from nnlab.core.workers import at_work
from nnlab.training.images import ImageSet
from nnlab.training.standardization import Applier

# Images whose scores are looked at together; of a network that is not plain, they also pass through
# the layers together: enough for products to run at full speed, few enough to stay in the cache.
BLOCK = 512
# So many blocks are scored in one call where that can be: then calls cost nothing.
SEVERAL = 8


@dataclass(frozen=True)
class Performance:
    """Data loss and accuracy, each the mean over images."""

    loss: float
    accuracy: float


def score_blocks(
    network: Network, applier: Applier, images: ImageSet, block: int = BLOCK
) -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
    """Yield scores (n, C), a work array, and labels (n,) for all images in order."""
    factors, most = applier.factors, min(SEVERAL * block, len(images))
    with at_work() as workers:
        scorer = None
        if factors is not None and workers.plain is not None and has_plain_layers(network):
            scorer = PlainScores(network, most)
    if scorer is not None and factors is not None:
        room = np.empty((most, network.outputs), network.dtype)
        for begin in range(0, len(images), SEVERAL * block):
            rows = images.rows[begin : begin + SEVERAL * block]
            found, labels = room[: len(rows)], images.labels[rows]
            with at_work():
                scorer.write(images.flat, rows, *factors, found)
            for start in range(0, len(rows), block):
                yield found[start : start + block], labels[start : start + block]
        return
    x = np.empty((min(block, max(1, len(images))), network.inputs), network.dtype)
    for pixels, labels in images.blocks(block):
        with at_work():
            scores = network.forward(applier(pixels, x[: len(pixels)]))
        yield scores, labels


def scores_of(network: Network, applier: Applier, images: ImageSet) -> NDArray[Any]:
    """Return the scores (N, C) of all images."""
    scores = np.empty((len(images), network.outputs), network.dtype)
    done = 0
    for part, _ in score_blocks(network, applier, images):
        scores[done : done + len(part)] = part
        done += len(part)
    return scores


def mean_loss(loss: Loss, scores: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Return the mean data loss of scores (N, C), with work arrays that do not grow with N."""
    total = 0.0
    for start in range(0, len(labels), BLOCK):
        part = slice(start, min(start + BLOCK, len(labels)))
        total += loss(scores[part], labels[part])[0] * (part.stop - part.start)
    return total / len(labels)


def performance(network: Network, loss: Loss, applier: Applier, images: ImageSet) -> Performance:
    """Measure a network on images, in inference mode."""
    total, correct = 0.0, 0
    for scores, labels in score_blocks(network, applier, images):
        value, _ = loss(scores, labels)
        total += value * len(labels)
        correct += count_right(scores, labels)
    return Performance(total / len(images), correct / len(images))
