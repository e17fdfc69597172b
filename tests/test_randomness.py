"""Random numbers are a function of seed, purpose and place, the same on every machine."""

import itertools

import numpy as np
import pytest

from nnlab.randomness import generator


def draw(*key):
    return tuple(generator(*key).integers(0, 2**62, 4))


def test_the_same_key_gives_the_same_stream():
    assert draw(3, "dropout", 1, 2) == draw(3, "dropout", 1, 2)


def test_every_part_of_the_key_matters():
    keys = [
        (0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), (0, "a", 0, 0), (0, "a", 1, 0),
        (0, "a", 0, 1), (2**40, "a"),
    ]  # fmt: skip
    for one, other in itertools.combinations(keys, 2):
        assert draw(*one) != draw(*other), (one, other)


def test_the_global_state_of_numpy_plays_no_part():
    np.random.seed(5)
    expected = draw(0, "a")
    np.random.seed(6)
    assert draw(0, "a") == expected


def test_streams_of_neighbouring_steps_are_not_related():
    rows = np.array([generator(0, "dropout", 0, step).random(2000) for step in range(20)])
    correlations = np.corrcoef(rows)[np.triu_indices(20, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(2000)


def test_the_streams_are_fixed_for_ever():
    # A run begun with one version has to go on exactly with the next.
    stream = generator(7, "batches", 2).bit_generator.random_raw(2)
    assert list(stream) == [208974888176887334, 11733696723501489076]


@pytest.mark.parametrize("key", [(-1, "a"), (0, "a", -1)])
def test_negative_keys_are_refused(key):
    with pytest.raises(ValueError, match=r"non-negative|expected"):
        generator(*key)
