"""`nnlab predict`: image files in, classes and probabilities out."""

import numpy as np
import pytest
from PIL import Image


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
        ((pictures / "gray.jpg", pictures), "run file"),
        ((softmax_run, pictures, "--top", "0"), "--top"),
    ):
        done = nnlab("predict", *arguments)
        assert done.code == 2, arguments
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
