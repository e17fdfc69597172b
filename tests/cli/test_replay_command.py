"""`nnlab replay`: the commands of its help, its JSON, its sheet, and every wrong way to call it."""

import json

import pytest
from PIL import Image

from nnlab.cli.main import main


@pytest.fixture(scope="module")
def mlp(nnlab, fashion_file, tmp_path_factory):
    """The run of an MLP with dropout and augmentation."""
    path = tmp_path_factory.mktemp("runs") / "mlp.h5"
    done = nnlab(
        "train", fashion_file, "-o", path, "--model", "mlp", "--hidden", 32, "--dropout", 0.3,
        "--augment", "shift=2", "--epochs", 2,
    )  # fmt: skip
    assert done.code == 0, done.stderr
    return path


def test_a_step_as_json_and_as_a_sheet(mlp, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert (
        main(["replay", str(mlp), "--epoch", "2", "--step", "3", "-o", str(sheet), "--json"]) == 0
    )
    record = json.loads(capsys.readouterr().out)
    assert (record["epoch"], record["step"], record["global_step"]) == (2, 3, 18)
    assert len(record["images"]) == 128
    assert set(record["images"][0]) == {"row", "label", "class"}
    assert record["loss"] > 0
    (mask,) = record["dropout"]
    assert mask["shape"] == [128, 32]
    assert abs(mask["kept"] - 0.7) < 0.05
    assert len(mask["sha256"]) == 64
    assert record["divergence"] is None
    assert record["sheet"] == str(sheet)
    with Image.open(sheet) as picture:
        assert picture.width > 500
        assert picture.height > 1000
    assert main(["replay", str(mlp), "--step", "18", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == record | {"sheet": None}


def test_a_step_in_words(mlp, capsys):
    assert main(["replay", str(mlp), "--step", "1"]) == 0
    text = capsys.readouterr().out
    assert "epoch 1, step 1 (step 1 of the run): 128 images" in text
    assert "112 more images; --json lists them all" in text
    assert "learning rate 0.001" in text
    assert "dropout 2_dropout: 128 x 32, " in text


def test_a_diverged_run_names_the_layer_and_the_number(fashion_file, tmp_path, capsys):
    run = tmp_path / "run.h5"
    train = ["train", str(fashion_file), "-o", str(run), "--model", "mlp", "--optimizer", "sgd",
             "--lr", "1e20", "--epochs", "2", "--json"]  # fmt: skip
    assert main(train) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == 3
    assert error["diverged"] is True
    assert error["learning_rate"] == pytest.approx(1e20, rel=0.01)
    assert f"nnlab replay {run} shows" in error["message"]
    assert main(["replay", str(run), "--json"]) == 0  # the advice works
    record = json.loads(capsys.readouterr().out)
    assert record["global_step"] == error["global_step"]
    first = record["divergence"]["first"]
    assert first["layer"] in {"0_linear", "2_linear"}
    assert first["value"] in {"nan", "inf", "-inf"}
    assert len(first["index"]) == 2
    assert record["divergence"]["stages"][0]["name"] == "standardized batch"
    assert main(["replay", str(run)]) == 0
    text = capsys.readouterr().out
    assert "the run diverged here: " in text
    assert "first: the " in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a step: --step 1 to 30"),
        (("--step", "31"), "2 epochs of 15 steps, 30 in all"),
        (("--epoch", "3", "--step", "1"), "2 epochs of 15 steps"),
        (("--epoch", "1"), "name a step"),
    ],
)
def test_a_step_that_is_not_there_is_one_line_and_2(mlp, capsys, arguments, message):
    assert main(["replay", str(mlp), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_other_data_than_the_runs_is_refused(mlp, fashion_file, tmp_path, capsys):
    from nnlab.datasets import open_data, write_data

    other = tmp_path / "other.h5"
    with open_data(fashion_file) as file:
        part = file.split("train")
        write_data(
            other, "other", "", {}, file.classes, {"train": (part.images, part.labels[::-1])}
        )
    assert main(["replay", str(mlp), str(other), "--step", "1"]) == 2
    assert "its content has another checksum" in capsys.readouterr().err
