"""`nnlab datasets`: what is known, and what of it is on this machine."""

from pathlib import Path

import pytest
from rich.console import Console

from nnlab.cli import output
from nnlab.cli.main import main
from nnlab.datasets import known
from nnlab.datasets.known import known_cards


def test_every_known_set_is_listed_with_its_state(nnlab, fashion_dir, tmp_path):
    done = nnlab("datasets", "--root", tmp_path)
    assert done.code == 0, done.stderr
    for name in known_cards():
        assert name in done.stdout
    assert str(tmp_path) in done.stdout

    def state():
        record = nnlab("datasets", "--root", tmp_path, "--json").json
        (entry,) = (item for item in record["datasets"] if item["name"] == "fashion-mnist")
        return entry["downloaded"], entry["prepared"]

    assert state() == (False, None)
    nnlab("download", "fashion-mnist", "--source", fashion_dir, "--root", tmp_path)
    assert state() == (True, None)
    prepared = tmp_path / "fashion-mnist" / "fashion-mnist.h5"
    arguments = ("fashion-mnist", "--root", tmp_path, "--limit", 100, "-o", prepared)
    assert nnlab("preprocess", *arguments).code == 0
    assert state() == (True, str(prepared))


def test_a_name_shows_its_card(nnlab):
    done = nnlab("datasets", "fashion-mnist")
    for text in ("Fashion-MNIST", "MIT", "arXiv:1708.07747", "Ankle boot", "60,000", "SHA-256"):
        assert text in done.stdout
    assert nnlab("datasets", "mnist", "--json").json["files"][0]["size"] == 9912422


def test_an_unknown_name_is_one_line(nnlab):
    done = nnlab("datasets", "imagenet")
    assert (done.code, done.stdout) == (2, "")
    assert "known are" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Fashion_MNIST", "fashion-mnist"),
        ("cifar-10", "cifar10"),
        ("letters", "emnist-letters"),
        ("fashoin-mnist", "fashion-mnist"),
        ("cifar", "cifar10 or cifar100 or cifar100-coarse"),
    ],
)
def test_a_name_that_is_nearly_right_is_asked_about(nnlab, name, meant):
    for command in ("datasets", "download"):
        assert f"; did you mean {meant}? " in nnlab(command, name).stderr


def test_the_list_fits_a_terminal_of_80_columns_and_breaks_no_name(capsys, monkeypatch, tmp_path):
    console = Console(width=80, highlight=False)
    monkeypatch.setattr(output, "_console", lambda: console)
    assert main(["datasets", "--root", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:-1])) <= 80  # the last one is the path of the data folder
    shown = {line.split()[1] for line in lines if line.startswith("│ ") and line[2] != " "}
    assert shown == set(known_cards())


def test_a_card_of_ones_own_is_checked(nnlab, tmp_path):
    good = Path(known.__file__).parent / "cards" / "kmnist.toml"
    path = tmp_path / "letters.toml"
    path.write_text(good.read_text().replace('name = "kmnist"', 'name = "letters"', 1))
    done = nnlab("datasets", "--card", path)
    assert (done.code, done.stderr) == (0, "")
    assert "is a good card" in done.stdout

    path.write_text(path.read_text().replace('format = "idx"', 'format = "odd"\nhue = 1'))
    done = nnlab("datasets", "--card", path)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == f"nnlab: {path} has an unknown key 'hue'.\n"
    assert nnlab("datasets", "--card", path, "--json").json["faults"] == [
        f"{path} has an unknown key 'hue'."
    ]
    done = nnlab("datasets", "--card", good)
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert "is taken by a card of nnlab itself" in done.stderr
