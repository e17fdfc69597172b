"""Mapped arrays: which they are, and that advice about their pages changes no value."""

import mmap

import numpy as np
import pytest

from nnlab.mapping import expect, mapping_of, release


@pytest.fixture
def path(tmp_path):
    np.arange(100_000, dtype=np.uint8).tofile(tmp_path / "bytes")
    return tmp_path / "bytes"


def resident(array):
    """Pages of an array in this process, by the kernel's account."""
    with open("/proc/self/smaps") as file:
        text = file.read()
    start = f"{array.ctypes.data - array.ctypes.data % mmap.PAGESIZE:x}-"
    return int(text.split(start, 1)[1].split("Rss:", 1)[1].split()[0])


def test_views_of_a_mapped_array_are_mapped_and_copies_are_not(path):
    array = np.memmap(path, np.uint8, "r", shape=(1000, 100))
    assert mapping_of(array.view(np.ndarray)[3:].reshape(-1, 10)) is not None
    assert mapping_of(np.array(array)) is None
    assert mapping_of(array[[1, 2]].view(np.ndarray)) is None


def test_pages_are_let_go_and_come_again(path):
    array = np.memmap(path, np.uint8, "r", shape=(1000, 100)).view(np.ndarray)
    expected = np.array(array)
    assert resident(array) > 0
    release(array)
    assert resident(array) == 0
    expect(array, 10, 900)
    np.testing.assert_array_equal(array, expected)


def test_private_changes_and_arrays_in_memory_are_left_alone(path):
    private = np.memmap(path, np.uint8, "c", shape=(1000, 100))
    private[:] = 7
    memory = np.full((10, 10), 7, np.uint8)
    for array in (private, memory):
        expect(array, 0, 5)
        release(array)
        assert (array == 7).all()
