"""Files of format version 1 open for good, in every command, with the numbers of their day."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from nnlab.cli.main import main
from nnlab.runs import container, open_run

FILES = Path(__file__).parents[1] / "data" / "format-1"
RUNS = ("softmax", "mlp", "stopped", "diverged", "knn")
# accuracy, data loss and log loss on the test images
EVALUATED = {
    "softmax": (0.3333333333333333, 2.2002570708592732, 2.200257068532365),
    "mlp": (0.1, 2.3694225947062173, 2.37284706239323),
    "stopped": (0.06666666666666667, 2.7346790472666425, 2.734679023469461),
    "diverged": (0.05, 2.5820324460665387, 2.5820324559670085),
    "knn": (0.6, None, 283.35856741290564),
}


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """Run a command beside copies of the files, and return its JSON object."""
    for path in FILES.glob("*.h5"):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0):
        capsys.readouterr()
        assert main([*arguments, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize("name", RUNS)
def test_eval_gives_the_recorded_numbers_and_keeps_them(ask, name):
    record = ask("eval", f"{name}.h5")
    for key, expected in zip(("accuracy", "loss", "log_loss"), EVALUATED[name], strict=True):
        assert record[key] == (expected and pytest.approx(expected, rel=1e-4)), key
    (row,) = ask("runs", f"{name}.h5")["runs"]
    kept = {found["split"]: found["accuracy"] for found in row["evaluations"]}
    assert kept["test"] == record["accuracy"]


def test_runs_lists_them_all(ask):
    rows = ask("runs", ".", "--verify")["runs"]
    assert {Path(row["run"]).stem: row["finished"] for row in rows} == {
        "softmax": True, "mlp": True, "stopped": False, "diverged": False, "knn": True,
    }  # fmt: skip
    (diverged,) = (row for row in rows if row["diverged"])
    assert Path(diverged["run"]).stem == "diverged"
    assert diverged["val_accuracy"] is None


def test_training_goes_on_from_a_checkpoint_of_the_middle_of_an_epoch(ask):
    record = ask("train", "-o", "stopped.h5", "--config", "stopped.h5", "--resume")
    assert record["epochs"] == 2
    assert record["train"]["loss"] == pytest.approx(2.2822754979133606, rel=1e-4)
    assert record["val"]["loss"] == pytest.approx(2.3328074912230172, rel=1e-4)


def test_training_goes_on_from_a_run_without_samples(ask):
    run = open_run(Path("softmax.h5"))

    def fill(file):
        run._fill(file)
        del file["history/sampled"]

    Path("softmax.h5").write_bytes(container.build(fill))
    # None of the steps of the fourth epoch, 9 to 11, is sampled.
    arguments = ("train", "--config", "softmax.h5", "--epochs", "4", "--resume")
    record = ask(*arguments, "-o", "softmax.h5")
    assert record["epochs"] == 4
    assert open_run(Path("softmax.h5")).history["sampled"] == {}
    ask("report", "softmax.h5", "-o", "report.html")


def test_a_finished_run_is_finished_and_a_diverged_one_has_diverged(ask):
    record = ask("train", "-o", "mlp.h5", "--config", "mlp.h5", "--resume")
    assert record["train"]["loss"] == pytest.approx(2.3736968557039897)
    assert record["stopped_early"]
    arguments = ("train", "-o", "diverged.h5", "--config", "diverged.h5", "--resume")
    assert "diverged; going on" in ask(*arguments, code=2)["error"]["message"]


def test_settings_can_be_taken_from_them(ask):
    record = ask("train", "-o", "again.h5", "--config", "softmax.h5")
    assert record["train"]["loss"] == pytest.approx(2.1682160079479216, rel=1e-4)


def test_replay_makes_the_same_batch_and_masks(ask):
    record = ask("replay", "mlp.h5", "--step", "2")
    assert [image["row"] for image in record["images"]][:5] == [31, 59, 23, 15, 35]
    assert [mask["kept"] for mask in record["dropout"]] == [0.7416666666666667, 0.82]
    assert record["dropout"][0]["sha256"].startswith("ecb01f851f96e60e")
    assert record["loss"] == 2.3543976545333862
    first = ask("replay", "diverged.h5")["divergence"]["first"]
    assert (first["array"], first["value"]) == ("output of 2_linear", "-inf")


@pytest.mark.parametrize("name", RUNS)
def test_predict_takes_a_picture(ask, name, tmp_path):
    Image.new("L", (8, 8), 200).save(tmp_path / "gray.png")
    (answer,) = ask("predict", f"{name}.h5", "gray.png", "--top", "2")["predictions"]
    assert len(answer["top"]) == 2


def test_the_data_file_opens(ask):
    assert ask("knn-baseline", "data.h5", "--k", "1", "--metric", "l2")["correct"] == 36


@pytest.mark.parametrize("name", ["softmax", "mlp"])
def test_the_weights_are_explained_and_checked(ask, name):
    assert ask("gradcheck", f"{name}.h5")
    assert ask("explain", f"{name}.h5", "--data", "data.h5", "--index", "3")
    assert ask("report", f"{name}.h5", "-o", "report.html")
