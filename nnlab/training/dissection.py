"""One training step taken apart, to find the first number that is not finite."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.core.network import Network
from nnlab.training.images import ImageSet
from nnlab.training.inference import BLOCK
from nnlab.training.trainer import Trainer


@dataclass(frozen=True)
class Stage:
    """One array that a step computes, in the order of computing.

    Attributes:
        name: what it is, such as ``output of 2_linear`` or ``gradient of 0_linear/W``.
        largest: the largest absolute value among its finite numbers; 0 if there are none.
    """

    name: str
    largest: float


@dataclass(frozen=True)
class Finding:
    """The first number of a step that is not finite.

    Attributes:
        array: the name of the stage.
        layer: the layer that computed it, as in ``/weights``; empty for what belongs to none.
        index: where in the array, counted from 0; of a batch the first index is the image.
        value: ``nan``, ``inf`` or ``-inf``.
        count: how many numbers of the array are not finite.
        size: of the array.
    """

    array: str
    layer: str
    index: tuple[int, ...]
    value: str
    count: int
    size: int

    def record(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self) | {"index": list(self.index)}

    def __str__(self) -> str:
        return (
            f"the {self.array} is {self.value} at {list(self.index)} ({self.count:,} of "
            f"{self.size:,} numbers are not finite)"
        )


@dataclass(frozen=True)
class Dissection:
    """What one step computed up to the first number that is not finite.

    Attributes:
        stages: all that was finite before it, in order.
        finding: the number; None if the whole step is finite.
    """

    stages: list[Stage]
    finding: Finding | None


def dissect(trainer: Trainer) -> Dissection:
    """Take the next step of a trainer and look at every array on the way.

    The trainer's weights change as in training, its counters do not. If the step is finite, the
    images that training measures are looked at as well: the validation images with the averaged
    weights, then the training images.
    """
    stages: list[Stage] = []
    with np.errstate(all="ignore"):
        for name, layer, array in _arrays(trainer):
            finding = _first(name, layer, array)
            if finding is not None:
                return Dissection(stages, finding)
            stages.append(Stage(name, float(np.abs(array).max(initial=0.0))))
    return Dissection(stages, None)


def _first(name: str, layer: str, array: NDArray[Any]) -> Finding | None:
    finite = np.isfinite(array)
    if finite.all():
        return None
    place = int(np.argmin(finite))
    index = tuple(int(i) for i in np.unravel_index(place, array.shape))
    count = int(array.size - np.count_nonzero(finite))
    return Finding(name, layer, index, str(float(array[index])), count, array.size)


def _arrays(trainer: Trainer) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Yield every array of the next step right after it is computed: name, layer, array."""
    network, counters, update = trainer.network, trainer.counters, trainer.update
    epoch, step = counters.epoch, counters.step
    batch = trainer.batches.batch(epoch, step)
    yield "standardized batch", "", batch.x
    network.reserve(len(batch.x))
    network.begin_step(epoch, step)
    scores = batch.x
    for name, layer in _named(network):
        scores = layer.forward(scores, True)
        yield f"output of {name}", name, scores
    loss, gradient = trainer.loss(scores, batch.labels, batch.partners, batch.share)
    yield "loss", "", np.array([loss])
    yield "gradient by the scores", "", gradient
    learning = [layer.parameters() != {} for layer in network.layers]
    first = learning.index(True)
    for name, layer in reversed(_named(network)[first:]):
        gradient = layer.backward(gradient)
        for parameter, array in layer.grads.items():
            yield f"gradient of {name}/{parameter}", name, array
        if layer.input_gradient:
            yield f"gradient by the input of {name}", name, gradient
    norm = update.apply(trainer.schedule.rate(trainer.steps_done))
    yield "gradient's norm", "", np.array([norm])
    for name, array in network.named_parameters():
        yield f"new {name}", name.partition("/")[0], array
    for name, array in network.named_running():
        yield f"new {name}", name.partition("/")[0], array
    for name, vector in update.optimizer.state.items():
        for parameter, array in network.named_parameters(vector):
            yield f"new {name} of {parameter}", parameter.partition("/")[0], array
    if trainer.validation is not None:
        with trainer.averaged_weights():
            yield from _measured(trainer, trainer.validation, "validation")
    yield from _measured(trainer, trainer.batches.images, "training")


def _measured(
    trainer: Trainer, images: ImageSet, what: str
) -> Iterator[tuple[str, str, NDArray[Any]]]:
    done = 0
    for pixels, labels in images.blocks(BLOCK):
        x = np.empty((len(pixels), trainer.network.inputs), trainer.network.dtype)
        scores = trainer.applier(pixels, x)
        where = f"{what} images {done} to {done + len(labels) - 1}"
        for name, layer in _named(trainer.network):
            scores = layer.forward(scores, False)
            yield f"output of {name} for the {where}", name, scores
        loss, _ = trainer.loss(scores, labels)
        yield f"loss of the {where}", "", np.array([loss])
        done += len(labels)


def _named(network: Network) -> list[tuple[str, Any]]:
    return [(f"{index}_{layer.kind}", layer) for index, layer in enumerate(network.layers)]
