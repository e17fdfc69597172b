"""The sheets: what is on them, in the right colours, and files that appear whole."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image, ImageColor

from nnlab.errors import InputError
from nnlab.neighbors import Settings, baseline
from nnlab.neighbors.background import BiasPoint, background, in_words
from nnlab.neighbors.charts import draw_background
from nnlab.neighbors.files import write_neighbors
from nnlab.neighbors.gallery import draw_gallery, draw_ledger
from nnlab.neighbors.ledger import ledger
from nnlab.neighbors.pictures import RIGHT, WRONG, Tile, enlarged, save_png, sheet, short

CLASSES = [f"class {number}" for number in range(10)]


@pytest.fixture(scope="module")
def result(small_fashion):
    train, test = small_fashion
    return baseline(train, test, 10, Settings(ks=(3, 9), folds=0))


def colours(page):
    return {colour for _, colour in page.getcolors(1 << 24)}


def contains(page, picture):
    """Whether a picture lies somewhere on the page, pixel for pixel."""
    page, picture = np.asarray(page), np.asarray(picture)
    high, wide = picture.shape[:2]
    starts = np.argwhere((page[: -high + 1, : -wide + 1] == picture[0, 0]).all(axis=2))
    return any((page[y : y + high, x : x + wide] == picture).all() for y, x in starts)


def test_images_are_enlarged_without_smoothing():
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8)
    large = np.asarray(enlarged(pixels))
    assert large.shape == (56, 112, 3)
    assert {tuple(pixel) for pixel in large.reshape(-1, 3)} == {(1, 2, 3), (4, 5, 6)}


def test_a_gallery_shows_wrong_and_right_answers_with_neighbours_and_differences(
    small_fashion, result
):
    (x, y), (q, z) = small_fashion
    page = draw_gallery((x, y), (q, z), result, CLASSES, "Gallery")
    assert {ImageColor.getrgb(RIGHT), ImageColor.getrgb(WRONG)} <= colours(page)
    for index in (
        np.flatnonzero(result.predicted != z)[0],
        np.flatnonzero(result.predicted == z)[0],
    ):
        nearest = result.neighbors.indices[index, 0]
        difference = np.abs(q[index].astype(int) - x[nearest]).astype(np.uint8)
        for picture in (q[index], x[nearest], difference):
            assert contains(page, enlarged(picture))


def test_a_gallery_without_errors_is_still_one(small_fashion):
    (x, y), _ = small_fashion
    perfect = baseline((x, y), (x[:20], y[:20]), 10, Settings(ks=(1,)))
    page = draw_gallery((x, y), (x[:20], y[:20]), perfect, CLASSES, "All right")
    assert contains(page, enlarged(x[0]))


def test_a_ledger_is_drawn_in_red_and_blue(small_fashion, result):
    train, test = small_fashion
    index = int(np.flatnonzero(result.predicted != result.labels)[0])
    account = ledger(train, test, index, result)
    page = draw_ledger(account, test[0][index], train[0], CLASSES)
    for picture in (test[0][index], train[0][account.right_row], train[0][account.wrong_row]):
        assert contains(page, enlarged(picture))
    pixels = np.asarray(page).reshape(-1, 3).astype(int)
    assert (pixels[:, 0] - pixels[:, 2]).max() > 200  # red somewhere
    assert (pixels[:, 2] - pixels[:, 0]).max() > 200  # and blue


def test_the_background_report_is_drawn_with_and_without_a_curve(small_fashion, result):
    train, test = small_fashion
    report = background(train, test, result, swapped=test)
    lines = in_words(report, CLASSES)
    without = draw_background(report, [], "Report", lines)
    with_curve = draw_background(report, [BiasPoint(0, 0.5, 0.5), BiasPoint(1, 1, 0)], "R", lines)
    assert with_curve.height > without.height
    nobody = replace(report, accuracy=dict.fromkeys(report.accuracy, 0.0))
    draw_background(nobody, [], "Nothing right", [])
    assert ImageColor.getrgb(RIGHT) in colours(without)


def test_a_sheet_with_images_of_one_channel_and_three():
    grey, colour = np.zeros((5, 5, 1), np.uint8), np.zeros((5, 5, 3), np.uint8)
    rows = [[Tile(grey, ["grey"]), Tile(None)], [Tile(colour, ["a caption that is far too long"])]]
    assert sheet("Title", rows, ["a note"]).width > 112


def test_distances_are_written_short():
    assert [short(number) for number in (101990.0, 12, 0.123456)] == ["101,990", "12", "0.1235"]


def test_a_picture_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "picture.png"
    save_png(Image.new("RGB", (3, 2)), path)
    with Image.open(path) as found:
        assert found.size == (3, 2)
    with pytest.raises(InputError):
        save_png(Image.new("RGB", (3, 2)), tmp_path / "missing" / "picture.png")
    assert [file.name for file in tmp_path.iterdir()] == ["picture.png"]


def test_the_file_of_neighbours_holds_what_was_found(small_fashion, result, tmp_path):
    path = tmp_path / "neighbors.h5"
    write_neighbors(path, result, "fashion", "abc", "test", CLASSES)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["indices"], result.neighbors.indices)
        np.testing.assert_array_equal(file["distances"], result.neighbors.distances)
        assert file["distances"].dtype == np.int64
        np.testing.assert_array_equal(file["queries"], np.arange(200))
        np.testing.assert_array_equal(file["labels"], small_fashion[1][1])
        np.testing.assert_array_equal(file["predicted"], result.predicted)
        assert file.attrs["metric"] == b"l1"
        assert [name.decode() for name in file["classes"]] == CLASSES
