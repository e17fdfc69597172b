"""Cards: those that come with nnlab are right, a wrong one is refused in one clear line."""

import re

import pytest

from nnlab.datasets import shapes
from nnlab.datasets.card_file import parse_card, read_card
from nnlab.datasets.known import find_card, known_cards
from nnlab.errors import FileFormatError, InputError

GOOD = """
name = "pets"
title = "Pets"
licence = "CC0"
citation = "nobody"
home = "https://example.org"
format = "idx"
shape = [8, 8, 3]
classes = ["cat", "dog"]
mirrors = ["https://example.org/pets/"]

[splits]
train = 10

[[files]]
name = "train-images-idx3-ubyte.gz"
size = 100
sha256 = "{sha}"

[[references]]
model = "chance"
accuracy = 0.5
source = "arithmetic"
""".format(sha="0" * 64)


def test_the_known_sets_are_there_and_complete():
    cards = known_cards()
    assert {"fashion-mnist", "mnist", "cifar10", "shapes"} <= set(cards)
    for name, card in cards.items():
        assert card.name == name
        assert card.title
        assert card.licence
        assert card.citation
        if not card.generated:
            assert card.mirrors
            assert card.files
            assert {"train", "test"} <= set(card.splits)


def test_shapes_has_the_classes_that_are_drawn():
    assert list(find_card("shapes").classes) == list(shapes.CLASSES)


def test_a_good_card_is_read():
    card = parse_card(GOOD, "pets.toml")
    assert card.classes == ("cat", "dog")
    assert card.shape == (8, 8, 3)
    assert card.files[0].sha256 == "0" * 64
    assert card.references[0].accuracy == 0.5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "pets"', 'name = "My Pets"', "must be of small letters"),
        ('title = "Pets"', "", "lacks 'title'"),
        ('title = "Pets"', "title = 5", "'title' must be a text, not 5"),
        ('format = "idx"', 'format = "jpeg2000"', "no format 'jpeg2000'; known are idx"),
        ("shape = [8, 8, 3]", "shape = [8, 8]", "must be [height, width, channels]"),
        ("shape = [8, 8, 3]", "shape = [8, 8, 0]", "must be [height, width, channels]"),
        ('["cat", "dog"]', '["cat", "cat"]', "list of different names"),
        ('["cat", "dog"]', '["cat", 2]', "must be a list of texts"),
        ('"https://example.org/pets/"', '"file:///etc"', "is not a URL"),
        ("train = 10", "train = -10", "whole numbers"),
        ("train-images-idx3-ubyte.gz", "../train.gz", "is not a plain file name"),
        ("0" * 64, "0" * 63, "the sha256 of train-images-idx3-ubyte.gz is not one"),
        (f'sha256 = "{"0" * 64}"', "", "needs a sha256, a published_sha256 or an md5"),
        ("accuracy = 0.5", "accuracy = 50", "between 0 and 1"),
        ("accuracy = 0.5", "accuracy = true", "must be a number"),
        ('licence = "CC0"', 'licence = "CC0"\nlicense = "CC0"', "unknown key 'license'"),
        ("size = 100", "sise = 100", "pets.toml: files has an unknown key 'sise'"),
        ("[splits]", "[splits", "is not a TOML file"),
    ],
)
def test_a_wrong_card_is_refused_in_one_line(old, new, message):
    assert old in GOOD
    with pytest.raises(FileFormatError, match=re.escape(message)) as caught:
        parse_card(GOOD.replace(old, new), "pets.toml")
    assert str(caught.value).startswith("pets.toml")
    assert "\n" not in str(caught.value)


def test_a_card_file_that_is_missing_or_no_text_is_named(tmp_path):
    with pytest.raises(InputError, match=re.escape("no.toml cannot be read")):
        read_card(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FileFormatError, match="not a text file"):
        read_card(tmp_path / "bad.toml")


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match=r"'mnits' is no known data set; known are .*mnist"):
        find_card("mnits")
