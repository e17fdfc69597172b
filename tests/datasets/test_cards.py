"""Cards: those that come with nnlab are right, a wrong one is refused in one clear line."""

import re

import pytest

from nnlab.datasets import shapes
from nnlab.datasets.card_file import examine, parse_card, read_card
from nnlab.datasets.fetching.verify import is_proven
from nnlab.datasets.known import find_card, known_cards
from nnlab.errors import FileFormatError, InputError, NnlabWarning

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
    emnist = {"balanced", "byclass", "bymerge", "letters", "digits", "mnist"}
    assert set(cards) >= {
        "mnist", "fashion-mnist", "kmnist", "qmnist", "usps", "cifar10", "cifar100",
        "cifar100-coarse", "svhn", "stl10", "notmnist", "shapes",
        *(f"emnist-{name}" for name in emnist),
    }  # fmt: skip
    for name, card in cards.items():
        assert card.name == name
        assert card.title
        assert card.licence
        assert card.citation
        if not card.generated:
            assert card.mirrors
            assert card.files
            splits = set(card.splits) or {file.split for file in card.files}
            assert {"train", "test"} <= splits
            for file in card.files:
                # Without a checksum the size at least is known, and the card says why.
                assert is_proven(file) or (file.size and file.unverified)


def test_the_known_sets_say_what_others_reached():
    """All but one of them, of which no figure was found that could be read where it is cited."""
    without = {name for name, card in known_cards().items() if not card.references}
    assert without == {"emnist-mnist"}


def test_cards_with_the_same_files_share_their_folder():
    folders = {}
    for card in known_cards().values():
        files = {file.name: file.published_sha256 for file in card.files}
        assert folders.setdefault(card.files_name, files) == files
    assert {find_card(f"emnist-{name}").files_name for name in ("letters", "mnist")} == {"emnist"}


def test_shapes_has_the_classes_that_are_drawn():
    assert list(find_card("shapes").classes) == list(shapes.CLASSES)


def test_shapes_has_the_mean_and_the_deviation_of_what_is_drawn():
    images = shapes.generate(0, counts={"train": shapes.COUNTS["train"]})["train"][0] / 255.0
    stated = find_card("shapes").statistics
    assert images.mean((0, 1, 2)) == pytest.approx(stated.mean, abs=5e-5)
    assert images.std((0, 1, 2)) == pytest.approx(stated.std, abs=5e-5)


def test_the_known_sets_have_a_published_mean_and_deviation():
    """All but three: those of KMNIST contradict each other, of two none were found."""
    without = {name for name, card in known_cards().items() if card.statistics is None}
    assert without == {"kmnist", "notmnist", "qmnist"}


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
        ("[splits]", "mean = [0.5, 0.5, 0.5]\n[splits]", "'statistics_source' belong together"),
        ("[splits]", 'mean = [1]\nstd = [1]\nstatistics_source = "me"\n[splits]', "each channel"),
        ("[splits]", '[reading]\nlabels = "middling"\n[splits]', "must be one of fine, coarse"),
        ("[splits]", "[reading]\ntransposed = 1\n[splits]", "must be true or false, not 1"),
        ("size = 100", 'size = 100\nunverified = "lazy"', "or, without, an 'unverified'"),
        ("size = 100", 'size = 100\nname = "x"', "is not a TOML file"),
        ('home = "https', 'folder = "../up"\nhome = "https', "'folder' must be of small letters"),
    ],
)
def test_a_wrong_card_is_refused_in_one_line(old, new, message):
    assert old in GOOD
    with pytest.raises(FileFormatError, match=re.escape(message)) as caught:
        parse_card(GOOD.replace(old, new), "pets.toml")
    assert str(caught.value).startswith("pets.toml")
    assert "\n" not in str(caught.value)


