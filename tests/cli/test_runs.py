"""`nnlab runs` on runs of real classifiers."""

import csv
import io

import pytest

from nnlab.metrics import measure
from nnlab.runs import Run


@pytest.fixture
def folder(tmp_path):
    """Two networks and a nearest-neighbour run of one data set."""
    for model, accuracy, extra in (("softmax", 0.5, {}), ("mlp", 0.75, {"hidden": "512,256"})):
        run = Run(
            kind="network",
            command=["nnlab", "train"],
            config={"model": model, "data": "shapes", "lr": 0.001, "hidden": None, **extra},
            classes=["disc", "square"],
        )
        run.attributes["progress"] = {"epoch": 4, "best_epoch": 3, "finished": True}
        run.attributes["result"] = {"val_accuracy": accuracy, "seconds": 12.34}
        run.evaluations["shapes", "test"] = measure([0, 1], [0, 1], 2)
        run.evaluations["shapes", "test_swapped"] = measure([0, 1], [1, int(model == "mlp")], 2)
        run.save(tmp_path / f"{model}.h5")
    knn = Run("knn", ["nnlab"], {"metric": "l1", "k": 5, "data": "shapes"}, ["disc", "square"])
    knn.evaluations["shapes", "test"] = measure([0, 1], [0, 0], 2)
    knn.save(tmp_path / "knn.h5")
    return tmp_path


def test_the_table_shows_each_run_with_what_it_reached(nnlab, folder):
    done = nnlab("runs", folder)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"3 runs in {folder}, trained on shapes; accuracies in %")
    rows = {
        cells[0]: cells[1:]
        for line in done.stdout.splitlines()
        if line.startswith("│") and (cells := [cell.strip() for cell in line.strip("│").split("│")])
    }
    assert rows["mlp.h5"] == ["mlp", "hidden=512,256", "3", "75.00", "100.00", "50.00", "12.3"]
    assert rows["knn.h5"] == ["knn l1 k=5", "", "-", "-", "50.00", "-", "-"]


def test_the_current_folder_is_the_default(nnlab, folder):
    assert nnlab("runs", cwd=folder).stdout.startswith("3 runs, trained on shapes")


def test_the_table_fits_a_hundred_columns(nnlab, folder):
    # Without a terminal the table may be wider; its content must not need it.
    lines = nnlab("runs", cwd=folder).stdout.splitlines()
    assert max(map(len, lines)) <= 100


def test_json(nnlab, folder):
    record = nnlab("runs", folder, "--json", "--sort", "val_accuracy").json
    assert [run["model"] for run in record["runs"]] == ["mlp", "softmax", "knn l1 k=5"]
    best = record["runs"][0]
    assert best["settings"] == {"hidden": "512,256"}
    assert best["config"]["lr"] == 0.001
    assert best["evaluations"][1] == {
        "data": "shapes", "split": "test_swapped", "n": 2, "accuracy": 0.5,
    }  # fmt: skip
    assert record["broken"] == []


def test_runs_are_chosen_by_conditions(nnlab, folder):
    best = ("runs", folder, "--sort", "val_accuracy", "--json")
    kinds = nnlab(*best, "--where", "kind=network", "--where", "val_accuracy<0.6").json["runs"]
    assert [run["model"] for run in kinds] == ["softmax"]
    assert [run["model"] for run in nnlab(*best, "--limit", 1).json["runs"]] == ["mlp"]
    done = nnlab("runs", folder, "--where", "model=svm")
    assert (done.code, done.stdout) == (0, "")
    assert done.stderr == "none of 3 runs fulfils model=svm.\n"
    assert nnlab("runs", folder, "--where", "model").code == 2


def test_csv_to_stdout_and_to_a_file(nnlab, folder, tmp_path):
    done = nnlab("runs", folder, "--csv", "-")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["val_accuracy"] for row in rows] == ["", "0.75", "0.5"]
    assert rows[1]["hidden"] == "512,256"
    assert rows[1]["test_swapped"] == "0.5"
    assert nnlab("runs", folder, "--csv", tmp_path / "runs.csv").code == 0
    assert (tmp_path / "runs.csv").read_text() == done.stdout
    again = nnlab("runs", folder, "--csv", tmp_path / "runs.csv")
    assert again.code == 2
    assert "--force" in again.stderr


def test_no_two_columns_of_a_csv_file_share_a_name(nnlab, folder):
    for epochs in (5, 9):
        run = Run("network", ["nnlab"], {"model": "mlp", "epochs": epochs}, ["disc", "square"])
        run.attributes["progress"] = {"epoch": 4}
        run.save(folder / f"for-{epochs}.h5")
    rows = list(csv.reader(io.StringIO(nnlab("runs", folder, "--csv", "-").stdout)))
    assert len(set(rows[0])) == len(rows[0])
    last = dict(zip(rows[0], rows[2], strict=True))
    assert (last["epochs"], last["option_epochs"]) == ("4", "9")


def test_csv_and_json_cannot_both_have_stdout(nnlab, folder):
    done = nnlab("runs", folder, "--csv", "-", "--json")
    assert done.code == 2
    assert done.json["error"]["code"] == 2


def test_broken_files_are_named_on_stderr_and_do_not_fail(nnlab, folder):
    (folder / "cut.h5").write_bytes((folder / "mlp.h5").read_bytes()[:3000])
    done = nnlab("runs", folder, "--json")
    assert done.code == 0
    assert len(done.json["runs"]) == 3
    assert done.json["broken"][0]["path"] == str(folder / "cut.h5")
    assert done.stderr.startswith(f"warning: {folder / 'cut.h5'} is cut short")
    assert done.stderr.count("\n") == 1


def test_an_unfinished_run_is_told(nnlab, tmp_path):
    run = Run("network", ["nnlab"], {"model": "svm", "data": "shapes"}, ["a"])
    run.attributes["progress"] = {"epoch": 2, "best_epoch": 0, "finished": False}
    run.save(tmp_path / "part.h5")
    done = nnlab("runs", cwd=tmp_path)
    assert "not finished: part.h5, 2 epochs done" in done.stdout


def test_a_folder_without_runs_says_so(nnlab, tmp_path):
    done = nnlab("runs", tmp_path)
    assert (done.code, done.stdout, done.stderr) == (0, "", "no run files found.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("nowhere",), "nowhere does not exist."), ((".", "--sort", "speed"), "no column speed")],
)
def test_wrong_use_is_one_line(nnlab, folder, arguments, message):
    done = nnlab("runs", *arguments, cwd=folder)
    assert done.code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
