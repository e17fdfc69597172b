"""Splits and folds that keep each class's share."""

import numpy as np
import pytest

from nnlab.errors import InputError
from nnlab.stratify import held_out_count, stratified_folds, stratified_split

LABELS = np.repeat([0, 1, 2, 5], [50, 30, 19, 1])


@pytest.mark.parametrize("amount", [0, 0.1, 0.25, 7, 33, 0.99, 99])
def test_a_split_takes_the_exact_number_and_every_row_once(amount):
    stay, aside = stratified_split(LABELS, amount, seed=3)
    assert len(aside) == held_out_count(amount, 100)
    np.testing.assert_array_equal(np.sort(np.concatenate([stay, aside])), np.arange(100))
    assert (np.diff(stay) > 0).all()
    assert (np.diff(aside) > 0).all()


def test_every_class_keeps_its_share_to_within_one():
    for amount in range(1, 100):
        _, aside = stratified_split(LABELS, amount, seed=0)
        for label, size in zip(*np.unique(LABELS, return_counts=True), strict=True):
            assert abs((LABELS[aside] == label).sum() - size * amount / 100) < 1


def test_the_seed_alone_decides_which_rows():
    first, again, other = (stratified_split(LABELS, 20, seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("amount", [-1, -0.1, 100, 1000, 2.5])
def test_an_amount_that_makes_no_sense_is_refused(amount):
    with pytest.raises(InputError, match=r"cannot set aside|neither a share"):
        stratified_split(LABELS, amount, seed=0)


@pytest.mark.parametrize("folds", [2, 5, 7, 100])
def test_folds_hold_every_class_in_equal_parts(folds):
    assigned = stratified_folds(LABELS, folds, seed=4)
    assert set(assigned) == set(range(folds))
    sizes = np.bincount(assigned)
    assert sizes.max() - sizes.min() <= 1
    for label in np.unique(LABELS):
        counts = np.bincount(assigned[label == LABELS], minlength=folds)
        assert counts.max() - counts.min() <= 1


def test_the_seed_decides_the_folds():
    first, again, other = (stratified_folds(LABELS, 5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("folds", [1, 0, -2, 101])
def test_a_number_of_folds_that_makes_no_sense_is_refused(folds):
    with pytest.raises(InputError, match="take from 2 to 100"):
        stratified_folds(LABELS, folds, seed=0)
