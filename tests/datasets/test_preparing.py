"""From images to a data file: sizes, splits, limits, the summary, and known names."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from nnlab.datasets import find_card, find_data, open_data
from nnlab.datasets.download import download
from nnlab.datasets.image_files import ImageSource, fit_image
from nnlab.datasets.preprocess import PreprocessOptions, parse_size, preprocess
from nnlab.datasets.roots import data_root
from nnlab.datasets.splitting import Chosen, SplitOptions, arrange_splits
from nnlab.errors import InputError, SourceError


def prepare(source, output, **options):
    return preprocess(str(source), output, PreprocessOptions(**options), force=True)


def test_fashion_mnist_whole(fashion_dir, tmp_path):
    path = tmp_path / "fashion.h5"
    summary = preprocess("fashion-mnist", path, files_from=str(fashion_dir))
    assert summary.counts == {"train": [6000] * 10, "test": [1000] * 10}
    assert summary.classes[9] == "Ankle boot"
    assert summary.image_shape == (28, 28, 1)
    stated = find_card("fashion-mnist").statistics
    assert summary.channel_mean[0] / 255 == pytest.approx(stated.mean[0], abs=5e-5)
    assert summary.channel_std[0] / 255 == pytest.approx(stated.std[0], abs=5e-5)
    assert (summary.low, summary.high) == (0, 255)
    with open_data(path) as data:
        assert data.classes[data.split("train").labels[0]] == "Ankle boot"
        assert data.checksum == summary.checksum


def test_class_folders_become_splits(pictures, tmp_path):
    summary = prepare(pictures, tmp_path / "x.h5")
    assert summary.counts == {"train": [6, 6, 6], "test": [2, 2, 2]}
    assert summary.name == "pictures"
    with open_data(tmp_path / "x.h5") as data:
        first = np.asarray(Image.open(pictures / "train/boat/0.png"))
        np.testing.assert_array_equal(data.split("train").images[0], first)


def test_the_same_images_give_the_same_checksum(pictures, tmp_path):
    first = prepare(pictures, tmp_path / "a.h5", val=3, seed=5).checksum
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", pictures)
    assert prepare(archive, tmp_path / "b.h5", val=3, seed=5).checksum == first
    assert prepare(pictures, tmp_path / "b.h5", val=3, seed=6).checksum != first


def test_size_and_gray_apply_to_arrays_and_files_alike(pictures, idx_folder, tmp_path):
    for source in (pictures, idx_folder):
        summary = prepare(source, tmp_path / "x.h5", size=(9, 7), gray=True)
        assert summary.image_shape == (9, 7, 1)
    with open_data(tmp_path / "x.h5") as data:
        small = data.split("train").images[0, ..., 0]
    prepare(idx_folder, tmp_path / "x.h5")
    with open_data(tmp_path / "x.h5") as data:
        whole = Image.fromarray(np.array(data.split("train").images[0, ..., 0]))
    np.testing.assert_array_equal(small, np.asarray(whole.resize((7, 9), Image.BICUBIC)))


def test_only_what_was_done_is_told(idx_folder, pictures, tmp_path):
    same = prepare(idx_folder, tmp_path / "x.h5", size=(28, 28), gray=True)
    assert same.steps == []
    other = prepare(idx_folder, tmp_path / "x.h5", size=(14, 14), gray=True)
    assert other.steps == ["images were brought to 14 x 14 (stretch, bicubic filter)"]
    assert len(prepare(pictures, tmp_path / "x.h5", size=(14, 14), gray=True).steps) == 2


def splits(train, **others):
    def split(name, count):
        return Chosen(name, np.arange(count), np.arange(count) % 4)

    return {"train": split("train", train), **{n: split(n, count) for n, count in others.items()}}


def arranged(given, **options):
    return arrange_splits(given, SplitOptions(**options))[0]


def test_held_out_splits_are_stratified_disjoint_and_exact():
    split = arranged(splits(200), test=0.2, val=20, seed=1)
    assert {name: len(part.labels) for name, part in split.items()} == {
        "train": 140,
        "test": 40,
        "val": 20,
    }
    for part in split.values():
        counts = np.bincount(part.labels)
        assert counts.max() - counts.min() <= 1
        assert (np.diff(part.rows) > 0).all()
        np.testing.assert_array_equal(part.rows % 4, part.labels)
    every = np.concatenate([part.rows for part in split.values()])
    assert sorted(every) == list(range(200))


def test_the_seed_decides_which():
    def rows(seed):
        return arranged(splits(200), val=0.1, seed=seed)["val"].rows.tolist()

    assert rows(1) == rows(1) != rows(2)


def test_limit_keeps_every_class_in_proportion():
    labels = np.repeat([0, 1, 2], [100, 80, 20])  # class by class, as folders are read
    given = splits(200, test=10) | {"train": Chosen("train", np.arange(200), labels)}
    split = arranged(given, limit=20)
    assert np.bincount(split["train"].labels).tolist() == [10, 8, 2]
    assert len(split["test"].labels) == 10
    split = arranged(given, limit_per_class=30)
    assert np.bincount(split["train"].labels).tolist() == [30, 30, 20]
    assert (np.diff(split["train"].rows) > 0).all()
    assert len(set(split["train"].rows[:30])) == 30


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        ({"val": 200}, "--val: cannot set aside 200 of 200"),
        ({"val": -1}, "--val: -1 is neither"),
        ({"val": 2.5}, "--val: 2.5 is neither"),
        ({"val": 0.001}, "--val 0.001 sets no image of 200 aside"),
        ({"val": 100, "test": 100}, "--test and --val set aside all"),
        ({"val": 0.5, "test": float("nan")}, "--test: nan"),
    ],
)
def test_amounts_that_make_no_sense(amounts, message):
    with pytest.raises(InputError, match=re.escape(message)):
        arranged(splits(200), **amounts)


def test_a_split_that_is_there_is_not_made_again():
    with pytest.raises(InputError, match="has a test split of 10 images already; leave out --test"):
        arranged(splits(200, test=10), test=0.1)


@pytest.mark.parametrize(
    ("text", "size"), [("32", (32, 32)), ("32x48", (32, 48)), (" 8X9 ", (8, 9))]
)
def test_sizes_are_height_by_width(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["0", "0x5", "5x0", "-3", "3x", "x3", "3.5", "", "9999", "a"])
def test_sizes_that_are_none(text):
    with pytest.raises(InputError, match=f"--size {re.escape(text)}: "):
        parse_size(text)


def test_duplicates_are_counted_within_and_across_splits(pictures, tmp_path):
    def copy(source, target):
        shutil.copy(pictures / source, pictures / target)

    clean = prepare(pictures, tmp_path / "x.h5").duplicates
    assert (clean.within, clean.across) == ({"train": 0, "test": 0}, {"train/test": 0})
    copy("train/cat/0.png", "train/cat/again.png")
    copy("train/cat/0.png", "train/cat/third.png")
    copy("train/cat/1.png", "test/cat/leak.png")
    copy("train/dog/1.png", "test/boat/mislabelled.png")
    found = prepare(pictures, tmp_path / "x.h5").duplicates
    assert found.within == {"train": 2, "test": 0}
    assert found.across == {"train/test": 2}
    assert found.contradictory == 1
    assert ("train/cat/0.png", "train/cat/again.png") in found.examples


def test_what_is_suspicious_is_told(pictures, tmp_path):
    (pictures / "train" / "emu").mkdir()
    (pictures / "test" / "cat" / "0.png").write_text("hello")
    for picture in pictures.rglob("*.png"):
        if picture.name != "0.png":
            Image.open(picture).convert("L").save(picture)
    summary = prepare(pictures, tmp_path / "x.h5", skip_bad=True)
    assert summary.empty_classes == {"train": ["emu"], "test": ["emu"]}
    assert [name for name, _ in summary.unreadable] == ["test/cat/0.png"]
    assert not any("grey" in note for note in summary.notes)
    for picture in pictures.rglob("0.png"):
        picture.unlink()
    assert any("--gray" in note for note in prepare(pictures, tmp_path / "x.h5").notes)


def test_a_source_that_fails_leaves_the_older_file(pictures, tmp_path):
    output = tmp_path / "out" / "x.h5"
    output.parent.mkdir()
    prepare(pictures, output)
    before = output.read_bytes()
    (pictures / "train" / "cat" / "0.png").write_text("hello")
    with pytest.raises(InputError):
        prepare(pictures, output)
    assert output.read_bytes() == before
    assert list(output.parent.iterdir()) == [output]


def test_options_that_do_not_belong_are_refused(pictures, tmp_path):
    for options in ({"background_bias": 0.5}, {"limit": 0}):
        with pytest.raises(InputError):
            prepare(pictures, tmp_path / "x.h5", **options)
    with pytest.raises(InputError, match="--source"):
        preprocess(str(pictures), tmp_path / "x.h5", files_from=str(pictures))


def test_a_known_name_needs_its_files(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=f"run: nnlab download mnist --root {tmp_path};"):
        preprocess("mnist", tmp_path / "x.h5", root=tmp_path)
    monkeypatch.setenv("NNLAB_DATA", str(tmp_path))
    with pytest.raises(InputError, match="run: nnlab download mnist"):
        preprocess("mnist", tmp_path / "x.h5")
    with pytest.raises(SourceError, match="which mnist needs"):
        preprocess("mnist", tmp_path / "x.h5", files_from=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("fashionmnist", "; did you mean fashion-mnist?"), ("holiday", "known data set")],
)
def test_a_source_that_is_nothing_is_asked_about(name, hint, tmp_path):
    for find in (lambda: preprocess(name, tmp_path / "x.h5"), lambda: find_data(name, tmp_path)):
        with pytest.raises(InputError, match=re.escape(hint)):
            find()


def test_data_is_found_by_path_and_by_name(fashion_dir, tmp_path, pictures):
    said = []
    download(find_card("fashion-mnist"), tmp_path, str(fashion_dir))
    path = find_data("fashion-mnist", tmp_path, said.append)
    assert path == tmp_path / "fashion-mnist" / "fashion-mnist.h5"
    assert len(said) == 1
    assert "preparing" in said[0]
    assert find_data("fashion-mnist", tmp_path, said.append) == path
    assert len(said) == 1
    assert find_data(str(path), tmp_path) == path
    with pytest.raises(InputError, match="neither a data file nor a known data set"):
        find_data("nothing", tmp_path)
    with pytest.raises(InputError, match="is a folder; make a data file of it first"):
        find_data(str(pictures), tmp_path)


def test_the_data_root_is_the_option_else_the_variable_else_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("NNLAB_DATA", str(tmp_path / "variable"))
    assert data_root(tmp_path / "option") == tmp_path / "option"
    assert data_root() == tmp_path / "variable"
    monkeypatch.delenv("NNLAB_DATA")
    assert data_root().name == "nnlab"


def test_a_single_image_is_made_as_those_of_the_data_file_were(pictures, tmp_path):
    prepare(pictures, tmp_path / "x.h5", size=(6, 9), fit="pad", filter="lanczos")
    with open_data(tmp_path / "x.h5") as data:
        assert data.picture_options == {"image_fit": "pad", "image_filter": "lanczos"}
        source = ImageSource("0.png", pictures / data.provenance.files["test"][0])
        fitted = fit_image(source, data.image_shape, data.picture_options)
        np.testing.assert_array_equal(fitted.pixels, data.split("test").images[0])
        stretched = fit_image(source, data.image_shape, {"image_fit": "by hand"})
        assert not np.array_equal(stretched.pixels, fitted.pixels)
