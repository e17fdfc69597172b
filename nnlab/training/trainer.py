"""The trainer: gradient descent as a sequence of steps and epochs that a caller walks through.

    for event in trainer.run():
        ...

A plain network takes several steps between two events, if it may: `Trainer.together`. Between two
events the trainer is at a step boundary: its state can be stored there, and another
trainer that is given that state goes on exactly as this one would have. To stop, stop walking.
"""

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from math import isfinite
from time import perf_counter
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nnlab.core.losses import Loss, count_right
from nnlab.core.network import Network
from nnlab.core.plain import PlainNetwork, is_plain
from nnlab.core.schedules import Schedule
from nnlab.core.update import Update
from nnlab.core.workers import at_work
from nnlab.errors import DivergedError
from nnlab.ranks import Alone
from nnlab.training import advice, watch
from nnlab.training.batches import Batch, Batches
from nnlab.training.events import Counters, EpochDone, StepDone
from nnlab.training.exchange import Exchange
from nnlab.training.images import ImageSet
from nnlab.training.inference import BLOCK, Performance, performance
from nnlab.training.standardization import Applier

STEP_HISTORY = ("loss", "learning_rate", "gradient_norm")
# The history of steps has room for so many epochs at first, and for twice as many when it is full.
FIRST_EPOCHS = 64
# Rules that judge an epoch look at so many sampled steps at least, earlier ones if need be.
FEWEST_SAMPLES = 3
# Steps that are taken in one call, at most: with more of them nothing is gained.
TOGETHER = 64
# And in so many seconds, so that whoever wants to stop or to save need not wait.
TOGETHER_SECONDS = 0.1


