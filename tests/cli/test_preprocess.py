"""`nnlab preprocess`: what it shows, and one line with the right exit code for every bad input."""

import gzip
import shutil

import numpy as np
import pytest
from PIL import Image

from nnlab.datasets import open_data


@pytest.fixture
def pictures(tmp_path):
    """Two classes of four small pictures each."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(4):
            picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
            picture.save(tmp_path / "pictures" / name / f"{index}.png")
    return tmp_path / "pictures"


def test_fashion_mnist_from_a_folder(nnlab, fashion_dir, tmp_path):
    output = tmp_path / "fashion.h5"
    done = nnlab("preprocess", "fashion-mnist", "--source", fashion_dir, "-o", output)
    assert done.code == 0, done.stderr
    for text in ("Ankle boot", "6,000", "60,000", "10,000", "28 x 28 x 1", "from 0 to 255"):
        assert text in done.stdout
    assert done.stderr == ""


def test_json_is_one_object_with_the_whole_summary(nnlab, pictures, tmp_path):
    output = tmp_path / "x.h5"
    arguments = ("preprocess", pictures, "-o", output, "--val", 2, "--test", 0.25, "--json")
    record = nnlab(*arguments).json
    assert record["data"] == str(output)
    assert record["classes"] == ["cat", "dog"]
    assert record["splits"]["train"] == {"n": 4, "per_class": {"cat": 2, "dog": 2}}
    assert record["splits"]["val"]["n"] == record["splits"]["test"]["n"] == 2
    assert record["image_shape"] == [8, 8, 3]
    assert len(record["channel_mean"]) == 3
    with open_data(output) as data:
        assert data.checksum == record["checksum"]
        assert data.options["val"] == 2


def test_shapes_are_drawn_with_their_splits(nnlab, tmp_path):
    output = tmp_path / "shapes.h5"
    arguments = ("shapes", "-o", output, "--limit", 200, "--background-bias", 0.1, "--json")
    record = nnlab("preprocess", *arguments).json
    assert list(record["splits"]) == ["train", "val", "test", "test_swapped"]
    assert record["splits"]["train"]["n"] == 200
    assert len(record["classes"]) == 10
    with open_data(output) as data:
        assert data.options["background_bias"] == 0.1


def test_a_corrupt_image_among_good_ones_is_named_and_skipped_when_asked(nnlab, pictures, tmp_path):
    (pictures / "cat" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    output = tmp_path / "x.h5"
    done = nnlab("preprocess", pictures, "-o", output)
    assert done.code == 2
    assert "cat/2.png" in done.stderr
    assert "--skip-bad" in done.stderr
    assert not output.exists()
    done = nnlab("preprocess", pictures, "-o", output, "--skip-bad")
    assert done.code == 0
    assert "warning: left out: cat/2.png" in done.stderr


def test_leaks_between_splits_are_warned_of(nnlab, pictures, tmp_path):
    shutil.copytree(pictures, tmp_path / "both" / "train")
    shutil.copytree(pictures, tmp_path / "both" / "test")
    done = nnlab("preprocess", tmp_path / "both", "-o", tmp_path / "x.h5")
    assert "8 across train/test" in done.stdout
    assert "warning: images in both train and test: 8;" in done.stderr


def test_an_existing_file_is_replaced_only_with_force(nnlab, pictures, tmp_path):
    output = tmp_path / "x.h5"
    output.write_text("precious")
    done = nnlab("preprocess", pictures, "-o", output)
    assert (done.code, output.read_text()) == (2, "precious")
    assert "--force" in done.stderr
    assert nnlab("preprocess", pictures, "-o", output, "--force").code == 0


def test_every_bad_input_is_one_line_with_its_exit_code(nnlab, fashion_dir, pictures, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    text = tmp_path / "text.txt"
    text.write_text("hello")
    (tmp_path / "empty" / "class").mkdir(parents=True)
    altered = tmp_path / "altered"
    shutil.copytree(fashion_dir, altered)
    labels = altered / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(labels.read_bytes()))
    content[100] ^= 1
    labels.write_bytes(gzip.compress(content))
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(fashion_dir / "train-images-idx3-ubyte.gz", mixed)
    shutil.copy(fashion_dir / "t10k-labels-idx1-ubyte.gz", mixed / "train-labels-idx1-ubyte.gz")
    cut = tmp_path / "cut"
    cut.mkdir()
    whole = (fashion_dir / "t10k-images-idx3-ubyte.gz").read_bytes()
    (cut / "train-images-idx3-ubyte.gz").write_bytes(whole[:100_000])
    shutil.copy(fashion_dir / "t10k-labels-idx1-ubyte.gz", cut / "train-labels-idx1-ubyte.gz")

    output = work / "x.h5"
    cases = [
        (2, "does not exist", tmp_path / "nothing"),
        (2, "in no format", text),
        (2, "holds no images", tmp_path / "empty"),
        (2, "60,000 images", mixed),
        (2, "is damaged", cut),
        (2, "not downloaded", "mnist", "--root", tmp_path),
        (69, "is not the file of Fashion-MNIST", "fashion-mnist", "--source", altered),
        (69, "which fashion-mnist needs", "fashion-mnist", "--source", tmp_path / "empty"),
        (2, "--size 0", pictures, "--size", "0"),
        (2, "--size 8by8", pictures, "--size", "8by8"),
        (2, "--val: cannot set aside", pictures, "--val", "8"),
        (2, "--limit 0", pictures, "--limit", "0"),
        (2, "--seed", pictures, "--seed", "-1"),
        (2, "--background-bias", pictures, "--background-bias", "0.5"),
        (2, "--source says", pictures, "--source", tmp_path),
        (2, "No such option", pictures, "--sizes", "8"),
    ]
    for code, message, *arguments in cases:
        done = nnlab("preprocess", *arguments, "-o", output)
        assert (done.code, done.stdout) == (code, ""), (arguments, done)
        assert message in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert list(work.iterdir()) == []
    done = nnlab("preprocess", pictures, "-o", tmp_path / "nowhere" / "x.h5")
    assert (done.code, done.stderr.count("\n")) == (2, 1)


def test_with_json_an_error_is_an_object_too(nnlab, tmp_path):
    done = nnlab("preprocess", tmp_path / "nothing", "-o", tmp_path / "x.h5", "--json")
    assert done.json["error"]["code"] == done.code == 2
    assert "does not exist" in done.json["error"]["message"]


def test_help_has_examples(nnlab):
    done = nnlab("preprocess", "--help")
    assert done.code == 0
    assert "Examples" in done.stdout
    assert "nnlab preprocess shapes -o shapes.h5" in done.stdout


def test_a_set_that_is_missing_names_the_command_for_the_login_node(nnlab, tmp_path):
    done = nnlab("preprocess", "mnist", "-o", tmp_path / "mnist.h5", env={
        "NNLAB_DATA": str(tmp_path / "data"),
    })  # fmt: skip
    assert done.code == 2
    assert f"login node, run: nnlab download mnist --root {tmp_path / 'data'}; or" in done.stderr
    assert "is not downloaded" in done.stderr
