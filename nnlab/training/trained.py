"""A trained network with everything that it expects of an image, ready to classify."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.core.losses import Loss, loss_from_spec, probabilities
from nnlab.core.network import Network
from nnlab.errors import FileFormatError, InputError
from nnlab.metrics import Metrics
from nnlab.predictions import Predictions
from nnlab.runs import Run
from nnlab.training.images import ImageSet
from nnlab.training.inference import mean_loss, scores_of
from nnlab.training.runstate import load_network, load_standardization
from nnlab.training.standardization import Standardization


class TrainedNetwork:
    """A network with its best weights, its standardization and its loss.

    Attributes:
        network: in inference it neither drops units nor looks at the batch.
        loss: the data loss that it was trained with.
        standardization: what is done to pixels first.
        classes: the names of the classes.
        image_shape: (H, W, C) of the images that it takes.
    """

    def __init__(
        self, network: Network, loss: Loss, standardization: Standardization, classes: Sequence[str]
    ) -> None:
        self.network = network
        self.loss = loss
        self.standardization = standardization
        self.classes = list(classes)
        self.image_shape = standardization.image_shape
        self._applier = standardization.applier(network.dtype)

    @classmethod
    def from_run(cls, run: Run, dtype: Any = None) -> "TrainedNetwork":
        """Rebuild the network of a run, with its best weights.

        Args:
            run: of kind ``network``.
            dtype: instead of the type that it was trained in.

        Raises:
            InputError: the run is of another kind.
            FileFormatError: the run's parts do not fit together.
        """
        if run.kind != "network":
            raise InputError(f"{run.path} is a run of kind {run.kind}, not a trained network.")
        standardization = load_standardization(run)
        prefix = "best/weights" if "best" in run.attributes else "weights"
        stored = sum(a.size for path, a in run.arrays.items() if path.startswith(f"{prefix}/"))
        try:
            network = Network.from_spec(
                run.spec["network"], dtype=dtype or run.config["dtype"], most=stored
            )
            load_network(network, run, prefix)
            if not (np.isfinite(network.theta).all() and np.isfinite(network.running).all()):
                raise ValueError("some of its weights are not finite numbers")
            loss = loss_from_spec(run.spec["loss"])
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise FileFormatError(
                f"{run.path} does not hold a usable network ({error})."
            ) from error
        size = int(np.prod(standardization.image_shape))
        if (network.inputs, network.outputs) != (size, len(run.classes)):
            raise FileFormatError(f"{run.path}: the network does not fit its images and classes.")
        return cls(network, loss, standardization, run.classes)

    def scores(self, images: Any) -> NDArray[Any]:
        """Return the scores (N, C) of images (N, H, W, C), uint8.

        Raises:
            InputError: images of another shape.
        """
        return scores_of(self.network, self._applier, self.checked(images, None))

    def probabilities(self, images: Any) -> NDArray[np.float64]:
        """Return the softmax of the scores, (N, C).

        For a network trained with a hinge loss they order the classes, but are not calibrated.
        """
        return probabilities(self.scores(images))

    def predict(self, images: Any) -> NDArray[np.int64]:
        """Return the class (N,) with the highest score; the smallest index among equals."""
        return self.scores(images).argmax(axis=1)

    def answers(self, images: Any, labels: Any) -> Predictions:
        """Classify labelled images.

        Raises:
            InputError: no images, images of another shape, or labels that name no class.
        """
        chosen = self.checked(images, labels)
        if len(chosen) == 0:
            raise InputError("there are no images to measure on.")
        scores = scores_of(self.network, self._applier, chosen)
        return Predictions(
            labels=chosen.labels,
            predicted=scores.argmax(axis=1),
            probabilities=probabilities(scores),
            scores=scores,
            loss=self.mean_loss(scores, chosen.labels),
            delta=float(getattr(self.loss, "delta", 1.0)),
        )

    def mean_loss(self, scores: NDArray[Any], labels: NDArray[np.int64]) -> float:
        """Return the mean data loss of scores (N, C), added up in the order of the images."""
        return mean_loss(self.loss, scores, labels)

    def evaluate(self, images: Any, labels: Any) -> Metrics:
        """Measure the network on labelled images; see `answers`."""
        return self.answers(images, labels).metrics()

    def checked(self, images: Any, labels: Any) -> ImageSet:
        """Return images and labels as a set that fits this network; labels may be None.

        Raises:
            InputError: images of another shape, or labels that name no class.
        """
        images = np.asanyarray(images)
        if labels is None:
            labels = np.zeros(len(images), np.int64)
        chosen = ImageSet.of(images, labels)
        chosen.check_labels(len(self.classes))
        shape = tuple(chosen.images.shape[1:])
        if shape != self.image_shape:
            raise InputError(
                f"the network takes images of {_shape(self.image_shape)}, not {_shape(shape)}; "
                "prepare them alike (nnlab preprocess --size, --gray)."
            )
        return chosen


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in shape)
