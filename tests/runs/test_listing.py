"""Many runs side by side."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from nnlab.errors import InputError
from nnlab.runs import Run
from nnlab.runs.listing import differing_settings, find_runs, sort_runs, splits_of


@pytest.fixture
def folder(make_run, tmp_path) -> Path:
    """Three networks, one of them unfinished, and a nearest-neighbour run."""
    make_run().save(tmp_path / "softmax.h5")
    mlp = make_run(model="mlp", hidden="512,256", lr=0.01)
    mlp.attributes["result"]["val_accuracy"] = 0.9
    (tmp_path / "deep").mkdir()
    mlp.save(tmp_path / "deep" / "mlp.h5")
    part = make_run(model="svm", l2=0.001)
    del part.attributes["result"]
    part.evaluations.clear()
    part.attributes["progress"] |= {"finished": False, "epoch": 2, "best_accuracy": 0.5}
    part.save(tmp_path / "part.h5")
    knn = Run(
        kind="knn",
        command=["nnlab"],
        config={"data": "digits", "metric": "l1", "k": [1, 5], "weights": "uniform"},
        classes=list("ab"),
        spec={"metric": "l1", "k": 5, "data": {"name": "digits"}},
    )
    knn.attributes["result"] = {"seconds": 2.5}
    knn.evaluations["digits", "test"] = mlp.evaluations["digits", "test"]
    knn.save(tmp_path / "knn.h5")
    return tmp_path


def names(rows):
    return [row.path.stem for row in rows]


def test_runs_are_found_in_a_folder_and_all_below(folder):
    rows, broken = find_runs([folder])
    assert names(rows) == ["knn", "part", "softmax", "mlp"]
    assert broken == []


def test_a_row_says_what_the_run_is_and_what_it_reached(folder):
    [row], _ = find_runs([folder / "softmax.h5"])
    accuracy = {(found.data, found.split): found.accuracy for found in row.evaluations}
    assert (row.kind, row.model, row.data, row.epochs, row.best_epoch) == (
        "network", "softmax", "digits", 3, 2,
    )  # fmt: skip
    assert (row.val_accuracy, row.seconds, row.finished) == (0.75, 1.5, True)
    assert accuracy["a/b %.", "."] == 1.0
    assert row.column("test") == accuracy["digits", "test"]
    assert row.column("a/b %./.") == 1.0
    assert row.column("lr") == 0.001


def test_a_nearest_neighbour_run_names_its_metric_and_k(folder):
    [row], _ = find_runs([folder / "knn.h5"])
    assert (row.model, row.data, row.seconds, row.best_epoch) == ("knn l1 k=5", "digits", 2.5, None)


def test_an_unfinished_run_shows_how_far_it_is(folder):
    [row], _ = find_runs([folder / "part.h5"])
    assert (row.finished, row.epochs, row.val_accuracy) == (False, 2, 0.5)


def test_only_settings_that_differ_within_a_kind_are_told(folder):
    rows, _ = find_runs([folder])
    settings = dict(zip(names(rows), differing_settings(rows), strict=True))
    assert settings["mlp"] == {"lr": 0.01, "l2": 0.0, "hidden": "512,256"}
    assert settings["part"] == {"lr": 0.001, "l2": 0.001, "hidden": None}
    assert settings["knn"] == {}
    unusual = dict(zip(names(rows), differing_settings(rows, only_unusual=True), strict=True))
    assert unusual["mlp"] == {"lr": 0.01, "hidden": "512,256"}
    assert unusual["part"] == {"l2": 0.001}
    assert unusual["softmax"] == {}


def test_the_test_split_comes_first(folder):
    rows, _ = find_runs([folder])
    assert splits_of(rows) == ["test", "/val", "a/b %./."]


@pytest.mark.parametrize(
    ("column", "reverse", "expected"),
    [
        ("val_accuracy", False, ["mlp", "softmax", "part", "knn"]),
        ("val_accuracy", True, ["part", "softmax", "mlp", "knn"]),
        ("seconds", False, ["part", "softmax", "mlp", "knn"]),
        ("model", False, ["knn", "mlp", "softmax", "part"]),
        ("l2", True, ["part", "softmax", "mlp", "knn"]),
    ],
)
def test_sorting_puts_the_best_accuracy_first_and_no_value_last(folder, column, reverse, expected):
    rows, _ = find_runs([folder])
    assert names(sort_runs(rows, column, reverse)) == expected


def test_an_unknown_column_is_refused_with_the_known_ones(folder):
    rows, _ = find_runs([folder])
    with pytest.raises(
        InputError, match=r"no column speed; there are run, kind, .* and the settings"
    ):
        sort_runs(rows, "speed")


def test_broken_files_are_named_and_the_rest_is_listed(folder):
    (folder / "cut.h5").write_bytes((folder / "softmax.h5").read_bytes()[:4000])
    (folder / "empty.h5").touch()
    (folder / "first.h5").write_bytes(b"X" + (folder / "softmax.h5").read_bytes()[1:])
    (folder / "link.h5").symlink_to(folder / "gone.h5")
    os.mkfifo(folder / "pipe.h5")
    rows, broken = find_runs([folder])
    assert names(rows) == ["knn", "part", "softmax", "mlp"]
    assert [file.path.stem for file in broken] == ["cut", "empty", "first", "link", "pipe"]
    assert "is cut short: 4,000 of" in broken[0].reason
    for file in broken:
        assert str(file.path) in file.reason
        assert "\n" not in file.reason


def test_other_hdf5_files_are_passed_over_in_folders_and_named_when_asked_for(folder):
    with h5py.File(folder / "data.h5", "w") as file:
        file["images"] = np.zeros(3)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "run.h5").write_bytes(b"not looked at")
    assert find_runs([folder])[1] == []
    rows, [broken] = find_runs([folder / "data.h5"])
    assert rows == []
    assert "not an nnlab run file" in broken.reason


def test_a_file_named_twice_is_listed_once(folder):
    rows, _ = find_runs([folder / "softmax.h5", folder / ".." / folder.name, folder])
    assert sorted(names(rows)) == ["knn", "mlp", "part", "softmax"]


def test_a_path_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        find_runs([tmp_path / "nowhere"])


def test_damage_to_weights_is_seen_only_when_verifying(folder):
    path = folder / "softmax.h5"
    with h5py.File(path, "r") as file:
        place = file["weights/00_linear/W"].id.get_offset()
    image = bytearray(path.read_bytes())
    image[place] ^= 1
    path.write_bytes(image)
    assert "softmax" in names(find_runs([folder])[0])
    rows, [broken] = find_runs([folder], verify=True)
    assert "softmax" not in names(rows)
    assert broken.path == path


def test_a_record_is_plain_json(folder):
    rows, _ = find_runs([folder])
    record = json.loads(json.dumps(rows[-1].record()))
    assert record["run"].endswith("mlp.h5")
    assert record["config"]["hidden"] == "512,256"
    assert record["evaluations"][-1]["split"] == "test"
