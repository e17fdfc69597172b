"""Learning-rate schedules: where they begin, where they end, what they do between."""

import numpy as np
import pytest

from nnlab.core.schedules import SCHEDULES, Schedule


def rates(kind, epochs=10, steps=5, **options):
    schedule = Schedule(kind, 0.1, epochs, steps, **options)
    return np.array([schedule.rate(step) for step in range(epochs * steps)])


def test_constant_stays():
    assert set(rates("constant")) == {0.1}


def test_step_multiplies_after_so_many_epochs():
    expected = np.repeat([0.1, 0.05, 0.025], [20, 20, 10])
    np.testing.assert_allclose(rates("step", decay=0.5, decay_epochs=4), expected)


def test_exponential_multiplies_after_every_epoch():
    np.testing.assert_allclose(
        rates("exponential", decay=0.9), 0.1 * np.repeat(0.9 ** np.arange(10), 5)
    )


def test_cosine_falls_from_the_base_rate_towards_zero():
    got = rates("cosine")
    np.testing.assert_allclose(got, 0.05 * (1 + np.cos(np.pi * np.arange(50) / 50)))
    assert got[0] == 0.1
    assert 0 < got[-1] < 0.001


def test_one_cycle_rises_to_the_base_rate_and_falls_below_where_it_began():
    got = rates("one_cycle")
    assert got[0] == pytest.approx(0.1 / 25)
    assert got.max() == pytest.approx(0.1)
    assert got.argmax() == 14  # 0.3 * 50 - 1
    assert got[-1] == pytest.approx(0.1 / 250_000)


def test_plateau_falls_when_the_validation_loss_does():
    schedule = Schedule("plateau", 0.1, 100, 5, patience=2)
    seen = []
    for loss in [1.0, 0.9, 0.9, 0.9, 0.9, 0.95, 0.8, 0.81, 0.82, 0.83]:
        schedule.losses.append(loss)
        seen.append(round(schedule.rate(0), 6))
    assert seen == [0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.01, 0.001]


@pytest.mark.parametrize("kind", SCHEDULES)
def test_every_schedule_warms_up_in_a_straight_line(kind):
    got = rates(kind, warmup_epochs=2)
    np.testing.assert_allclose(got[:10], 0.1 * np.arange(1, 11) / 10)
    plain = rates(kind, epochs=8)
    if kind != "step":  # its default period follows from the number of epochs
        np.testing.assert_allclose(got[10:], plain)


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_of_one_step_an_epoch_has_a_rate(kind, epochs):
    assert np.all(rates(kind, epochs=epochs, steps=1) > 0)


@pytest.mark.parametrize("kind", ["step", "exponential"])
def test_a_rate_beyond_all_numbers_is_infinite(kind):
    assert Schedule(kind, 1.0, 100, 1, decay=1e300, decay_epochs=1).rate(99) == np.inf


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="unknown schedule 'linear'"):
        Schedule("linear", 0.1, 1, 1)
