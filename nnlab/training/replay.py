"""Any step of a run, made again: its images, its dropout masks, and where it left the numbers.

Every random number of a run is a function of (seed, purpose, epoch, step), so a past batch needs
nothing stored. What a step computed needs the weights before it: they are walked to from the
nearest state that the run file holds, by the very steps of the training.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.core.dropout import Dropout
from nnlab.errors import InputError
from nnlab.runs import Run
from nnlab.training.assembly import divide, make_trainer
from nnlab.training.dissection import Dissection, dissect
from nnlab.training.images import ImageSet
from nnlab.training.runstate import before_divergence, load_standardization, restore
from nnlab.training.settings import Settings
from nnlab.training.trainer import Trainer

Walking = Callable[[int, int], None]


@dataclass(frozen=True)
class Mask:
    """The dropout mask of one layer.

    Attributes:
        layer: as in ``/weights``.
        shape: (images, units).
        kept: the share of units that were kept.
        sha256: of the mask's bits, packed in C order.
    """

    layer: str
    shape: tuple[int, int]
    kept: float
    sha256: str


@dataclass(frozen=True)
class ReplayedStep:
    """One step of a run.

    Attributes:
        epoch: counted from 1.
        step: within the epoch, counted from 1.
        global_step: over the whole run, counted from 1: one more than its place in the arrays of
            ``/history/step``.
        taken: whether the run has come so far.
        rows: (B,) which rows of the data's training images it saw, in their order.
        images: (B, H, W, C) uint8, as they entered: augmented, and mixed where mixup mixes.
        labels: (B,) their classes.
        partners: (B,) the second classes of mixtures, or None.
        share: (B,) how much of each image is its first class, or None.
        masks: of the dropout layers.
        learning_rate: of the step.
        loss, gradient_norm: as recorded; None for a step that was not taken, or diverged.
    """

    epoch: int
    step: int
    global_step: int
    taken: bool
    rows: NDArray[np.int64]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    partners: NDArray[np.int64] | None
    share: NDArray[Any] | None
    masks: list[Mask]
    learning_rate: float
    loss: float | None
    gradient_norm: float | None

    def record(self, classes: list[str]) -> dict[str, Any]:
        """Return it as plain values, by the keys of `nnlab replay --json`."""
        images: list[dict[str, Any]] = [
            {"row": int(row), "label": int(label), "class": classes[label]}
            for row, label in zip(self.rows, self.labels, strict=True)
        ]
        if self.partners is not None and self.share is not None:
            for image, partner, share in zip(images, self.partners, self.share, strict=True):
                image |= {"mixed_with": classes[partner], "share": float(share)}
        return {
            "epoch": self.epoch,
            "step": self.step,
            "global_step": self.global_step,
            "taken": self.taken,
            "learning_rate": self.learning_rate,
            "loss": self.loss,
            "gradient_norm": self.gradient_norm,
            "dropout": [
                {"layer": m.layer, "shape": list(m.shape), "kept": m.kept, "sha256": m.sha256}
                for m in self.masks
            ],
            "images": images,
        }


@dataclass(frozen=True)
class ReplayedDivergence:
    """How a run diverged.

    Attributes:
        what: what training noticed, such as ``the loss``.
        walked_from: the global step after which the walk began; 0 for the first weights.
        dissection: the step, taken apart.
    """

    what: str
    walked_from: int
    dissection: Dissection


class Replay:
    """A run with its data, ready to make any step again.

    Args:
        run: of kind ``network``.
        train: the data's training images.
        validation: the data's own validation images, or None.

    Attributes:
        steps: of an epoch.
        epochs: of the whole run.

    Raises:
        InputError: the run is of another kind.
        FileFormatError: the run file does not hold what is needed.
    """

    def __init__(self, run: Run, train: ImageSet, validation: ImageSet | None) -> None:
        if run.kind != "network":
            raise InputError(f"{run.path} is a run of kind {run.kind}; there are no steps in it.")
        self._run = run
        known = Settings.__dataclass_fields__
        self._settings = Settings.of({key: run.config[key] for key in run.config if key in known})
        self._division = divide(self._settings, train, validation)
        self._trainer = self._make()
        self.steps, self.epochs = self._trainer.batches.steps, self._trainer.epochs

    def _make(self) -> Trainer:
        """Return a trainer before its first step."""
        trainer, _ = make_trainer(
            self._settings,
            self._division,
            len(self._run.classes),
            load_standardization(self._run),
        )
        return trainer

    def place(self, step: int | None, epoch: int | None) -> tuple[int, int]:
        """Return epoch and step, counted from 0, of what a user names counting from 1.

        Args:
            step: within `epoch`, or over the whole run without one; None for the step in which
                the run diverged.
            epoch: counted from 1, or None.

        Raises:
            InputError: there is no such step, or none is named and the run did not diverge.
        """
        total = self.epochs * self.steps
        if step is None:
            found = self._run.attributes.get("divergence")
            if found is None or epoch is not None:
                raise InputError(
                    f"name a step: --step 1 to {total:,}, or --epoch and --step 1 to {self.steps:,}"
                    + ("." if found else "; the run did not diverge.")
                )
            return int(found["epoch"]) - 1, int(found["step"]) - 1
        if epoch is None and 1 <= step <= total:
            return divmod(step - 1, self.steps)
        if epoch is not None and 1 <= epoch <= self.epochs and 1 <= step <= self.steps:
            return epoch - 1, step - 1
        raise InputError(
            f"the run has {self.epochs:,} epochs of {self.steps:,} steps, {total:,} in all; they "
            "are counted from 1."
        )

    def step(self, epoch: int, step: int) -> ReplayedStep:
        """Make one step again; epoch and step are counted from 0."""
        trainer, index = self._trainer, epoch * self.steps + step
        seen = trainer.batches.seen(epoch, step)
        history = self._run.history["step"]
        taken = index < len(history["loss"])
        losses = self._run.history["epoch"].get("val_loss", np.empty(0))[:epoch]
        trainer.schedule.losses[:] = [float(loss) for loss in losses]
        return ReplayedStep(
            epoch=epoch + 1,
            step=step + 1,
            global_step=index + 1,
            taken=taken,
            rows=seen.rows,
            images=seen.images,
            labels=seen.labels,
            partners=seen.partners,
            share=seen.share,
            masks=_masks(trainer, epoch, step),
            learning_rate=trainer.schedule.rate(index),
            loss=float(history["loss"][index]) if taken else None,
            gradient_norm=float(history["gradient_norm"][index]) if taken else None,
        )

    def divergence(self, walking: Walking | None = None) -> ReplayedDivergence | None:
        """Walk to the step in which the run diverged and take it apart.

        Args:
            walking: called with (steps walked, steps to walk).

        Returns:
            What was found; None if the run did not diverge.

        Raises:
            DivergedError: the walk diverged earlier than the run did: on another machine, or with
                another number of threads, sums differ in their last bits.
        """
        found = self._run.attributes.get("divergence")
        if found is None:
            return None
        trainer, target = self._make(), int(found["global_step"]) - 1
        # A walk is no training: it ends at the step that is looked for.
        trainer.early_stopping = 0
        before = before_divergence(self._run)
        if before is not None:
            restore(trainer, before)
        start = trainer.steps_done
        if start > target:  # noticed only after the checkpoint that is kept
            trainer, start = self._make(), 0
            trainer.early_stopping = 0
        if start < target:
            for _ in trainer.run():
                if walking is not None:
                    walking(trainer.steps_done - start, target - start)
                if trainer.steps_done >= target:
                    break
        return ReplayedDivergence(str(found["what"]), start, dissect(trainer))


def _masks(trainer: Trainer, epoch: int, step: int) -> list[Mask]:
    """Draw the masks of a step; they do not depend on the weights."""
    network = trainer.network
    if not any(isinstance(layer, Dropout) for layer in network.layers):
        return []
    network.begin_step(epoch, step)
    rows = len(trainer.batches.batch(epoch, step).labels)
    masks = []
    for index, layer in enumerate(network.layers):
        if isinstance(layer, Dropout):
            kept = layer.draw(rows)
            digest = hashlib.sha256(np.packbits(kept).tobytes()).hexdigest()
            shape = (rows, layer.inputs)
            masks.append(Mask(f"{index}_{layer.kind}", shape, float(kept.mean()), digest))
    return masks
