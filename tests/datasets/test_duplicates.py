"""Images that occur more than once: which are found, and which of them stay."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from nnlab.datasets import open_data
from nnlab.datasets.duplicates import Copy, find_copies
from nnlab.datasets.preprocess import PreprocessOptions, preprocess


@pytest.fixture(scope="module")
def photos(fashion):
    """Forty real images."""
    return fashion["train"][0][:40, ..., None]


def recompressed(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return Image.open(file)


CHANGES = {
    "recompressed": recompressed,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "resized": lambda image: image.resize((21, 21), 3).resize(image.size, 3),
}


def test_equal_images_are_found_within_and_across_and_the_evaluated_one_stays(photos):
    parts = {
        "train": photos[[0, 1, 2, 1, 3]],
        "val": photos[[4, 3, 5]],
        "test": photos[[5, 6, 0, 6]],
    }
    assert find_copies(parts, near=False) == [
        Copy("test", 3, "test", 1),
        Copy("train", 0, "test", 2),
        Copy("train", 3, "train", 1),
        Copy("train", 4, "val", 1),
        Copy("val", 2, "test", 0),
    ]


@pytest.mark.parametrize("change", CHANGES)
def test_changes_that_leave_the_picture_the_same_are_found_and_other_pictures_are_not(
    photos, change
):
    changed = [CHANGES[change](Image.fromarray(photo[..., 0])) for photo in photos]
    parts = {"train": photos, "test": np.stack([np.asarray(image) for image in changed])[..., None]}
    found = find_copies(parts, near=True)
    assert all(copy.split == "train" and copy.row == copy.of_row for copy in found)
    assert len(found) >= 32  # of 40
    assert len(find_copies(parts, near=False)) <= 1


def test_plain_pictures_are_near_only_if_their_colours_are():
    def plain(*colours):
        return np.array(colours, np.uint8)[:, None, None, :].repeat(16, 1).repeat(12, 2)

    parts = {"train": plain((0, 0, 0), (255, 255, 255), (255, 0, 0), (250, 5, 5))}
    assert [(copy.row, copy.of_row) for copy in find_copies(parts, near=True)] == [(3, 2)]


@pytest.mark.parametrize(("dedup", "left"), [("none", 0), ("exact", 2), ("near", 3)])
def test_what_is_left_out_is_told_with_its_reason(fashion, tmp_path, dedup, left):
    images = fashion["train"][0]
    for name, picture in {
        "train/a/0": images[0], "train/a/1": images[1], "train/b/0": images[0],
        "train/b/1": images[2], "train/b/2": images[3], "test/a/0": images[2],
        "test/b/0": np.asarray(recompressed(Image.fromarray(images[1]))), "test/b/1": images[5],
    }.items():  # fmt: skip
        path = tmp_path / "pictures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    output = tmp_path / "x.h5"
    summary = preprocess(
        str(tmp_path / "pictures"), output, PreprocessOptions(dedup=dedup, gray=True)
    )
    assert sum(summary.counts["test"]) == 3
    assert sum(summary.counts["train"]) == 5 - left
    assert len(summary.left_out) == left
    with open_data(output) as data:
        assert data.provenance.left_out == summary.left_out
        assert list(data.provenance.files["test"]) == [
            "test/a/0.png",
            "test/b/0.png",
            "test/b/1.png",
        ]
    reasons = dict(summary.left_out)
    if dedup != "none":
        known = "the same as train/a/0.png, but b here and a there"
        assert reasons["train/b/0.png"] == known
        assert reasons["train/b/1.png"] == (
            "the same as test/a/0.png, which is in test, but b here and a there"
        )
        assert summary.duplicates.across == {"train/test": 0}
        assert any("repeated images of train were left out" in step for step in summary.steps)
    if dedup == "near":
        assert reasons["train/a/1.png"].startswith("nearly the same (")
