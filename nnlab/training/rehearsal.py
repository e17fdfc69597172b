"""A rehearsal: what its first call compiles or loads is ready before training begins.

On a machine where nothing is cached yet compiling takes many seconds. Inside the first steps they
would be counted as training time, be taken for the pace that the rest is planned by, and keep a
signal waiting.
"""

from dataclasses import replace

import numpy as np

from nnlab.core.workers import current
from nnlab.errors import DivergedError
from nnlab.ranks import Alone
from nnlab.training.assembly import Division, make_trainer
from nnlab.training.events import EpochDone
from nnlab.training.images import ImageSet
from nnlab.training.settings import Settings, parse_hidden
from nnlab.training.standardization import Standardization

# What is compiled depends on the types of arrays and not on their sizes.
ROWS = 32
WIDTH = 8
SHAPE, CLASSES = (32, 32, 3), 10
# Some of them are neither sampled nor an epoch's last, which are taken in another way.
STEPS = 8


def rehearse(
    settings: Settings,
    division: Division,
    classes: int,
    standardization: Standardization,
    ranks: Alone,
) -> None:
    """Train and validate a narrow network of that kind on a few images, and forget it.

    Nothing is left of it but code that is ready; where nothing is compiled, nothing is done.

    Args:
        settings: of the training to come.
        division: its images.
        classes: how many.
        standardization: as fitted to the images.
        ranks: the processes that will train, and rehearse, together.
    """
    if current().kernels is None:
        return
    layers = len(parse_hidden(settings.resolve().hidden))
    practice = replace(
        settings,
        hidden=",".join([str(WIDTH)] * layers) or None,
        shuffle="full",
        batch_size=ROWS // STEPS,
        # A few images may lack a class, and have no weight to balance it with.
        class_weight="none" if settings.class_weight == "none" else ",".join(["1"] * classes),
    )
    few = Division(_first(division.train), division.validation and _first(division.validation), "")
    trainer, _ = make_trainer(practice, few, classes, standardization, ranks)
    try:
        for event in trainer.run():
            if isinstance(event, EpochDone):
                break
    except DivergedError:  # then the training itself will say so
        pass


def rehearse_unseen(settings: Settings) -> None:
    """Rehearse with made-up images, for a process whose training has not been decided yet.

    Args:
        settings: of a training like those to come.

    Raises:
        InputError: the settings do not fit the made-up images.
    """
    images, labels = np.zeros((ROWS, *SHAPE), np.uint8), np.arange(ROWS) % CLASSES
    images.flags.writeable = False  # as images are that are mapped from a file
    few = ImageSet.of(images, labels)
    fitted = Standardization.fit(settings.standardize, few.images, few.rows)
    rehearse(settings, Division(few, few, ""), CLASSES, fitted, Alone())


def _first(images: ImageSet) -> ImageSet:
    return ImageSet(images.images, images.labels, images.rows[:ROWS])
