"""`nnlab predict`: image files in, classes and probabilities out."""

import csv
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from nnlab.datasets import open_data


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of pictures of several sizes and kinds."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "colour.png")
    Image.fromarray(pixels[..., 0]).save(folder / "gray.jpg")
    Image.fromarray(np.dstack([pixels, pixels[..., :1]])).save(folder / "alpha.webp")
    return folder


def test_json_has_the_keys_that_scripts_rely_on(nnlab, softmax_run, pictures):
    record = nnlab("predict", softmax_run, pictures / "gray.jpg", "--top", 2, "--json").json
    (prediction,) = record["predictions"]
    assert prediction["image"] == str(pictures / "gray.jpg")
    assert [set(best) for best in prediction["top"]] == [{"class", "probability"}] * 2
    first, second = (best["probability"] for best in prediction["top"])
    assert 1 >= first >= second >= 0


def test_a_folder_is_all_its_images_by_name(nnlab, softmax_run, pictures):
    record = nnlab("predict", softmax_run, pictures, "--top", 99, "--json").json
    names = [prediction["image"].rsplit("/", 1)[1] for prediction in record["predictions"]]
    assert names == ["alpha.webp", "colour.png", "gray.jpg"]
    for prediction in record["predictions"]:
        assert len(prediction["top"]) == 10
        assert sum(best["probability"] for best in prediction["top"]) == pytest.approx(1)


def test_a_table_has_a_line_an_image(nnlab, softmax_run, pictures):
    shown = nnlab("predict", softmax_run, pictures).stdout
    assert all(name in shown for name in ("alpha.webp", "colour.png", "gray.jpg"))
    assert "%" in shown


def test_what_is_no_image_is_one_line_and_2(nnlab, softmax_run, pictures, tmp_path):
    text = tmp_path / "notes.png"
    text.write_text("no image")
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, message in (
        ((softmax_run, text), "notes.png cannot be decoded"),
        ((softmax_run, tmp_path / "none.png"), "does not exist"),
        ((softmax_run, empty), "holds no images"),
        ((softmax_run, "/dev/zero"), "is no regular file"),
        ((softmax_run, "https://example.org/cat.png"), "is an address, not a file"),
        ((softmax_run, "fashion-mnist"), "nnlab eval RUN fashion-mnist classifies its images"),
        ((softmax_run, softmax_run), "is an HDF5 file, not an image"),
        ((softmax_run, "-"), "standard input is empty"),
        ((softmax_run, "-", "-"), "standard input"),
        ((pictures / "gray.jpg", pictures), "run file"),
        ((softmax_run, pictures, "--top", "0"), "--top"),
    ):
        done = nnlab("predict", *arguments)
        assert done.code == 2, arguments
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_an_image_of_the_data_set_is_classified_as_eval_does(
    nnlab, softmax_run, fashion_file, tmp_path
):
    nnlab("eval", softmax_run, "--predictions", tmp_path / "all.csv")
    expected = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    with open_data(fashion_file) as data:
        for index in range(20):
            image = Image.fromarray(data.split("test").images[index, ..., 0])
            image.save(tmp_path / f"{index:02}.png")
    record = nnlab("predict", softmax_run, tmp_path, "--top", 1, "--json").json
    for row, prediction in zip(expected[:20], record["predictions"], strict=True):
        [best] = prediction["top"]
        assert best["class"] == row["predicted"]
        assert best["probability"] == pytest.approx(float(row["probability"]), rel=1e-5)
        assert prediction["changes"] == []


