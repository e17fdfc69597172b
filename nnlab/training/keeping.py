"""What keeps a run while it trains: checkpoints that may fail, and last saves that must not."""

from time import monotonic, sleep
from typing import Any

from nnlab.claims import Claim
from nnlab.errors import DivergedError, InputError
from nnlab.runs import Run, open_run
from nnlab.training.pace import Pace
from nnlab.training.runstate import keep_for_replay, store
from nnlab.training.trainer import TOGETHER, Trainer

# Between the tries of a save that nothing follows: quotas and file servers recover.
PATIENCE = (1.0, 5.0)


class Keeper:
    """Writes one run file under its claim.

    Args:
        trainer: whose state is kept.
        run: what is written; `run.path` is set if a checkpoint is there already.
        held: the claim to the file; None where another rank writes it, and this one nothing.

    Attributes:
        pace: of the training; it learns how long writes take.
    """

    def __init__(self, trainer: Trainer, run: Run, held: Claim | None) -> None:
        self._trainer, self._run, self._held = trainer, run, held
        self._kept = _where(trainer) if run.path is not None else ""
        self._saved, self._saved_steps = monotonic(), trainer.steps_done
        self.pace = Pace(trainer, monotonic(), checkpoint_bytes(trainer))

    def is_due(self, now: float, seconds: float | None, steps: int | None) -> bool:
        """Say whether it is time for a checkpoint, by either of two intervals."""
        by_time = seconds is not None and now - self._saved >= seconds
        by_steps = steps is not None and self._trainer.steps_done - self._saved_steps >= steps
        return by_time or by_steps

    def steps_to_go(self, steps: int | None) -> int:
        """Return how many steps may be taken before a checkpoint is due by this interval."""
        return TOGETHER if steps is None else steps + self._saved_steps - self._trainer.steps_done

    def checkpoint(self) -> str:
        """Save where training stands.

        Returns:
            A warning, if it could not be written or may not last; training goes on all the same.

        Raises:
            DivergedError: a weight is not finite; nothing was written.
            ClaimLostError: another process has taken the run file over.
        """
        self._trainer.check_finite()
        try:
            return self._write()
        except (InputError, MemoryError) as error:
            return f"no checkpoint could be written: {error or 'no memory'} Training goes on."
        finally:
            self._saved, self._saved_steps = monotonic(), self._trainer.steps_done

    def save_last(self) -> str:
        """Save a state that no other will follow, and try again for a few seconds if need be.

        Returns:
            A warning: it is written, but may not survive a power cut.

        Raises:
            InputError: it could not be written; the message says what is there to go on from.
            DivergedError, ClaimLostError: as `checkpoint`.
        """
        self._trainer.check_finite()
        for pause in (*PATIENCE, None):
            try:
                return self._write()
            except InputError as error:
                if pause is None:
                    there = (
                        f"the file still holds the checkpoint after {self._kept}: the same command "
                        "with --resume goes on from there"
                        if self._kept
                        else "there is no earlier checkpoint"
                    )
                    reason = str(error).rstrip(".")
                    raise InputError(f"{reason}. The last state is lost; {there}.") from error
                sleep(pause)
        raise AssertionError  # the last try returns or raises

    def save_diverged(self, error: DivergedError) -> str:
        """Keep the last good weights, and what a replay of the bad step needs.

        Returns:
            Why they could not be written; usually empty.

        Raises:
            ClaimLostError: another process has taken the run file over.
        """
        if self._held is None:
            return ""
        before = None
        if self._kept:
            try:
                before = open_run(self._held.path)
            except InputError:  # then a replay begins at the first step
                before = None
        store(self._trainer, self._run)
        # The optimizer's state belongs to the bad step; what a replay begins with is kept apart.
        for name in [name for name in self._run.arrays if name.startswith("optimizer/")]:
            del self._run.arrays[name]
        keep_for_replay(self._run, before)
        self._run.attributes["progress"]["diverged"] = True
        self._run.attributes["divergence"] = dict(error.details)
        try:
            self._run.save(self._held.path, self._held)
        except InputError as failure:
            return str(failure)
        return ""

    def _write(self) -> str:
        if self._held is None:
            store(self._trainer, self._run)
            return ""
        began = monotonic()
        store(self._trainer, self._run)
        try:
            warning = self._run.save(self._held.path, self._held)
        finally:
            self.pace.wrote(began, monotonic())
        self._kept = _where(self._trainer)
        return warning


def checkpoint_bytes(trainer: Trainer) -> int:
    """Return about how many bytes a checkpoint of this trainer takes."""
    update = trainer.update
    vectors: list[Any] = [
        trainer.network.theta, trainer.network.running, trainer.best_theta, trainer.best_running,
        trainer.good_theta, trainer.good_running, *update.optimizer.state.values(),
    ]  # fmt: skip
    if update.average is not None:
        vectors.append(update.average)
    history = sum(8 * trainer.steps_done for _ in trainer.step_history)
    return sum(int(vector.nbytes) for vector in vectors) + history


def _where(trainer: Trainer) -> str:
    counters = trainer.counters
    return f"epoch {counters.epoch}, step {counters.step}"
