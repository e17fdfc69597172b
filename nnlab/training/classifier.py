"""The Python face of training: build, fit, evaluate, save, open."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError
from nnlab.metrics import Metrics
from nnlab.runs import Run, open_run
from nnlab.training.assembly import divide, make_trainer
from nnlab.training.events import EpochDone
from nnlab.training.images import ImageSet
from nnlab.training.runstate import store, store_model
from nnlab.training.settings import Settings
from nnlab.training.trained import TrainedNetwork
from nnlab.training.trainer import TOGETHER


class Classifier:
    """A softmax classifier, a linear SVM or an MLP on images.

    ::

        classifier = nnlab.Classifier("mlp", hidden="512,256", dropout=0.3, epochs=10)
        classifier.fit(images, labels)
        print(classifier.evaluate(test_images, test_labels).accuracy)
        classifier.save("mlp.h5")

    Args:
        model: ``"softmax"``, ``"svm"`` or ``"mlp"``.
        **settings: the options of `nnlab train`, with ``_`` for ``-``; see
            `nnlab.training.settings.Settings`.

    Attributes:
        settings: all of them, defaults included.
        history: after `fit`, one list a quantity with a value an epoch: ``train_loss``,
            ``train_accuracy``, ``penalty``, ``val_loss``, ``val_accuracy``, ...

    Raises:
        InputError: an unknown setting or a value that it does not take.
    """

    def __init__(self, model: str = "softmax", **settings: Any) -> None:
        self.settings = Settings.of({"model": model, **settings})
        self.history: dict[str, list[float]] = {}
        self._trained: TrainedNetwork | None = None
        self._run: Run | None = None

    def fit(
        self,
        images: Any,
        labels: Any,
        validation: tuple[Any, Any] | None = None,
        classes: Sequence[str] | None = None,
        on_epoch: Callable[[EpochDone], None] | None = None,
    ) -> "Classifier":
        """Train on labelled images, from fresh weights.

        Args:
            images: (N, H, W, C) or (N, H, W), uint8.
            labels: (N,) whole numbers from 0 to the number of classes minus 1.
            validation: images and labels to choose the best weights by; None for a stratified
                tenth of the training images, or none with ``val=0``.
            classes: their names; None to number them.
            on_epoch: called after every epoch.

        Returns:
            The classifier itself, with its best weights.

        Raises:
            InputError: arrays that do not fit together.
            DivergedError: a number was not finite.
        """
        train = ImageSet.of(images, labels)
        held_out = None if validation is None else ImageSet.of(*validation)
        names = _class_names(classes, train, held_out)
        division = divide(self.settings, train, held_out)
        trainer, standardization = make_trainer(self.settings, division, len(names))
        trainer.together = TOGETHER
        for event in trainer.run():
            if on_epoch is not None and isinstance(event, EpochDone):
                on_epoch(event)
        run = Run(
            kind="network",
            command=[],
            config={"data": "arrays", **asdict(self.settings.resolve())},
            classes=names,
            spec={},
        )
        store_model(trainer, standardization, run)
        store(trainer, run)
        self.history = trainer.epoch_history
        self._run = run
        self._trained = TrainedNetwork.from_run(run)
        return self

    @property
    def trained(self) -> TrainedNetwork:
        """The trained network.

        Raises:
            InputError: the classifier has not been fitted.
        """
        if self._trained is None:
            raise InputError("the classifier has not been fitted yet; call fit first.")
        return self._trained

    def scores(self, images: Any) -> NDArray[Any]:
        """Return the scores (N, C) of images (N, H, W, C), uint8."""
        return self.trained.scores(images)

    def probabilities(self, images: Any) -> NDArray[np.float64]:
        """Return the softmax of the scores, (N, C)."""
        return self.trained.probabilities(images)

    def predict(self, images: Any) -> NDArray[np.int64]:
        """Return the class (N,) with the highest score."""
        return self.trained.predict(images)

    def evaluate(self, images: Any, labels: Any) -> Metrics:
        """Measure the classifier on labelled images."""
        return self.trained.evaluate(images, labels)

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write the run file that every command of nnlab takes.

        Raises:
            InputError: it exists already (without `force`), or cannot be written.
        """
        from nnlab.atomic import refuse_existing

        if self._run is None:
            raise InputError("the classifier has not been fitted yet; call fit first.")
        path = Path(path)
        refuse_existing(path, force)
        self._run.save(path)

    @classmethod
    def open(cls, path: str | Path) -> "Classifier":
        """Open the run file of a trained network.

        Raises:
            InputError: there is no such file, or it is of another kind.
            FileFormatError: it is damaged.
        """
        run = open_run(Path(path))
        trained = TrainedNetwork.from_run(run)
        known = asdict(Settings())
        classifier = cls(**{key: value for key, value in run.config.items() if key in known})
        classifier.history = {
            name: [float(value) for value in values]
            for name, values in run.history["epoch"].items()
        }
        classifier._trained, classifier._run = trained, run
        return classifier


def _class_names(
    classes: Sequence[str] | None, train: ImageSet, validation: ImageSet | None
) -> list[str]:
    labels = [train.labels] if validation is None else [train.labels, validation.labels]
    if any(part.size and part.min() < 0 for part in labels):
        raise InputError("labels are whole numbers from 0; there is a negative one.")
    needed = max((int(part.max()) + 1 for part in labels if part.size), default=0)
    names = [str(index) for index in range(needed)] if classes is None else list(classes)
    if len(names) < needed:
        raise InputError(f"there are {len(names)} class names and a label {needed - 1}.")
    return names