def test_an_image_comes_from_standard_input(nnlab, softmax_run, pictures):
    with (pictures / "gray.jpg").open("rb") as image:
        done = subprocess.run(
            [sys.executable, "-m", "nnlab.cli", "predict", softmax_run, "-", "--csv", "-"],
            stdin=image, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [row] = csv.DictReader(io.StringIO(done.stdout))
    named = nnlab("predict", softmax_run, pictures / "gray.jpg", "--csv", "-").stdout
    [other] = csv.DictReader(io.StringIO(named))
    assert (row.pop("image"), row) == ("-", {k: v for k, v in other.items() if k != "image"})
    assert done.stderr.startswith("note: standard input is squeezed")


def test_a_csv_file_has_a_line_an_image_and_columns_for_every_rank(
    nnlab, softmax_run, pictures, tmp_path
):
    table = tmp_path / "predictions.csv"
    record = nnlab("predict", softmax_run, pictures, "--top", 2, "--csv", table, "--json").json
    rows = list(csv.DictReader(table.read_text().splitlines()))
    for row, prediction in zip(rows, record["predictions"], strict=True):
        assert row["image"] == prediction["image"]
        assert row["class_2"] == prediction["top"][1]["class"]
        assert float(row["probability"]) == prediction["top"][0]["probability"]
    assert nnlab("predict", softmax_run, pictures, "--csv", table).code == 2
    picture = pictures / "gray.jpg"
    done = nnlab("predict", softmax_run, picture, "--csv", picture, "--force")
    assert "is read here; choose another name" in done.stderr


def test_what_changes_a_picture_much_is_said(nnlab, softmax_run, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    gray = Image.fromarray(pixels[..., 0])
    gray.save(tmp_path / "a.png")
    gray.resize((20, 20)).save(tmp_path / "b.png")  # neither much smaller nor larger
    Image.fromarray(pixels).save(tmp_path / "colours.png")
    gray.resize((300, 310)).save(tmp_path / "large.png")
    gray.save(tmp_path / "moving.gif", save_all=True, append_images=[Image.new("L", (28, 28))])
    gray.resize((10, 10)).save(tmp_path / "small.png")
    gray.resize((28, 40)).save(tmp_path / "tall1.png")
    gray.resize((28, 40)).save(tmp_path / "tall2.png")
    half = np.zeros((28, 28), np.uint8)
    half[:14] = 255
    Image.fromarray(np.dstack([pixels[..., 0], half])).save(tmp_path / "transparent.png")
    done = nnlab("predict", softmax_run, tmp_path, "--json")
    changes = {
        prediction["image"].rsplit("/", 1)[1]: prediction["changes"]
        for prediction in done.json["predictions"]
    }
    assert changes == {
        "a.png": [],
        "b.png": [],
        "colours.png": ["has colours, which the model does not see"],
        "large.png": ["is made much smaller, so that details are lost (310 x 300 to 28 x 28)"],
        "moving.gif": ["is an animation, of which the first frame counts (2 frames)"],
        "small.png": ["is made much larger, so that it is blurred (10 x 10 to 28 x 28)"],
        "tall1.png": ["is squeezed out of proportion (40 x 28 to 28 x 28)"],
        "tall2.png": ["is squeezed out of proportion (40 x 28 to 28 x 28)"],
        "transparent.png": ["is partly transparent, which shows white (50 % of it)"],
    }
    [line] = [line for line in done.stderr.splitlines() if "squeezed" in line]
    assert line.endswith("(40 x 28 to 28 x 28); 1 more likewise.")


def test_a_model_of_colours_says_that_a_picture_is_grey(nnlab, tmp_path):
    shapes, run, gray = tmp_path / "shapes.h5", tmp_path / "run.h5", tmp_path / "gray.png"
    nnlab("preprocess", "shapes", "-o", shapes, "--limit", 60)
    nnlab("train", shapes, "-o", run, "--epochs", 1)
    Image.new("L", (32, 32), 90).save(gray)
    [prediction] = nnlab("predict", run, gray, "--json").json["predictions"]
    assert prediction["changes"] == ["is grey, and the model was trained on colours"]


def test_unreadable_images_can_be_left_out(nnlab, softmax_run, pictures, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    Image.new("L", (28, 28)).save(tmp_path / "good.png")
    done = nnlab("predict", softmax_run, tmp_path, "--skip-bad", "--json")
    assert [p["image"] for p in done.json["predictions"]] == [str(tmp_path / "good.png")]
    assert [item["image"] for item in done.json["unreadable"]] == [str(tmp_path / "bad.png")]
    assert f"warning: left out: {tmp_path / 'bad.png'} cannot be decoded" in done.stderr
