"""An L1 search skips what its sketches rule out, and never a neighbour."""

import numpy as np
import pytest
from brute_force import brute_force
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nnlab.neighbors import engines, search
from nnlab.neighbors.levels import available

sketch = pytest.importorskip("nnlab.neighbors.sketch", reason="Numba is not installed")
LEVELS = [level for level in available() if level != "numpy"]
WIDTH = 1024


def sketches(images):
    drawn = np.empty((len(images), WIDTH // sketch.RUN), dtype=np.uint8)
    sketch.draw(images, drawn)
    return drawn.astype(np.int64)


def bound(a, b):
    sums = np.abs(sketches(a) - sketches(b)).sum(axis=1)
    return sketch.RUN * (sums - WIDTH // sketch.RUN)


BYTES = arrays.arrays(np.uint8, (2, WIDTH), elements=st.integers(0, 255), fill=st.integers(0, 255))


@given(BYTES)
@settings(max_examples=200, deadline=None)
def test_the_bound_is_never_above_the_distance(pair):
    a, b = pair[:1], pair[1:]
    assert bound(a, b) <= np.abs(a.astype(int) - b).sum()


def test_the_bound_holds_where_rounding_costs_most():
    # The sums of each run differ by 1 and the means, rounded down, by 1 too.
    a, b = np.full((2, 1, WIDTH), 100, dtype=np.uint8)
    a[:, :: sketch.RUN] -= 1
    assert np.abs(sketches(a) - sketches(b)).sum() == WIDTH // sketch.RUN
    assert bound(a, b) <= np.abs(a.astype(int) - b).sum()


@pytest.fixture
def tiles(monkeypatch):
    """Count the tiles that were compared in full and those that sketches decided."""
    counts = {"all": 0, "decided": 0}
    original = engines.ByteEngine._scan_sketches

    def watched(*arguments):
        decided = original(*arguments)
        counts["all"] += 1
        counts["decided"] += decided
        return decided

    monkeypatch.setattr(engines.ByteEngine, "_scan_sketches", watched)
    return counts


def smooth(rng, count):
    """Images of low frequencies, as photographs are, with exact copies among them."""
    coarse = rng.integers(0, 256, (count, WIDTH // 64))
    images = np.repeat(coarse, 64, axis=1) + rng.integers(-9, 10, (count, WIDTH))
    images = np.clip(images, 0, 255).astype(np.uint8)
    images[count // 2 :: 7] = images[: len(images[count // 2 :: 7])]
    return images


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("k", [1, 5, 40])
def test_skipping_changes_no_neighbour_no_distance_and_no_order(level, k, tiles):
    rng = np.random.default_rng(k)
    training, queries = smooth(rng, 1501), smooth(rng, 30)
    queries[::3] = training[700:1500:80]  # some of the copies are their own neighbours
    found = search(queries, training, k, "l1", level=level, threads=1)
    distances, rows = brute_force(queries, training, k, "l1")
    np.testing.assert_array_equal(found.indices, rows)
    np.testing.assert_array_equal(found.distances, distances)
    assert tiles["decided"] >= 3, "the sketches decided hardly any tile: nothing was tried"


@pytest.mark.parametrize("level", LEVELS)
def test_neighbours_closer_than_the_rounding_are_kept(level, tiles):
    # All images lie within the bound's slack of one another, but for a crowd far away, whose tiles
    # are decided by sketches.
    rng = np.random.default_rng(0)
    near = (100 + rng.integers(0, 2, (600, WIDTH))).astype(np.uint8)
    far = (220 + rng.integers(0, 9, (900, WIDTH))).astype(np.uint8)
    training = np.concatenate([near[:300], far, near[300:]])
    found = search(near[:9], training, 7, "l1", level=level, threads=1)
    distances, rows = brute_force(near[:9], training, 7, "l1")
    np.testing.assert_array_equal(found.indices, rows)
    np.testing.assert_array_equal(found.distances, distances)
    assert 0 < tiles["decided"] < tiles["all"]


def test_noise_that_sketches_tell_nothing_about_is_compared_in_full(tiles):
    images = np.random.default_rng(0).integers(0, 256, (900, WIDTH), dtype=np.uint8)
    found = search(images[:20], images, 3, "l1", threads=1)
    np.testing.assert_array_equal(found.indices, brute_force(images[:20], images, 3, "l1")[1])
    assert tiles["decided"] == 0
