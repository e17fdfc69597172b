"""`nnlab train --dry-run`: what a training needs, before it is submitted."""

import json
import os

import pytest

from nnlab.cli.main import main
from nnlab.runs import open_run

MLP = ("--model", "mlp", "--hidden", "64,32", "--batch-size", "100", "--epochs", "4")


def test_what_it_says_is_what_the_run_has(fashion_file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(fashion_file), *MLP, "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert os.listdir(tmp_path) == []
    assert said["dry_run"] is True
    assert main(["train", str(fashion_file), "-o", "run.h5", *MLP, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    run = open_run(tmp_path / "run.h5")
    assert said["parameters"] == record["parameters"]
    assert (said["epochs"], said["steps_per_epoch"]) == (4, 18)
    assert said["train_images"] == run.config["train_images"]
    assert said["validation_images"] == run.config["validation_images"]
    assert said["checkpoint_bytes"] == pytest.approx(os.path.getsize("run.h5"), rel=0.1)
    assert said["memory_bytes"] > 3 * 4 * said["parameters"]
    assert said["epoch_seconds"] >= 18 * said["step_seconds"]  # and the validation
    assert said["seconds"] > 4 * 18 * said["step_seconds"]


def test_it_needs_no_run_file_and_leaves_one_alone(fashion_file, tmp_path, capsys):
    run = tmp_path / "run.h5"
    run.write_text("mine")
    assert main(["train", str(fashion_file), "-o", str(run), "--dry-run"]) == 0
    assert run.read_text() == "mine"
    text = capsys.readouterr().out
    for what in ("parameters", "7,850", "memory at its peak", "run file", "the whole training"):
        assert what in text


def test_it_prepares_no_data(tmp_path, capsys):
    assert main(["train", "shapes", "--root", str(tmp_path), "--dry-run"]) == 2
    assert "run nnlab preprocess shapes -o shapes.h5 first" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