@dataclass
class Trainer:
    """Minibatch gradient descent of one network.

    Args:
        network: what is trained.
        loss: the data loss.
        update: what a step does with the gradient.
        schedule: the learning rate of every step.
        batches: the training images.
        applier: the standardization, for the validation images.
        validation: images to choose the best weights by; None to keep the last ones.
        epochs: how many in all.
        early_stopping: stop after so many epochs without better weights; 0 for never.
        counters: where training stands.
        ranks: the processes that train this network together.
        together: how many steps may be taken between two events, `TOGETHER` at most; what becomes
            of the network does not depend on it.

    Attributes:
        exchange: what they say to one another.
        watch: what was measured in the sampled steps.
        warnings: signs of trouble so far, by the names of `nnlab.training.advice`.
    """

    network: Network
    loss: Loss
    update: Update
    schedule: Schedule
    batches: Batches
    applier: Applier
    validation: ImageSet | None
    epochs: int
    early_stopping: int = 0
    counters: Counters = field(default_factory=Counters)
    ranks: Alone = field(default_factory=Alone)
    together: int = 1

    def __post_init__(self) -> None:
        self.exchange = Exchange(self.ranks, self.update)
        rows = max(self.batches.batch_size, BLOCK)
        self.network.reserve(rows)
        self.loss.allocate(rows, self.network.outputs, self.network.dtype)
        room = min(self.epochs, FIRST_EPOCHS) * self.batches.steps
        self.step_history = {name: np.empty(room) for name in STEP_HISTORY}
        self.epoch_history: dict[str, list[float]] = {}
        self.best_theta = self.network.theta.copy()
        self.best_running = self.network.running.copy()
        # What divergence falls back on: the weights at the end of the last whole epoch.
        self.good_theta = self.network.theta.copy()
        self.good_running = self.network.running.copy()
        self._spare = np.empty_like(self.network.theta)
        self._plain = None
        if self.ranks.size == 1 and is_plain(self.network, self.loss, self.update):
            self._plain = PlainNetwork(self.update, self.loss, self.batches.batch_size)
        self._step_seconds = TOGETHER_SECONDS
        self.watch = watch.Watch(self.network, self.batches.batch_size, self._spare)
        self.warnings: dict[str, str] = {}
        self._fresh: list[str] = []

    @property
    def steps_done(self) -> int:
        """How many steps have been taken since the beginning."""
        return self.counters.epoch * self.batches.steps + self.counters.step

    @property
    def stopped_early(self) -> bool:
        """Whether the validation accuracy has not risen for too long."""
        counters = self.counters
        waited = counters.epoch - counters.best_epoch
        return bool(self.early_stopping and self.validation and waited >= self.early_stopping)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.counters.epoch >= self.epochs or self.stopped_early

    def run(self) -> Iterator[StepDone | EpochDone]:
        """Train until the last epoch, or until it no longer helps.

        Yields:
            `StepDone` after every step but an epoch's last, or after several of them, `EpochDone`
            after every epoch: all of them step boundaries.

        Raises:
            DivergedError: a loss, a gradient or a weight was not finite. The network has the
                weights of the last whole epoch then.
        """
        while not self.finished:
            self._make_room()
            yield from self._steps()
            with np.errstate(all="ignore"):  # as in `_steps`
                done = self._finish_epoch()
            yield done

    def _make_room(self) -> None:
        # Before an epoch, so that no step allocates; not for all epochs at once, because a run
        # that ends with its time limit may have been given any number of them.
        begun, done = self.counters.epoch + 1, self.steps_done
        if len(self.step_history["loss"]) < begun * self.batches.steps:
            for name, values in self.step_history.items():
                grown = np.empty(min(self.epochs, 2 * begun) * self.batches.steps)
                grown[:done] = values[:done]
                self.step_history[name] = grown

    def _steps(self) -> Iterator[StepDone]:
        counters, steps = self.counters, self.batches.steps
        while counters.step < steps:
            started, before = perf_counter(), counters.step
            # What is not finite is found and said by `_note`.
            with np.errstate(all="ignore"), at_work():
                self._go_on()
            seconds = perf_counter() - started
            counters.seconds += seconds
            self._step_seconds = seconds / (counters.step - before)
            if counters.step < steps:
                yield StepDone(counters.epoch, counters.step, steps, self._fresh_warnings())

    def _go_on(self) -> None:
        """Take a step, or several that nobody wants to look into."""
        epoch, step, done = self.counters.epoch, self.counters.step, self.steps_done
        most = self._unwatched(done)
        given = self.batches.several(epoch, step, most) if most else None
        if self._plain is not None and given is not None:
            images, labels = given
            rates = [self.schedule.rate(done + i) for i in range(len(labels) // len(images.x))]
            taken = self._plain.steps(images, labels, rates)
        else:
            rates = [self.schedule.rate(done)]
            taken = [self._take(self.batches.batch(epoch, step), rates[0])]
        self._note(rates, taken)

    def _unwatched(self, done: int) -> int:
        """Return how many steps of a plain network may be taken together now; 0 for none."""
        if self._plain is None or not self._plain.is_ready:
            return 0
        to_sample = watch.next_sample(done) - done
        to_last = self.batches.steps - 1 - self.counters.step
        in_time = max(1, int(TOGETHER_SECONDS / self._step_seconds))
        return min(to_sample, to_last, in_time, self.together, TOGETHER)

    def _note(self, rates: list[float], taken: list[tuple[float, int, float]]) -> None:
        """Write down what steps have found: loss, images classified right, gradient norm."""
        counters, history, done = self.counters, self.step_history, self.steps_done
        last_loss, _, last_norm = taken[-1]  # no step follows one that is not finite
        if not (isfinite(last_loss) and isfinite(last_norm)):
            if len(taken) > 1:
                self._note(rates, taken[:-1])
            what = "the gradient" if isfinite(last_loss) else "the loss"
            self._diverged(what, counters.epoch, counters.step)
        losses, corrects, norms = zip(*taken, strict=True)
        count, size = len(taken), self.batches.count(counters.step)
        noted = slice(done, done + count)
        history["loss"][noted] = losses
        history["learning_rate"][noted] = rates[:count]
        history["gradient_norm"][noted] = norms
        for loss, norm in zip(losses, norms, strict=True):
            counters.loss_sum += loss * size
            counters.norm_sum += norm
        counters.correct += sum(corrects)
        counters.seen += count * size
        counters.images += count * size
        counters.step += count

    def _take(self, batch: Batch, rate: float) -> tuple[float, int, float]:
        """Take a step layer by layer; return its loss, how many were right, its gradient's norm."""
        network, counters, done = self.network, self.counters, self.steps_done
        is_sampled = watch.next_sample(done) == done
        is_watched = is_sampled or counters.step == self.batches.steps - 1
        network.begin_step(counters.epoch, counters.step, *self.ranks.stream)
        self.exchange.begin(self.batches.count(counters.step))
        scores = network.forward(batch.x, training=True)
        loss, dscores = self.loss(scores, batch.labels, batch.partners, batch.share)
        correct = count_right(scores, batch.labels)
        if self.ranks.size == 1 and not is_watched:
            # Nobody asks for the whole gradient.
            return loss, correct, self.update.descend(dscores, rate)
        network.backward(self.exchange.weighted(dscores))
        loss, correct = self.exchange.sum(loss, correct, is_watched)
        if not is_watched or not isfinite(loss):
            return loss, correct, self.exchange.apply(rate, is_watched)
        gradients = self.watch.gradients()
        self.watch.before_update()
        norm = self.exchange.apply(rate, is_watched)
        if isfinite(norm):
            self._watched = gradients | self.watch.update()
            if is_sampled:
                self.watch.keep(done, self._watched | self.watch.units(len(batch.labels)))
            if done == 0:
                self._judge_first_loss(scores, batch, loss)
        return loss, correct, norm

    def _judge_first_loss(self, scores: NDArray[Any], batch: Batch, found: float) -> None:
        equal, _ = self.loss(np.zeros_like(scores), batch.labels, batch.partners, batch.share)
        self.counters.equal_loss = equal
        self._warn("initial_loss", advice.initial_loss(self.loss, scores.shape[1], found, equal))

    def _judge_epoch(self) -> None:
        counters = self.counters
        sampled = self.watch.history
        if not sampled:  # a run of before there were samples goes on, and has not met one yet
            return
        begun = counters.epoch * self.batches.steps
        count = max(FEWEST_SAMPLES, len(sampled["step"]) - bisect_left(sampled["step"], begun))
        steps = [int(step) for step in sampled["step"][-count:]]
        rates = self.step_history["learning_rate"][: self.steps_done]
        evidence = advice.Evidence(
            self.network,
            self.epoch_history,
            {name: values[-count:] for name, values in sampled.items()},
            (rates[steps] / rates.max()).tolist(),
            float(self.step_history["loss"][0]),
            counters.equal_loss,
        )
        for name, rule in advice.RULES.items():
            if name not in self.warnings:
                self._warn(name, rule(evidence))

    def _warn(self, name: str, text: str | None) -> None:
        if text is not None:
            self.warnings[name] = text
            self._fresh.append(text)

    def _fresh_warnings(self) -> tuple[str, ...]:
        fresh, self._fresh = self._fresh, []
        return tuple(fresh)

    def diverge(self, what: str) -> NoReturn:
        """Fall back on the weights of the last whole epoch and say what was not finite."""
        self._diverged(what, *divmod(max(0, self.steps_done - 1), self.batches.steps))

    def check_finite(self) -> None:
        """Make sure that nothing in the state is infinite or not a number.

        Raises:
            DivergedError: something is; as `run`.
        """
        network, update = self.network, self.update
        state = list(update.optimizer.state.values())
        if update.average is not None:
            state.append(update.average)
        for what, vectors in (
            ("a weight", [network.theta, network.running]),
            ("the optimizer's state", state),
        ):
            if not all(np.isfinite(vector).all() for vector in vectors):
                self.diverge(what)

    def _diverged(self, what: str, epoch: int, step: int) -> NoReturn:
        self.network.theta[...] = self.good_theta
        self.network.running[...] = self.good_running
        index = epoch * self.batches.steps + step
        rate, base = self.schedule.rate(index), self.schedule.learning_rate
        raise DivergedError(
            f"training diverged: {what} was not finite at epoch {epoch + 1}, step {step + 1}, with "
            f"a learning rate of {rate:.3g}; try a smaller --lr (such as {base / 10:.1g}), "
            "--clip 1, --warmup 1, or another --init.",
            diverged=True,
            what=what,
            epoch=epoch + 1,
            step=step + 1,
            global_step=index + 1,
            learning_rate=rate,
        )

    def _finish_epoch(self) -> EpochDone:
        counters, network = self.counters, self.network
        record = {
            "train_loss": counters.loss_sum / counters.seen,
            "train_accuracy": counters.correct / counters.seen,
            "penalty": self.update.penalty.value(network.theta[: network.penalized]),
        }
        # The epoch's last step has not been followed by one that would notice.
        self.check_finite()
        is_best = True
        if self.validation is not None:
            with self.averaged_weights():
                measured = self.measure(self.validation)
            if not isfinite(measured.loss):
                self._diverged("the validation loss", counters.epoch, counters.step - 1)
            record["val_loss"], record["val_accuracy"] = measured.loss, measured.accuracy
            self.schedule.losses.append(measured.loss)
            rank = (measured.accuracy, -measured.loss)
            is_best = rank > (counters.best_accuracy, -counters.best_loss)
        if is_best:
            average = self.update.average
            self.best_theta[...] = network.theta if average is None else average
            self.best_running[...] = network.running
            counters.best_epoch = counters.epoch + 1
            counters.best_accuracy = record.get("val_accuracy", -1.0)
            counters.best_loss = record.get("val_loss", float("inf"))
        self.good_theta[...] = network.theta
        self.good_running[...] = network.running
        record |= {
            "learning_rate": float(self.step_history["learning_rate"][self.steps_done - 1]),
            "gradient_norm": counters.norm_sum / counters.step,
            "seconds": counters.seconds,
            **self._watched,
        }
        for name, value in record.items():
            self.epoch_history.setdefault(name, []).append(value)
        self._judge_epoch()
        counters.epoch += 1
        counters.step = counters.correct = counters.seen = 0
        counters.loss_sum = counters.norm_sum = 0.0
        return EpochDone(counters.epoch, self.epochs, record, is_best, self._fresh_warnings())

    def measure(self, images: ImageSet) -> Performance:
        """Measure the network as it is on images; every rank takes its share of them."""
        mine = replace(images, rows=images.rows[self.ranks.rows(len(images))])
        part = performance(self.network, self.loss, self.applier, mine)
        return self.exchange.joined(part, len(mine), len(images))

    def averaged_weights(self) -> AbstractContextManager[None]:
        """Put the averaged weights, if there are any, into the network for a while."""
        average = self.update.average
        return self._other_weights(self.network.theta if average is None else average)

    def best_weights(self) -> AbstractContextManager[None]:
        """Put the best weights so far, and their running statistics, in for a while."""
        return self._other_weights(self.best_theta, self.best_running)

    @contextmanager
    def _other_weights(
        self, theta: NDArray[Any], running: NDArray[Any] | None = None
    ) -> Iterator[None]:
        network = self.network
        own = network.running.copy()
        self._spare[...] = network.theta
        network.theta[...] = theta
        network.running[...] = own if running is None else running
        try:
            yield
        finally:
            network.theta[...] = self._spare
            network.running[...] = own
