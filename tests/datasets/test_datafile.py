"""The data file: what goes in comes out, equal data are recognised, hostile files are refused."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from nnlab.datasets import open_data, write_data
from nnlab.errors import FileFormatError, InputError

CLASSES = ["left", "right"]


def some_splits(seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: (rng.integers(0, 256, (n, 5, 4, 3), np.uint8), np.arange(n) % 2)
        for name, n in (("train", 30), ("test", 8))
    }


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "data.h5"
    write_data(file, "pairs", "drawn", {"size": [5, 4]}, CLASSES, some_splits())
    return file


def test_what_was_written_is_read_again(path):
    splits = some_splits()
    with open_data(path) as data:
        assert (data.name, data.source, data.classes) == ("pairs", "drawn", CLASSES)
        assert data.options == {"size": [5, 4]}
        assert data.image_shape == (5, 4, 3)
        assert data.splits == ["train", "test"]
        for name, (images, labels) in splits.items():
            np.testing.assert_array_equal(data.split(name).images, images)
            np.testing.assert_array_equal(data.split(name).labels, labels)


def test_statistics_are_those_of_the_training_split(path):
    images = some_splits()["train"][0].astype(np.float64)
    with open_data(path) as data:
        np.testing.assert_allclose(data.mean_image, images.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(data.channel_mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
        np.testing.assert_allclose(data.channel_std, images.std(axis=(0, 1, 2)), rtol=1e-12)


def test_images_are_mapped_read_only_and_outlive_the_file(path):
    with open_data(path) as data:
        images = data.split("train").images
    assert isinstance(images.base, np.memmap)
    assert not images.flags.writeable
    path.unlink()
    np.testing.assert_array_equal(images, some_splits()["train"][0])


def test_the_checksum_tells_the_content_alone(tmp_path):
    def checksum(name, options, classes, splits):
        return write_data(tmp_path / "x.h5", name, "?", options, classes, splits)

    same = checksum("a", {}, CLASSES, some_splits())
    assert checksum("b", {"x": 1}, CLASSES, dict(reversed(some_splits().items()))) == same
    assert checksum("a", {}, ["left", "up"], some_splits()) != same
    changed = some_splits()
    changed["test"][0][3, 2, 1, 0] ^= 1
    assert checksum("a", {}, CLASSES, changed) != same
    relabelled = some_splits()
    relabelled["test"][1][3] ^= 1
    assert checksum("a", {}, CLASSES, relabelled) != same


def test_a_split_that_is_not_there_is_named_with_those_that_are(path):
    with open_data(path) as data, pytest.raises(InputError, match="no split 'val'; it has train"):
        data.split("val")


def test_missing_foreign_and_damaged_files_are_told_apart(path, tmp_path):
    with pytest.raises(InputError, match="does not exist"), open_data(tmp_path / "no.h5"):
        pass
    text = tmp_path / "text.h5"
    text.write_text("hello")
    with pytest.raises(FileFormatError, match="damaged or not an nnlab data file"), open_data(text):
        pass
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(FileFormatError), open_data(path):
        pass


def tampered(path, change):
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def relabel(file):
    file["train/labels"][0] = 2


def negative(file):
    file["train/labels"][0] = -1


def fewer_labels(file):
    del file["test/labels"]
    file["test/labels"] = np.zeros(3, np.int64)


def floats(file):
    del file["test/images"]
    file["test/images"] = np.zeros((8, 5, 4, 3))


def other_shape(file):
    del file["test/images"]
    file["test/images"] = np.zeros((8, 4, 4, 3), np.uint8)


def linked(file):
    file["val"] = h5py.ExternalLink("/etc/passwd", "/")


def claims(file):
    del file["test"]
    file.create_dataset("test/images", (2**40, 5, 4, 3), np.uint8)
    file["test/labels"] = np.zeros(8, np.int64)


def no_train(file):
    del file["train"]


def no_statistics(file):
    del file["statistics"]


def newer(file):
    file.attrs["format_version"] = 2


@pytest.mark.parametrize(
    "change",
    [
        relabel, negative, fewer_labels, floats, other_shape, linked, claims, no_train,
        no_statistics, newer,
    ],
)  # fmt: skip
def test_a_file_that_contradicts_itself_is_refused_in_one_line(path, change):
    with pytest.raises(FileFormatError) as caught, open_data(tampered(path, change)):
        pass
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_random_damage_is_refused_or_harmless(path):
    """A byte changed anywhere: either an error of ours, or arrays of the right kind."""
    original = path.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        damaged = bytearray(original)
        for at in rng.integers(0, len(damaged), 4):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            with open_data(path) as data:
                for split in data.splits:
                    assert data.split(split).labels.max() < len(data.classes)
        except InputError:
            refused += 1
    assert refused > 10


def test_labels_beyond_the_classes_are_the_programmers_mistake(tmp_path):
    with pytest.raises(ValueError, match="labels"):
        write_data(tmp_path / "x.h5", "a", "b", {}, ["one"], some_splits())
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import os, resource, signal, sys
import numpy as np
from nnlab.datasets import write_data
from nnlab.errors import InputError
path, spare, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
images = np.full((4000, 8, 8, 3), 7, np.uint8)
content = ("a", "b", {}, ["one"], {"train": (images, np.zeros(4000, int))})
if limit < 0:  # so many bytes less than it takes
    write_data(spare, *content)
    limit += os.path.getsize(spare)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    write_data(path, *content)
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [100, 5_000, 300_000, -2_000, -1])
def test_a_full_disk_leaves_the_older_file_and_nothing_else(path, limit, tmp_path_factory):
    """The operating system refuses to let the file grow, at different moments of the writing."""
    spare = tmp_path_factory.mktemp("spare") / "spare.h5"
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), str(spare), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"cannot write {path}: "), done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
