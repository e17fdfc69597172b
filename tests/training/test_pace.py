"""How long the way to the next safe boundary takes."""

from types import SimpleNamespace

import pytest

from nnlab.training.durations import format_roughly
from nnlab.training.pace import CAUTION, MARGIN_SECONDS, Pace


def trainer(epoch=0, step=0, epochs=10, steps=5, validation=None, batch_size=20):
    return SimpleNamespace(
        counters=SimpleNamespace(epoch=epoch, step=step),
        epochs=epochs,
        batches=SimpleNamespace(steps=steps, batch_size=batch_size),
        validation=validation,
        steps_done=epoch * steps + step,
    )


def walked(moments, write=0.5, **of):
    """A pace after boundaries at some moments, one a step, and a checkpoint at the beginning."""
    walker = trainer(**of)
    pace = Pace(walker, 0.0, 0)
    pace.wrote(0.0, write)
    for moment in moments:
        done = walker.steps_done = walker.steps_done + 1
        walker.counters.epoch, walker.counters.step = divmod(done, walker.batches.steps)
        pace.boundary(moment)
    return pace


def test_a_step_and_a_write_must_still_fit():
    pace = walked([1.5, 2.5])
    assert pace.next_seconds() == CAUTION * (1.0 + 0.5) + MARGIN_SECONDS
    assert not pace.must_stop(2.5, 2.5 + pace.next_seconds() + 0.01)
    assert pace.must_stop(2.5, 2.5 + pace.next_seconds())
    assert not pace.must_stop(2.5, float("inf"))


def test_the_end_of_an_epoch_takes_longer_than_a_step():
    known = walked([1.5, 2.5, 3.5, 4.5, 25.5, 26.5, 27.5, 28.5, 29.5])
    assert known.next_seconds() == CAUTION * (21.0 + 0.5) + MARGIN_SECONDS
    guessed = walked([1.5, 2.5, 3.5, 4.5], validation=range(200))
    assert guessed.next_seconds() == CAUTION * (11.0 + 0.5) + MARGIN_SECONDS


def test_the_last_epochs_end_measures_the_training_images_too():
    pace = walked([1.5, 2.5, 3.5, 4.5], epochs=1)
    assert pace.next_seconds() == CAUTION * (1.0 + 5.0 + 0.5) + MARGIN_SECONDS


def test_a_slow_disk_is_assumed_until_one_write_is_measured():
    assert Pace(trainer(), 0.0, 400_000_000).next_seconds() > 30


def test_how_much_is_left():
    pace = walked([1.5, 2.5, 3.5], epochs=2)
    assert pace.seconds_left() == pytest.approx(7.0)
    assert pace.in_words() == "0 of 2 epochs and 3 of 5 steps; about 7 s more"
    assert Pace(trainer(epoch=3), 0.0, 0).in_words() == "3 of 10 epochs"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "about 1 s"), (80, "about 80 s"), (1200, "about 20 min"), (11400, "about 3 h 10 min"),
     (500000, "about 5 days")],
)  # fmt: skip
def test_an_estimate_is_round(seconds, text):
    assert format_roughly(seconds) == text
