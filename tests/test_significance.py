"""Interval and paired test, against SciPy."""

import numpy as np
import pytest
import scipy.stats

from nnlab.significance import accuracy_interval, compare_pairs


@pytest.mark.parametrize(("correct", "n"), [(850, 1000), (12, 40), (9986, 10_000), (1, 7)])
def test_the_interval_is_that_of_resampling_images(correct, n):
    images = np.r_[np.ones(correct), np.zeros(n - correct)]
    expected = scipy.stats.bootstrap(
        (images,), np.mean, confidence_level=0.9, method="percentile", n_resamples=4000, batch=100,
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    found = accuracy_interval(correct, n, 0.9)
    deviation = np.sqrt(correct / n * (1 - correct / n) / n)
    assert found.low == pytest.approx(expected.low, abs=0.1 * deviation + 1 / n)
    assert found.high == pytest.approx(expected.high, abs=0.1 * deviation + 1 / n)
    assert found.low < correct / n < found.high


def test_the_same_counts_give_the_same_interval():
    assert accuracy_interval(70, 100) == accuracy_interval(70, 100)
    assert accuracy_interval(70, 100, 0.99).low < accuracy_interval(70, 100, 0.9).low


def test_nothing_wrong_leaves_nothing_to_resample():
    interval = accuracy_interval(50, 50)
    assert (interval.low, interval.high) == (1.0, 1.0)


def pairs(only_first, only_second, both=5, neither=3):
    """Answers of two models with these counts."""
    first = np.r_[np.ones(only_first), np.zeros(only_second), np.ones(both), np.zeros(neither)]
    second = np.r_[np.zeros(only_first), np.ones(only_second), np.ones(both), np.zeros(neither)]
    return first.astype(bool), second.astype(bool)


@pytest.mark.parametrize(
    ("only_first", "only_second"),
    [(0, 0), (0, 1), (0, 6), (5, 5), (9, 2), (101, 59), (263, 679), (1500, 1400), (30_000, 29_000)],
)
def test_mcnemars_p_value_is_the_exact_binomial_one(only_first, only_second):
    found = compare_pairs(*pairs(only_first, only_second))
    tosses = only_first + only_second
    expected = scipy.stats.binomtest(only_first, tosses, 0.5).pvalue if tosses else 1.0
    assert found.p_value == pytest.approx(expected, rel=1e-8)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert (found.both_right, found.both_wrong) == (5, 3)
    assert found.difference == pytest.approx((only_first - only_second) / (8 + tosses))


def test_answers_that_are_no_pairs_are_refused():
    with pytest.raises(ValueError, match="no pairs"):
        compare_pairs(np.ones(3, bool), np.ones(4, bool))
