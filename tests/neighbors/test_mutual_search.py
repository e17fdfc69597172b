"""Comparing each pair once finds what searching each group among the others finds."""

import threading

import numpy as np
import pytest

from nnlab.neighbors import exact_search, mutual_search, search
from nnlab.neighbors.levels import available
from nnlab.neighbors.mutual_search import has_mutual_search


@pytest.mark.parametrize("level", available())
@pytest.mark.parametrize("metric", ["l1", "l2", "linf"])
@pytest.mark.parametrize("largest", [1, 255])
def test_the_same_neighbours_as_the_plain_search(level, metric, largest):
    rng = np.random.default_rng(3)
    images = rng.integers(0, largest + 1, (700, 5, 7, 1), dtype=np.uint8)
    fold = rng.integers(0, 4, 690)  # the last ten rows belong to no group
    groups = [np.flatnonzero(fold == number) for number in range(4)]
    found = mutual_search.mutual_search(images, groups, 9, metric, level=level, threads=2)
    for number, group in enumerate(groups):
        others = np.flatnonzero(fold != number)
        expected = search(images, images, 9, metric, query_rows=group, training_rows=others)
        np.testing.assert_array_equal(found[number].indices, expected.indices)
        np.testing.assert_array_equal(found[number].distances, expected.distances)


def test_real_images_in_small_blocks(small_fashion, monkeypatch):
    (x, _), _ = small_fashion
    monkeypatch.setattr(mutual_search, "BLOCK_BYTES", 80_000)
    monkeypatch.setattr(exact_search, "QUERY_BLOCK", 32)
    groups = [np.arange(start, 600, 3) for start in range(3)]
    seen = []
    found = mutual_search.mutual_search(
        x, groups, 200, "l1", progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (3 * 200 * 200, 3 * 200 * 200)
    for number, group in enumerate(groups):
        others = np.setdiff1d(np.arange(600), group)
        expected = search(x, x, 200, "l1", query_rows=group, training_rows=others)
        np.testing.assert_array_equal(found[number].indices, expected.indices)


def test_an_interrupt_ends_the_threads(small_fashion):
    (x, _), _ = small_fashion

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mutual_search.mutual_search(
            x, [np.arange(500), np.arange(500, 1000)], 1, "l1", progress=interrupt
        )
    assert threading.active_count() == 1


def test_angles_and_real_numbers_are_searched_from_both_ends():
    assert has_mutual_search(np.zeros((1, 1), np.uint8), "l1")
    assert not has_mutual_search(np.zeros((1, 1), np.uint8), "cosine")
    assert not has_mutual_search(np.zeros((1, 1)), "l1")
