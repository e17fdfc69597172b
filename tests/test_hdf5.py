"""What both HDF5 formats share: plain strings, checked files, mapped arrays."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from nnlab import hdf5
from nnlab.errors import FileFormatError, InputError


@pytest.fixture
def data_file(tmp_path):
    """A file of kind data, version 1, with one data set."""
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        hdf5.set_attributes(file, nnlab_format="data", format_version=1)
        file["images"] = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    return path


@pytest.mark.parametrize("text", ["", "plain", "grün 三 🙂", "x" * 100_000, "odd \udcff byte"])
def test_texts_come_back_and_have_a_fixed_length(tmp_path, text):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        hdf5.write_text(file, "one", text)
        hdf5.write_texts(file, "many", [text, "b", ""])
        assert file["one"].dtype.kind == file["many"].dtype.kind == "S"
    with h5py.File(tmp_path / "file.h5", "r") as file:
        assert hdf5.read_text(file, "one") == text
        assert hdf5.read_texts(file, "many") == [text, "b", ""]


def test_no_texts_at_all(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        hdf5.write_texts(file, "none", [])
        assert hdf5.read_texts(file, "none") == []


def test_attributes_come_back_as_plain_values(tmp_path):
    values = {"text": "grün", "count": 3, "share": 0.5, "done": True, "empty": ""}
    with h5py.File(tmp_path / "file.h5", "w") as file:
        hdf5.set_attributes(file, **values)
        found = hdf5.read_attributes(file)
        assert hdf5.text_attribute(file, "text") == "grün"
        assert hdf5.text_attribute(file, "missing", "default") == "default"
    assert found == values
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in values.items()
    }


def test_a_text_attribute_of_variable_length_is_not_read(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file.attrs["text"] = "variable"
        with pytest.raises(ValueError, match="not a plain string"):
            hdf5.text_attribute(file, "text")


def test_a_file_of_ours_opens(data_file):
    with hdf5.open_checked(data_file, "data", 1) as file:
        assert file["images"].shape == (2, 3, 4)


HOLD = """
import sys, h5py
with h5py.File(sys.argv[1], "r+", locking=True):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_locks_of_another_process_do_not_matter(data_file):
    # On network file systems locks are missing or left behind; files are replaced, not changed.
    command = [sys.executable, "-c", HOLD, data_file]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(OSError, match="lock"):
            h5py.File(data_file, "r", locking=True)
        with hdf5.open_checked(data_file, "data", 1) as file:
            assert file["images"][0, 0, 0] == 0
        holder.stdin.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nnlab_format": "run"}, "is an nnlab run file, not an nnlab data file"),
        ({"nnlab_format": "other"}, "some other HDF5 file"),
        ({"format_version": 7}, "format version 7, this nnlab reads up to 1; update"),
    ],
)
def test_another_kind_or_version_is_named(data_file, change, message):
    with h5py.File(data_file, "a") as file:
        hdf5.set_attributes(file, **change)
    with pytest.raises(FileFormatError, match=message):
        hdf5.open_checked(data_file, "data", 1)


def test_what_is_not_there_or_no_file_is_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        hdf5.open_checked(tmp_path / "none.h5", "data", 1)
    with pytest.raises(InputError, match="is a folder"):
        hdf5.open_checked(tmp_path, "data", 1)


def test_a_file_that_is_not_hdf5_or_cut_short_is_refused(data_file):
    whole = data_file.read_bytes()
    for content in (b"", b"text", whole[:100], whole[: len(whole) // 2]):
        data_file.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"data\.h5"):
            hdf5.open_checked(data_file, "data", 1)


def test_links_and_foreign_data_are_refused(data_file, tmp_path):
    def soft(file):
        file["x"] = h5py.SoftLink("/images")

    def external(file):
        file["x"] = h5py.ExternalLink("/etc/passwd", "/")

    def raw(file):
        file.create_dataset("x", (4,), "u1", external=[("/etc/passwd", 0, 4)])

    def text(file):
        file["x"] = "variable"

    def circle(file):
        file["x"] = file["/"]

    def attribute(file):
        file["images"].attrs["x"] = "variable"

    def claim(file):
        file.create_dataset("x", (2**40,), "f8")

    whole = data_file.read_bytes()
    for harm in (soft, external, raw, text, circle, attribute, claim):
        data_file.write_bytes(whole)
        with h5py.File(data_file, "a") as file:
            harm(file)
        with pytest.raises(FileFormatError, match="refused"):
            hdf5.open_checked(data_file, "data", 1)


def test_a_data_set_is_mapped_not_loaded(data_file):
    with hdf5.open_checked(data_file, "data", 1) as file:
        images = hdf5.map_dataset(file["images"], data_file)
    np.testing.assert_array_equal(images.ravel(), np.arange(24))
    assert not images.flags.writeable
    assert isinstance(images.base, np.memmap)


def test_a_compressed_data_set_is_read_instead(data_file):
    with h5py.File(data_file, "a") as file:
        file.create_dataset("packed", data=np.arange(100), compression="gzip", shuffle=True)
    with hdf5.open_checked(data_file, "data", 1) as file:
        np.testing.assert_array_equal(hdf5.map_dataset(file["packed"], data_file), np.arange(100))


@pytest.mark.parametrize("error", [OSError("x"), KeyError("x"), MemoryError(), RecursionError()])
def test_errors_of_the_library_become_one_line(tmp_path, error):
    with (
        pytest.raises(FileFormatError, match="is damaged or not an nnlab run file"),
        hdf5.reading(tmp_path, "run file"),
    ):
        raise error


def test_what_has_been_said_is_not_said_again(tmp_path):
    with pytest.raises(InputError, match=r"^said$"), hdf5.reading(tmp_path, "run file"):
        raise InputError("said")
