"""Files appear whole or not at all."""

import os
import stat

import pytest

from nnlab.atomic import refuse_existing, staged, write_bytes
from nnlab.errors import InputError


def test_parts_are_written_one_after_the_other(tmp_path):
    write_bytes(tmp_path / "file", b"ab", memoryview(b"cd"), b"")
    assert (tmp_path / "file").read_bytes() == b"abcd"
    assert os.listdir(tmp_path) == ["file"]


def test_short_writes_are_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    write_bytes(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_arrays_are_written_as_their_bytes(tmp_path):
    numpy = pytest.importorskip("numpy")
    write_bytes(tmp_path / "file", memoryview(numpy.arange(3, dtype="<i4")))
    assert (tmp_path / "file").read_bytes() == b"\0\0\0\0\1\0\0\0\2\0\0\0"


def test_a_file_is_readable_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.parametrize("failure", [ValueError("bug"), KeyboardInterrupt()])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail():
        with staged(path) as temporary:
            temporary.write_bytes(b"half")
            raise failure

    with pytest.raises(type(failure)):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_an_error_of_the_system_becomes_one_line(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_args, **_options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(InputError, match=f"cannot write {path}: No space left on device; free"):
            write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_synced_does_not_lose_the_file(tmp_path, monkeypatch):
    fsync, calls = os.fsync, []

    def fail_second(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(22, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_second)
    write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert len(calls) == 2


def test_an_existing_file_is_refused_without_force(tmp_path):
    path = tmp_path / "file"
    refuse_existing(path, force=False)
    path.touch()
    with pytest.raises(InputError, match="--force"):
        refuse_existing(path, force=False)
    refuse_existing(path, force=True)


def test_places_that_can_never_be_written_are_refused_even_with_force(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        refuse_existing(tmp_path, force=True)
    with pytest.raises(InputError, match="does not exist; make it first"):
        refuse_existing(tmp_path / "gone" / "file", force=True)


def test_what_is_read_is_never_replaced(tmp_path):
    path, other = tmp_path / "data.h5", tmp_path / "link.h5"
    path.touch()
    other.symlink_to(path)
    for name in (path, other, tmp_path / "." / "data.h5"):
        with pytest.raises(InputError, match="is read here; choose another name"):
            refuse_existing(name, True, path)
    refuse_existing(tmp_path / "new.h5", True, path, tmp_path / "none")
