"""What a trainer tells whoever walks through it, and where it stands."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepDone:
    """One step or several have been taken: the trainer is at a boundary.

    Attributes:
        epoch: epochs that are over.
        step: steps taken in the one that has begun.
        steps: of an epoch.
        warnings: signs of trouble that have just been noticed, a sentence each.
    """

    epoch: int
    step: int
    steps: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class EpochDone:
    """An epoch is over.

    Attributes:
        epoch: counted from 1.
        epochs: of the whole run.
        record: the quantities of the epoch, by the names of the history.
        is_best: whether these are the best weights so far.
        warnings: signs of trouble that have just been noticed, a sentence each.
    """

    epoch: int
    epochs: int
    record: dict[str, float]
    is_best: bool
    warnings: tuple[str, ...] = ()


@dataclass
class Counters:
    """Where training stands; with the arrays, all that is needed to go on.

    Attributes:
        epoch: epochs that are over.
        step: steps taken in the epoch that has begun.
        loss_sum: sum of the data losses of that epoch's images so far.
        correct: how many of them were classified right while training.
        seen: how many there were.
        norm_sum: sum of the gradient norms of that epoch's steps.
        seconds: spent in training steps, in all.
        images: trained on, in all.
        best_epoch: the epoch of the best weights, counted from 1; 0 for none yet.
        best_accuracy: their accuracy on the validation images.
        best_loss: their data loss on the validation images.
        equal_loss: what the loss of the first step would be if all scores were equal.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    norm_sum: float = 0.0
    seconds: float = 0.0
    images: int = 0
    best_epoch: int = 0
    best_accuracy: float = -1.0
    best_loss: float = float("inf")
    equal_loss: float = float("inf")
