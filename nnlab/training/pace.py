"""How long training takes from one safe boundary to the next, and whether another still fits."""

from nnlab.training.durations import format_roughly
from nnlab.training.trainer import Trainer

# Steps and writes vary; the longest so far may be exceeded by this factor.
CAUTION = 1.5
# For the end of the process, and for what the batch system's clock and ours may differ by.
MARGIN_SECONDS = 5.0
# Before the first checkpoint: what the slowest disk that is still usable writes in a second.
SLOW_DISK = 20e6


class Pace:
    """Times the walk of a trainer, boundary by boundary.

    Args:
        trainer: at the boundary where the walk begins.
        now: seconds of a monotonic clock.
        size: of a checkpoint in bytes, for a guess at how long one takes.
    """

    def __init__(self, trainer: Trainer, now: float, size: int) -> None:
        self._trainer = trainer
        self._began = self._last = now
        self._first = self._done = trainer.steps_done
        self._idle = 0.0
        # The longest so far: from one boundary within an epoch to the next, one step of it, and
        # from the last one to the epoch's end.
        self._way = self._step = self._end = 0.0
        self._write = 1.0 + size / SLOW_DISK
        self._wrote = False

    def boundary(self, now: float) -> None:
        """Note that the trainer has come to a boundary."""
        taken = now - self._last
        if self._trainer.counters.step == 0:
            self._end = max(self._end, taken)
        else:
            self._way = max(self._way, taken)
            self._step = max(self._step, taken / (self._trainer.steps_done - self._done))
        self._last, self._done = now, self._trainer.steps_done

    def wrote(self, began: float, now: float) -> None:
        """Note how long a checkpoint took."""
        self._write = max(self._write, now - began) if self._wrote else now - began
        self._wrote = True
        self._idle += now - began
        self._last = now

    def next_seconds(self) -> float:
        """Return how long the way to the next boundary may take, the last save included."""
        trainer = self._trainer
        step = max(self._step, self._end if not self._step else 0.0)
        taken = max(self._way, step)
        if trainer.counters.step == trainer.batches.steps - 1:
            images = 0 if trainer.validation is None else len(trainer.validation)
            guess = step * (1 + images / trainer.batches.batch_size)
            taken = self._end or guess
            if trainer.counters.epoch == trainer.epochs - 1:  # all training images are measured
                taken += step * trainer.batches.steps
        return CAUTION * (taken + self._write) + MARGIN_SECONDS

    def must_stop(self, now: float, end: float) -> bool:
        """Say whether the next boundary may come too late to save before `end`."""
        return now + self.next_seconds() >= end

    def seconds_left(self) -> float | None:
        """Return how long the rest of the training takes at this pace; None if unknown."""
        trainer = self._trainer
        steps = trainer.steps_done - self._first
        if steps <= 0:
            return None
        each = (self._last - self._began - self._idle) / steps
        return each * (trainer.epochs * trainer.batches.steps - trainer.steps_done)

    def in_words(self) -> str:
        """Say how far training has come: ``37 of 50 epochs; about 20 min more``."""
        trainer = self._trainer
        text = f"{trainer.counters.epoch} of {trainer.epochs} epochs"
        if trainer.counters.step:
            text += f" and {trainer.counters.step} of {trainer.batches.steps} steps"
        left = self.seconds_left()
        return text if left is None else f"{text}; {format_roughly(left)} more"
