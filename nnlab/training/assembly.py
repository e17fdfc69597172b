"""From settings and images to a trainer: the one place where the parts are put together."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnlab.core.losses import Loss, balanced_class_weights, loss_from_spec
from nnlab.core.models import Architecture, build
from nnlab.core.network import Network
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.penalties import Penalty
from nnlab.core.schedules import Schedule
from nnlab.core.update import Update
from nnlab.errors import InputError
from nnlab.ranks import Alone
from nnlab.stratify import stratified_split
from nnlab.training.augmentation import Augmentation
from nnlab.training.batches import Batches
from nnlab.training.images import ImageSet
from nnlab.training.settings import Settings, parse_class_weight, parse_hidden
from nnlab.training.shuffling import make_shuffle
from nnlab.training.standardization import Standardization
from nnlab.training.trainer import Trainer

# Set aside for validation when the data brings no validation split and nothing was asked for.
DEFAULT_VALIDATION = 0.1


@dataclass(frozen=True)
class Division:
    """The images that train, those that choose the best weights, and what was decided about it.

    Attributes:
        train: the training set.
        validation: the validation set; None if there is none.
        notice: what a user should know about the choice; empty if they made it.
    """

    train: ImageSet
    validation: ImageSet | None
    notice: str


def divide(settings: Settings, train: ImageSet, validation: ImageSet | None) -> Division:
    """Decide which images train and which validate.

    Raises:
        InputError: too few images for what was asked.
    """
    if len(train) == 0:
        raise InputError("there are no images to train on.")
    notice = ""
    amount = settings.val
    if settings.fold is not None:
        train, validation = _by_fold(settings, train)
    if amount is None and validation is None:
        amount = DEFAULT_VALIDATION if len(train) >= 10 else 0.0
        notice = (
            "the data has no val split: a tenth of train is set aside (--val 0 trains on all)"
            if amount
            else "the data has no val split and too few images to set some aside: the last "
            "weights are kept"
        )
    if amount is not None:
        validation = None
        if amount > 0:
            kept, held_out = stratified_split(train.chosen_labels, amount, settings.seed)
            if len(held_out) == 0:
                raise InputError(
                    f"--val {amount:g} of {len(train)} images is none; take more, or 0 for none."
                )
            rows = train.rows
            train = ImageSet(train.images, train.labels, rows[kept])
            validation = ImageSet(train.images, train.labels, rows[held_out])
    if settings.limit_train is not None and settings.limit_train < len(train):
        _, chosen = stratified_split(train.chosen_labels, settings.limit_train, settings.seed)
        train = ImageSet(train.images, train.labels, train.rows[chosen])
    if validation is not None and len(validation) == 0:
        validation = None
    return Division(train, validation, notice)


def _by_fold(settings: Settings, train: ImageSet) -> tuple[ImageSet, ImageSet]:
    """Let one of the data's folds validate, and the others train."""
    if settings.val is not None:
        raise InputError("--fold says which images validate; leave --val out.")
    if train.folds is None:
        raise InputError(
            f"--fold {settings.fold}: the data has no folds; make them with nnlab preprocess "
            "--folds K."
        )
    folds = train.folds[train.rows]
    held_out = folds == settings.fold
    if not held_out.any():
        raise InputError(f"--fold {settings.fold}: the folds are 0 to {folds.max()}.")
    return replace(train, rows=train.rows[~held_out]), replace(train, rows=train.rows[held_out])


def make_network(
    settings: Settings, image_shape: tuple[int, ...], classes: int, dtype: Any = None
) -> Network:
    """Build the network that the settings describe, with its first weights.

    Args:
        settings: resolved or not.
        image_shape: (H, W, C).
        classes: how many.
        dtype: instead of the settings' own.
    """
    architecture = Architecture(
        inputs=int(np.prod(image_shape)),
        classes=classes,
        hidden=parse_hidden(settings.resolve().hidden),
        activation=settings.activation,
        normalization=settings.normalization,
        dropout=settings.dropout,
        initializer=settings.init,
    )
    return Network(build(settings.model, architecture), settings.seed, dtype or settings.dtype)


def make_loss(settings: Settings, labels: Any, classes: int) -> Loss:
    """Build the loss that the settings describe.

    Args:
        settings: resolved or not.
        labels: of the training images, for balanced class weights.
        classes: how many.
    """
    kind = settings.resolve().loss
    spec: dict[str, Any] = {"kind": kind}
    if kind == "softmax":
        spec["label_smoothing"] = settings.label_smoothing
    else:
        spec["delta"] = settings.delta
    if settings.class_weight == "balanced":
        spec["class_weights"] = balanced_class_weights(labels, classes)
    else:
        spec["class_weights"] = parse_class_weight(settings.class_weight, classes)
    return loss_from_spec(spec)


def make_update(settings: Settings, network: Network) -> Update:
    """Build what a step does with the gradient."""
    resolved = settings.resolve()
    rule = OPTIMIZERS[settings.optimizer]
    options = {} if settings.momentum is None else {"momentum": settings.momentum}
    return Update(
        network,
        rule(**options),
        Penalty(settings.l2, settings.l1),
        weight_decay=float(resolved.weight_decay or 0.0),
        clip=settings.clip,
        max_norm=settings.max_norm,
        averaging=settings.ema,
    )


def make_trainer(
    settings: Settings,
    division: Division,
    classes: int,
    standardization: Standardization | None = None,
    ranks: Alone | None = None,
) -> tuple[Trainer, Standardization]:
    """Build a trainer at its first step.

    Args:
        settings: what to train and how.
        division: the images.
        classes: how many.
        standardization: of an earlier part of the same run; None to fit it to the images.
        ranks: the processes that train together; None for this one alone.

    Raises:
        InputError: settings, images and classes do not fit together.
    """
    if classes < 2:
        raise InputError("there is one class only; a classifier needs at least two.")
    train = division.train
    for images in (train, division.validation):
        if images is not None:
            images.check_labels(classes)
    image_shape = train.images.shape[1:]
    ranks = ranks or Alone()
    if standardization is None:
        if ranks.rank == 0:
            standardization = Standardization.fit(settings.standardize, train.images, train.rows)
        standardization = ranks.hand_out(standardization)
    applier = standardization.applier(settings.dtype)
    augmentation = Augmentation.parse(settings.augment, image_shape)
    batch_size = min(settings.batch_size, len(train))
    shuffle = make_shuffle(
        settings.shuffle, train, batch_size, settings.seed, settings.shuffle_window
    )
    batches = Batches(train, applier, augmentation, shuffle, batch_size, settings.seed, ranks)
    network = make_network(settings, image_shape, classes)
    schedule = Schedule(
        settings.schedule,
        float(settings.resolve().lr or 0.0),
        settings.epochs,
        batches.steps,
        settings.warmup,
        settings.lr_decay,
        settings.lr_decay_epochs,
        settings.lr_patience,
    )
    if settings.schedule == "plateau" and division.validation is None:
        raise InputError("--schedule plateau follows the validation loss; it needs --val above 0.")
    if settings.early_stopping and division.validation is None:
        raise InputError("--early-stopping follows the validation images; it needs --val above 0.")
    trainer = Trainer(
        network,
        make_loss(settings, train.chosen_labels, classes),
        make_update(settings, network),
        schedule,
        batches,
        applier,
        division.validation,
        settings.epochs,
        settings.early_stopping,
        ranks=ranks,
    )
    return trainer, standardization
