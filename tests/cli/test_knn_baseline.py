"""`nnlab knn-baseline`: its JSON, its files, eval and predict on them, bad input, Ctrl-C."""

import gzip
import signal
import time

import h5py
import numpy as np
import pytest
from PIL import Image

from nnlab.datasets import write_data
from nnlab.neighbors import KNNClassifier

KEYS = {
    "metric", "k", "cross_validation", "split", "n", "accuracy", "seconds", "queries_per_second",
}  # fmt: skip


@pytest.fixture(scope="module")
def baseline_run(nnlab, fashion_file, tmp_path_factory):
    """The JSON and the run file of a baseline whose k was chosen by cross-validation."""
    path = tmp_path_factory.mktemp("knn") / "knn.h5"
    done = nnlab("knn-baseline", fashion_file, "-o", path, "--k", "1,3,5", "--folds", 3, "--json")
    assert done.code == 0, done.stderr
    return done.json, path


def test_the_json_has_the_promised_keys(baseline_run):
    record, path = baseline_run
    assert record.keys() >= KEYS
    assert (record["metric"], record["split"], record["n"]) == ("l1", "test", 500)
    assert set(record["cross_validation"]) == {"1", "3", "5"}
    assert all(len(folds) == 3 for folds in record["cross_validation"].values())
    means = {int(k): np.mean(folds) for k, folds in record["cross_validation"].items()}
    assert record["k"] == min(k for k in means if means[k] == max(means.values()))
    assert record["accuracy"] == record["correct"] / 500
    assert record["run"] == str(path)


def test_eval_finds_the_same_accuracy(nnlab, baseline_run):
    record, path = baseline_run
    done = nnlab("eval", path, "--json", "--no-save")
    assert done.code == 0, done.stderr
    assert done.json["accuracy"] == record["accuracy"]


def test_predict_classifies_an_image_file(nnlab, baseline_run, fashion_file, tmp_path):
    record, path = baseline_run
    with h5py.File(fashion_file) as file:
        image = file["test/images"][7]
        model = KNNClassifier(record["k"]).fit(file["train/images"][()], file["train/labels"][()])
    Image.fromarray(image[:, :, 0]).save(tmp_path / "seven.png")
    done = nnlab("predict", path, tmp_path / "seven.png", "--json")
    assert done.code == 0, done.stderr
    classes = [name.decode() for name in h5py.File(path)["classes"]]
    expected = classes[int(model.predict(image[None])[0])]
    assert done.json["predictions"][0]["top"][0]["class"] == expected


def test_the_run_names_its_data_and_refuses_other_data(nnlab, fashion_file, tmp_path):
    copy, run = tmp_path / "copy.h5", tmp_path / "run.h5"
    copy.write_bytes(fashion_file.read_bytes())
    assert nnlab("knn-baseline", copy, "-o", run, "--k", 1, "--limit-test", 20).code == 0
    with h5py.File(fashion_file) as file:
        images, labels = file["train/images"][()], file["train/labels"][()].astype(np.int64)
        classes = [name.decode() for name in file["classes"]]
        test = file["test/images"][()], file["test/labels"][()].astype(np.int64)
    images = images.copy()
    images[0, 0, 0, 0] ^= 1
    write_data(copy, "fashion-small", "x", {}, classes, {"train": (images, labels), "test": test})
    done = nnlab("eval", run, fashion_file, "--no-save")
    assert done.code == 2
    assert "changed" in done.stderr


def test_everything_that_can_be_asked_for_at_once(nnlab, fashion_file, tmp_path):
    files = {
        name: tmp_path / name for name in ("r.h5", "n.h5", "gallery.png", "plot.png", "ledger.png")
    }
    done = nnlab(
        "knn-baseline", fashion_file, "-o", files["r.h5"], "--k", "5,3", "--folds", 0,
        "--metric", "l2", "--weights", "distance", "--limit-train", 800, "--limit-test", 100,
        "--background-plot", files["plot.png"], "--ledger", 3, "--ledger-plot",
        files["ledger.png"], "--gallery", files["gallery.png"], "--neighbors", files["n.h5"],
        "--threads", 1, "--seed", 4, "--json",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    record = done.json
    assert all(path.stat().st_size > 1000 for path in files.values())
    assert record["k"] == 5
    assert set(record["accuracy_by_k"]) == {"5", "3"}
    assert record["background"]["accuracy"]["all"] == record["accuracy"]
    account = record["ledger"]
    assert account["difference"] == account["border"] + account["centre"]
    assert account["difference"] == sum(map(sum, account["pixels"]))
    again = nnlab("knn-baseline", fashion_file, "-o", files["r.h5"])
    assert again.code == 2
    assert "--force" in again.stderr


def test_the_table_and_the_words_for_people(nnlab, fashion_file):
    done = nnlab(
        "knn-baseline", fashion_file, "--k", "1,3", "--limit-test", 100, "--background",
        "--ledger", 0,
    )  # fmt: skip
    assert done.code == 0, done.stderr
    assert "cross-validation" in done.stdout
    assert "of 100 right" in done.stdout
    assert "On it alone the search is right for" in done.stdout
    assert "Pixel by pixel:" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--k", "0"), "k is 0"),
        (("--k", "3,x"), "whole numbers separated by commas"),
        (("--k", "2001"), "only 2000 training images"),
        (("--metric", "l3"), "known: l1, l2, cosine, linf"),
        (("--weights", "none"), "known: uniform, distance"),
        (("--folds", "1"), "at least 2"),
        (("--limit-train", "0"), "at least 1"),
        (("--split", "val"), "no split 'val'"),
        (("--ledger", "500"), "rows 0 to 499"),
        (("--metric", "linf", "--ledger", "1"), "no sum over pixels"),
        (("--ledger-plot", "x.png"), "needs --ledger"),
        (("-o", "missing/run.h5"), "does not exist"),
    ],
)
def test_bad_input_gives_one_line_and_code_2(nnlab, fashion_file, arguments, message):
    done = nnlab("knn-baseline", fashion_file, *arguments)
    assert done.code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_images_of_another_size_are_refused(nnlab, baseline_run, fashion_file, tmp_path):
    with h5py.File(fashion_file) as file:
        images, labels = file["test/images"][:, ::2, ::2], file["test/labels"][()].astype(np.int64)
        classes = [name.decode() for name in file["classes"]]
    small = tmp_path / "small.h5"
    write_data(
        small, "small", "", {}, classes, {"train": (images, labels), "test": (images, labels)}
    )
    done = nnlab("eval", baseline_run[1], small, "--no-save")
    assert done.code == 2
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_stops_soon_and_leaves_nothing(start_nnlab, fashion_dir, tmp_path):
    images = gzip.decompress((fashion_dir / "train-images-idx3-ubyte.gz").read_bytes())
    x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28, 1)
    y = np.arange(len(x)) % 10
    path, run = tmp_path / "all.h5", tmp_path / "run.h5"
    write_data(path, "all", "", {}, list("abcdefghij"), {"train": (x, y), "test": (x, y)})
    process = start_nnlab("knn-baseline", path, "-o", run, "--metric", "linf")
    time.sleep(4)  # in the middle of a search that takes much longer
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    stdout, stderr = process.communicate(timeout=20)
    assert time.monotonic() - started < 5.0  # well below a second where nothing else runs
    assert process.returncode == 130
    assert "stopped by Ctrl-C" in stderr
    assert "Traceback" not in stderr
    assert stdout == ""
    assert sorted(file.name for file in tmp_path.iterdir()) == ["all.h5"]
