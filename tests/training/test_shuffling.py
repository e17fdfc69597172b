"""The order of the images: every image once an epoch, any batch again, and blocks that mix well."""

import numpy as np
import pytest

from nnlab import machine, mapping
from nnlab.training.images import ImageSet
from nnlab.training.shuffling import (
    WINDOW_BLOCKS,
    BlockShuffle,
    FullShuffle,
    choose_shuffle,
    make_shuffle,
)

COUNT, BATCH = 5003, 32


@pytest.fixture(params=["memory", "mapped", "rows"])
def images(request, tmp_path):
    """5,003 images whose pixels are their own number, sorted by class; some rows of them."""
    numbers = np.arange(COUNT)
    pixels = np.stack([numbers % 256, numbers // 256, numbers % 7], axis=1).astype(np.uint8)
    pixels = pixels.reshape(COUNT, 1, 1, 3)
    if request.param == "mapped":
        pixels.tofile(tmp_path / "pixels")
        pixels = np.memmap(tmp_path / "pixels", np.uint8, "r", shape=pixels.shape).view(np.ndarray)
    rows = np.delete(numbers, np.arange(5, COUNT, 9)) if request.param == "rows" else None
    return ImageSet.of(pixels, np.sort(numbers % 10), rows)


def blocks(images, window_bytes=1500, seed=3):
    return BlockShuffle(images, BATCH, seed, window_bytes)


def numbers_of(portion):
    pixels = portion.pixels[portion.places].astype(np.int64)
    return pixels[:, 0] + 256 * pixels[:, 1]


def epoch_of(shuffle, images, epoch):
    """The rows of all batches, after checking that the pixels are those of the rows."""
    found = []
    for step in range(-(-len(images) // BATCH)):
        portion = shuffle.portion(epoch, step)
        assert len(portion.rows) == BATCH or BATCH * step + len(portion.rows) == len(images)
        np.testing.assert_array_equal(numbers_of(portion), portion.rows)
        found.append(portion.rows.copy())
    return found


@pytest.mark.parametrize("kind", ["full", "blocks"])
def test_an_epoch_sees_every_image_once_and_in_another_order(images, kind):
    shuffle = FullShuffle(images, BATCH, 3) if kind == "full" else blocks(images)
    orders = [np.concatenate(epoch_of(shuffle, images, epoch)) for epoch in (0, 1)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), images.rows)
    assert not np.array_equal(*orders)


@pytest.mark.parametrize("most", [3, 1000])
@pytest.mark.parametrize("kind", ["full", "blocks"])
def test_several_batches_are_those_one_by_one(images, kind, most):
    single, joined = [
        FullShuffle(images, BATCH, 3) if kind == "full" else blocks(images) for _ in range(2)
    ]
    for epoch in (0, 1):
        order, found, at_once = np.concatenate(epoch_of(single, images, epoch)), [], []
        while sum(map(len, found)) < len(images):
            portion = joined.portion(epoch, sum(map(len, found)) // BATCH, most)
            np.testing.assert_array_equal(numbers_of(portion), portion.rows)
            found.append(portion.rows.copy())
            at_once.append(-(-len(portion.rows) // BATCH))
        np.testing.assert_array_equal(np.concatenate(found), order)
        assert 1 < max(at_once) <= most


def test_any_batch_can_be_made_again_in_any_order_of_asking(images):
    first = blocks(images)
    every = {
        (epoch, step): rows
        for epoch in (0, 1)
        for step, rows in enumerate(epoch_of(first, images, epoch))
    }
    places = list(every)
    np.random.default_rng(0).shuffle(places)
    again = blocks(images)
    for epoch, step in places[:100]:
        portion = again.portion(epoch, step)
        np.testing.assert_array_equal(portion.rows, every[epoch, step])
        np.testing.assert_array_equal(numbers_of(portion), portion.rows)
    other = blocks(images, seed=4).portion(0, 0).rows
    assert not np.array_equal(other, every[0, 0])


def test_every_window_holds_the_whole_datas_shares_of_classes_that_are_sorted(images):
    shuffle = blocks(images)
    assert shuffle.windows >= 8
    order = np.concatenate(epoch_of(shuffle, images, 0))
    for part in np.array_split(images.labels[order], shuffle.windows):
        counts = np.bincount(part, minlength=10)
        # A window has some 500 images, 50 of each class; blocks by pure chance would differ more.
        assert np.abs(counts - len(part) / 10).max() <= 12


def test_data_smaller_than_a_window_is_mixed_whole(images):
    shuffle = blocks(images, window_bytes=10**6)
    assert shuffle.windows == 1
    assert shuffle.block_rows == 10**6 // 3 // WINDOW_BLOCKS
    order = np.concatenate(epoch_of(shuffle, images, 0))
    assert np.abs(np.corrcoef(np.arange(len(order)), order)[0, 1]) < 0.05


@pytest.mark.parametrize("window_bytes", [1, 3 * BATCH, 500])
def test_windows_of_hardly_a_batch_still_give_every_image_once(images, window_bytes):
    order = np.concatenate(epoch_of(blocks(images, window_bytes), images, 0))
    np.testing.assert_array_equal(np.sort(order), images.rows)


def test_auto_takes_blocks_for_a_file_above_half_of_the_memory(images, monkeypatch):
    size = 3 * len(images)
    mapped = mapping.mapping_of(images.images) is not None
    monkeypatch.setattr(machine, "memory", lambda: (16 * size, size))
    monkeypatch.setattr(machine, "cgroup_memory", lambda: None)
    assert choose_shuffle("auto", images) == "full"
    monkeypatch.setattr(machine, "cgroup_memory", lambda: 2 * size - 1)
    assert choose_shuffle("auto", images) == ("blocks" if mapped else "full")
    assert isinstance(make_shuffle("auto", images, BATCH, 0, 1), BlockShuffle) == mapped
    assert choose_shuffle("full", images) == "full"
    monkeypatch.setattr(machine, "cgroup_memory", lambda: 2 * size)
    assert choose_shuffle("auto", images) == "full"
