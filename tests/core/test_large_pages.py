"""Large arrays lie in large pages, and are arrays like any other."""

import mmap

import numpy as np
import pytest

from nnlab.core.memory import LARGE, zeros


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [0, 3, LARGE, (2, LARGE // 8 + 5), (0, 7)])
def test_they_are_zeros_to_write_to(shape, dtype):
    array = zeros(shape, dtype)
    assert array.shape == np.zeros(shape).shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert not array.any()
    array[...] = 1
    assert array.sum() == array.size


def test_a_large_one_begins_where_a_page_does():
    assert zeros(LARGE, np.float32).ctypes.data % LARGE == 0


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="a system without large pages")
def test_the_system_is_asked_for_large_pages():
    array = zeros(LARGE, np.float32)
    address, flags = array.ctypes.data, None
    with open("/proc/self/smaps") as lines:
        for line in lines:
            first, *rest = line.split()
            if "-" in first and ":" not in first:
                begin, end = (int(number, 16) for number in first.split("-"))
                inside = begin <= address < end
            elif first == "VmFlags:" and inside:
                flags = rest
    assert "hg" in flags


def test_a_system_that_refuses_gives_ordinary_ones(monkeypatch):
    class Refusing(mmap.mmap):
        def madvise(self, *_):
            raise OSError

    monkeypatch.setattr(mmap, "mmap", Refusing)
    array = zeros(LARGE, np.float32)
    assert array.shape == (LARGE,)
    assert not array.any()


@pytest.mark.parametrize("size", [1 << 50, 1 << 60])
def test_more_than_there_is_memory_is_said_as_by_numpy(size):
    with pytest.raises(MemoryError):
        zeros(size, np.float32)
