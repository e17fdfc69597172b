"""Which images go into a data file: classes, names, limits and folds, chosen before decoding."""

import re

import numpy as np
import pytest

from nnlab.datasets import open_data
from nnlab.datasets.choosing import ChoiceOptions, choose, parse_classes, parse_relabel
from nnlab.datasets.preprocess import PreprocessOptions, preprocess
from nnlab.errors import InputError

CLASSES = ["boat", "cat", "dog"]
LABELS = {"train": np.arange(30) % 3, "test": np.array([0, 0, 1])}


def test_classes_are_kept_in_the_order_in_which_they_are_named():
    choice = choose(CLASSES, LABELS, ChoiceOptions(classes=["dog", "boat"]))
    assert choice.classes == ["dog", "boat"]
    train = choice.splits["train"]
    np.testing.assert_array_equal(
        np.array(CLASSES)[LABELS["train"][train.rows]][:2], ["boat", "dog"]
    )
    assert train.labels[:2].tolist() == [1, 0]
    assert choice.splits["test"].labels.tolist() == [1, 1]
    assert any("10 of 30 images of train" in step for step in choice.steps)


def test_several_classes_may_become_one_before_classes_are_kept():
    options = ChoiceOptions({"cat": "pet", "dog": "pet"}, ["pet"])
    choice = choose(CLASSES, LABELS, options)
    assert choice.classes == ["pet"]
    assert len(choice.splits["train"].rows) == 20
    whole = choose(CLASSES, LABELS, ChoiceOptions({"cat": "pet", "dog": "pet"}))
    assert whole.classes == ["boat", "pet"]
    np.testing.assert_array_equal(whole.splits["train"].labels[:3], [0, 1, 1])


def test_a_split_without_images_of_the_classes_is_gone():
    choice = choose(CLASSES, LABELS, ChoiceOptions(classes=["dog"]))
    assert list(choice.splits) == ["train"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ChoiceOptions(classes=["cow"]), "--classes: there is no class 'cow'; there are boat, cat"),
        (ChoiceOptions({"cow": "cat"}), "--relabel: there is no class 'cow'"),
        (ChoiceOptions({"cat": "pet"}, ["cat"]), "--classes: there is no class 'cat'"),
    ],
)
def test_classes_that_are_not_there_are_named(options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        choose(CLASSES, LABELS, options)


def test_lists_of_the_command_line():
    assert parse_classes("cat, dog") == ["cat", "dog"]
    assert parse_relabel("cat=pet,T-shirt/top=top") == {"cat": "pet", "T-shirt/top": "top"}
    for parse, texts in (
        (parse_classes, ("", "a,,b", "a,a")),
        (parse_relabel, ("", "a", "a=", "a=b=c", "a=b,a=c")),
    ):
        for text in texts:
            with pytest.raises(InputError):
                parse(text)


def test_what_was_not_chosen_is_not_decoded(pictures, tmp_path):
    (pictures / "train" / "dog" / "0.png").write_text("no image")
    (pictures / "test" / "boat" / "0.png").write_text("no image")
    options = PreprocessOptions(classes=["cat"], limit=2)
    summary = preprocess(str(pictures), tmp_path / "x.h5", options)
    assert summary.counts == {"train": [2], "test": [2]}
    assert summary.unreadable == []


def test_the_same_choice_of_arrays_and_of_files(idx_folder, tmp_path):
    options = PreprocessOptions(
        classes=["3", "1"], relabel={"5": "3"}, val=0.1, limit_per_class=20, seed=2, folds=4
    )
    summary = preprocess(str(idx_folder), tmp_path / "x.h5", options)
    assert summary.classes == ["3", "1"]
    assert summary.counts["train"] == [20, 20]
    with open_data(tmp_path / "x.h5") as data:
        folds = data.split("train").folds
        labels = data.split("train").labels
        assert data.provenance.steps == summary.steps
    assert np.bincount(folds).tolist() == [10, 10, 10, 10] == summary.folds
    for fold in range(4):
        assert np.bincount(labels[folds == fold]).tolist() == [5, 5]


@pytest.mark.parametrize(
    "options",
    [{"folds": 1}, {"folds": 31}, {"fit": "crop"}, {"size": (8, 8), "filter": "cubic"},
     {"dedup": "some"}, {"limit_per_class": 0}],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(pictures, tmp_path, options):
    with pytest.raises(InputError, match="--"):
        preprocess(str(pictures), tmp_path / "x.h5", PreprocessOptions(**options))
    assert list(tmp_path.glob("x.h5*")) == []