def test_of_several_faults_the_first_is_told_and_what_shows_the_others():
    wrong = GOOD.replace('title = "Pets"', "").replace("[8, 8, 3]", "[8]")
    with pytest.raises(FileFormatError, match="lacks 'title'") as caught:
        parse_card(wrong, "pets.toml")
    assert str(caught.value).endswith("(and 1 more: nnlab datasets --card pets.toml)")


def test_a_card_file_that_is_missing_or_no_text_is_named(tmp_path):
    with pytest.raises(InputError, match=re.escape("no.toml cannot be read")):
        read_card(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FileFormatError, match="not a text file"):
        read_card(tmp_path / "bad.toml")


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match=r"'imagenet' is no known data set; known are .*mnist"):
        find_card("imagenet")


@pytest.fixture
def own_cards(tmp_path, monkeypatch):
    """The folder of the user's own cards."""
    folder = tmp_path / "cards"
    folder.mkdir()
    monkeypatch.setenv("NNLAB_CARDS", str(folder))
    return folder


def test_cards_of_ones_own_are_found_and_listed(own_cards):
    (own_cards / "pets.toml").write_text(GOOD)
    assert find_card("pets").title == "Pets"
    assert list(known_cards()) == sorted(known_cards())


def test_the_configuration_folder_is_the_usual_place(tmp_path, monkeypatch):
    monkeypatch.delenv("NNLAB_CARDS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert "pets" not in known_cards()
    (tmp_path / "nnlab" / "cards").mkdir(parents=True)
    (tmp_path / "nnlab" / "cards" / "pets.toml").write_text(GOOD)
    assert "pets" in known_cards()


def test_a_card_whose_name_is_taken_is_left_out(own_cards):
    (own_cards / "a.toml").write_text(GOOD.replace('"pets"', '"mnist"'))
    with pytest.warns(NnlabWarning, match=r"a.toml: the name 'mnist' is taken by a card of nnlab"):
        assert known_cards()["mnist"].title != "Pets"
    (own_cards / "a.toml").write_text(GOOD)
    (own_cards / "b.toml").write_text(GOOD.replace('"Pets"', '"Other pets"'))
    taken = r"b.toml: the name 'pets' is taken by a card of .*a.toml"
    with pytest.warns(NnlabWarning, match=taken):
        assert find_card("pets").title == "Pets"


@pytest.mark.parametrize("content", ["name = ", "colour = 1", b"\xff"])
def test_a_broken_card_is_left_out_and_the_others_are_there(own_cards, content):
    content = content if isinstance(content, bytes) else content.encode()
    (own_cards / "broken.toml").write_bytes(content)
    (own_cards / "pets.toml").write_text(GOOD)
    with pytest.warns(NnlabWarning, match=r"a card of your own is left out: .*broken.toml"):
        assert {"pets", "mnist"} <= known_cards().keys()


def test_a_command_says_once_that_a_card_is_broken_and_goes_on(own_cards, nnlab, tmp_path):
    (own_cards / "broken.toml").write_text("colour = 1")
    done = nnlab("datasets", "--json")
    assert done.code == 0
    assert "mnist" in [entry["name"] for entry in done.json["datasets"]]
    assert done.stderr.startswith(f"warning: a card of your own is left out: {own_cards}")
    assert done.stderr.count("\n") == 1
    asked_twice = nnlab("train", "mnst", "-o", tmp_path / "run.h5")
    assert asked_twice.code == 2
    assert asked_twice.stderr.count("left out") == 1


def test_every_fault_of_a_card_is_a_line_of_its_own():
    text = GOOD.replace("shape = [8, 8, 3]", "shape = 8").replace('"CC0"', "0")
    card, faults = examine(text + "colour = 1", "pets.toml")
    assert card is None
    assert faults == [
        "pets.toml: 'licence' must be a text, not 0.",
        "pets.toml: 'shape' must be [height, width, channels] in whole numbers, not 8.",
        "pets.toml: references has an unknown key 'colour'.",
    ]
