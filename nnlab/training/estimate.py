"""What a training will need, measured on a few of its steps before anything is submitted."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from nnlab.runs import Run
from nnlab.training.assembly import Division, divide, make_trainer
from nnlab.training.images import ImageSet
from nnlab.training.inference import BLOCK, performance
from nnlab.training.runstate import store, store_model
from nnlab.training.settings import Settings
from nnlab.training.trainer import STEP_HISTORY, TOGETHER, Trainer

# The first steps load and compile code.
WARM_UP = 3
STEPS = 30
SECONDS = 5.0
# Images to measure inference on.
MEASURED = 8 * BLOCK


@dataclass(frozen=True)
class Estimate:
    """What a training will need.

    Attributes:
        parameters: how many numbers are trained.
        train_images, validation_images: how many.
        epochs, steps_per_epoch: how many.
        memory_bytes: the process's own memory at its peak, while a checkpoint is written.
        data_bytes: of the images, mapped from the file: the system keeps in memory what fits.
        checkpoint_bytes: of the run file at the end; while one is written the old one is there too.
        step_seconds: of a step, the median of some.
        epoch_seconds: of an epoch, validation included.
        seconds: of the whole training.
        images_per_second: of the steps alone.
        steps_measured: how many steps the times come from.
    """

    parameters: int
    train_images: int
    validation_images: int
    epochs: int
    steps_per_epoch: int
    memory_bytes: int | None
    data_bytes: int
    checkpoint_bytes: int
    step_seconds: float
    epoch_seconds: float
    seconds: float
    images_per_second: float
    steps_measured: int


def estimate(
    settings: Settings, train: ImageSet, validation: ImageSet | None, classes: list[str]
) -> Estimate:
    """Take a few steps of a training, and say what all of them will need; writes nothing.

    Raises:
        InputError: settings and data do not fit.
        DivergedError: it diverges within these steps.
    """
    division = divide(settings, train, validation)
    trainer, standardization = make_trainer(settings, division, len(classes))
    times = _step_times(trainer)
    step = median(times)
    batch = trainer.batches.batch_size
    run = Run(kind="network", command=[], config={}, classes=classes)
    store_model(trainer, standardization, run)
    trainer.counters.best_epoch = trainer.counters.best_epoch or 1  # a checkpoint holds them, too
    store(trainer, run)
    image = run.image()
    memory = _own_memory()  # while the checkpoint is in it
    steps = trainer.epochs * trainer.batches.steps
    history = 8 * len(STEP_HISTORY) * (steps - len(times))
    one_image = _inference_seconds(trainer, division)
    validated = 0 if division.validation is None else len(division.validation)
    epoch = trainer.batches.steps * step + validated * one_image
    return Estimate(
        parameters=len(trainer.network.theta),
        train_images=len(division.train),
        validation_images=validated,
        epochs=trainer.epochs,
        steps_per_epoch=trainer.batches.steps,
        memory_bytes=None if memory is None else memory + history,
        data_bytes=train.flat.nbytes + (0 if validation is None else validation.flat.nbytes),
        checkpoint_bytes=len(image) + history,
        step_seconds=step,
        epoch_seconds=epoch,
        seconds=trainer.epochs * epoch + len(division.train) * one_image,
        images_per_second=batch / step,
        steps_measured=len(times),
    )


def _step_times(trainer: Trainer) -> list[float]:
    """Return the seconds of some steps; of the only ones there are, if they are few."""
    times: list[float] = []
    began = before = perf_counter()
    trainer.together = TOGETHER
    for _ in trainer.run():
        now, steps = perf_counter(), trainer.steps_done - len(times)
        times += [(now - before) / steps] * steps
        if len(times) >= WARM_UP + STEPS or (len(times) > WARM_UP and now - began > SECONDS):
            break
        before = perf_counter()
    return times[WARM_UP:] or times


def _inference_seconds(trainer: Trainer, division: Division) -> float:
    """Return the seconds that one image takes without learning from it."""
    images = division.train
    some = ImageSet(images.images, images.labels, images.rows[:MEASURED])
    began = perf_counter()
    with np.errstate(all="ignore"):
        performance(trainer.network, trainer.loss, trainer.applier, some)
    return (perf_counter() - began) / len(some)


def _own_memory() -> int | None:
    """Return the bytes of memory that are this process's own; None where the system is silent."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("RssAnon:")]
    return 1024 * int(found[0]) if found else None
