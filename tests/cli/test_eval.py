"""`nnlab eval`: the keys of its JSON, what it keeps, and data that does not fit."""

import csv

import h5py
import numpy as np
import pytest
import scipy.special

from nnlab.cli.main import main
from nnlab.datasets import write_data
from nnlab.neighbors import classifier


def test_json_has_the_keys_that_scripts_rely_on(nnlab, softmax_run, fashion_file):
    record = nnlab("eval", softmax_run, "--json").json
    assert record["run"] == str(softmax_run)
    assert (record["data"], record["split"], record["n"]) == ("fashion-small", "test", 500)
    assert 0.6 < record["accuracy"] < record["top5_accuracy"] <= 1
    assert 0 <= record["expected_calibration_error"] < 0.5
    matrix = np.array(record["confusion_matrix"])
    assert matrix.sum() == 500
    assert np.trace(matrix) / 500 == pytest.approx(record["accuracy"])
    assert record["macro"]["recall"] == pytest.approx(
        np.mean([row["recall"] for row in record["per_class"]])
    )
    assert record["weighted"]["recall"] == pytest.approx(record["accuracy"])
    assert 0 < record["brier_score"] < 2
    assert record["hinge_loss"] > 0
    assert record["accuracy_interval"]["low"] < record["accuracy"]
    assert set(record["per_class"][0]) == {"class", "precision", "recall", "f1", "support"}
    assert record["loss"] == pytest.approx(record["log_loss"], rel=1e-5)
    assert nnlab("eval", softmax_run, fashion_file, "--json").json == record


def test_the_evaluation_is_kept_in_the_run_file(nnlab, softmax_run):
    record = nnlab("eval", softmax_run, "--split", "train", "--json").json
    with h5py.File(softmax_run) as file:
        kept = file["evaluations/fashion-small/train"]
        assert kept.attrs["accuracy"] == record["accuracy"]
        assert kept["confusion_matrix"].shape == (10, 10)
        assert kept.attrs["brier_score"] == record["brier_score"]
        assert kept["reliability/count"][()].sum() == 2000
        index = kept["mistakes/index"][0]
        assert record["mistakes"][0]["index"] == index
        assert record["mistakes"][0]["probability"] == kept["mistakes/probability"][0]


def test_predictions_are_a_table_with_a_line_an_image(nnlab, softmax_run, tmp_path):
    table = tmp_path / "predictions.csv"
    record = nnlab("eval", softmax_run, "--predictions", table, "--json").json
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 500
    assert np.mean([row["class"] == row["predicted"] for row in rows]) == record["accuracy"]
    assert nnlab("eval", softmax_run, "--predictions", table).code == 2


def test_predictions_as_hdf5_hold_every_probability_and_score(nnlab, softmax_run, tmp_path):
    path = tmp_path / "predictions.h5"
    record = nnlab("eval", softmax_run, "--predictions", path, "--json").json
    with h5py.File(path) as file:
        labels, predicted = file["labels"][()], file["predicted"][()]
        chance, scores = file["probabilities"][()], file["scores"][()]
        assert file.attrs["nnlab_format"] == b"predictions"
        assert (file.attrs["data"], file.attrs["split"]) == (b"fashion-small", b"test")
        assert file["classes"][1] == b"trouser"
    assert (labels == predicted).mean() == record["accuracy"]
    np.testing.assert_array_equal(scores.argmax(axis=1), predicted)
    np.testing.assert_allclose(scipy.special.softmax(scores.astype(float), axis=1), chance)
    assert -np.log(chance[np.arange(500), labels]).mean() == pytest.approx(record["log_loss"])


def test_a_name_without_a_format_is_refused_before_anything_is_computed(nnlab, softmax_run):
    done = nnlab("eval", softmax_run, "--predictions", "predictions.txt")
    assert done.code == 2
    assert "should end in .csv or .h5 or .hdf5" in done.stderr


def test_one_search_serves_metrics_and_predictions(fashion_file, tmp_path, monkeypatch, nnlab):
    run = tmp_path / "knn.h5"
    stored = nnlab("knn-baseline", fashion_file, "--k", 3, "-o", run, "--json").json
    searches = []
    search = classifier.search
    monkeypatch.setattr(
        classifier, "search", lambda *a, **options: searches.append(a) or search(*a, **options)
    )
    assert main(["eval", str(run), "--predictions", str(tmp_path / "p.h5"), "--json"]) == 0
    assert len(searches) == 1
    with h5py.File(tmp_path / "p.h5") as file:
        assert (file["labels"][()] == file["predicted"][()]).mean() == stored["accuracy"]
        assert "scores" not in file


def test_neighbours_of_the_very_images_that_are_searched_are_warned_of(
    nnlab, softmax_run, fashion_file, tmp_path
):
    knn = tmp_path / "knn.h5"
    nnlab("knn-baseline", fashion_file, "--k", 1, "-o", knn)
    own = nnlab("eval", knn, "--split", "train", "--json")
    assert own.json["accuracy"] == 1
    assert own.stderr.count("is its own nearest neighbour") == 1
    against = nnlab("eval", softmax_run, "--split", "train", "--against", knn)
    assert f"{knn} searches the images of train themselves" in against.stderr
    for quiet in (nnlab("eval", knn), nnlab("eval", softmax_run, "--split", "train")):
        assert "warning" not in quiet.stderr


def test_more_of_the_best_classes_and_an_interval_can_be_asked_for(nnlab, softmax_run):
    wide = nnlab("eval", softmax_run, "--top", "1,3", "--confidence", 0.99, "--json").json
    assert wide["top_accuracy"]["1"] == wide["accuracy"] < wide["top_accuracy"]["3"]
    narrow = nnlab("eval", softmax_run, "--confidence", 0.5, "--json").json["accuracy_interval"]
    interval = wide["accuracy_interval"]
    assert interval["confidence"] == 0.99
    assert interval["low"] < narrow["low"] < wide["accuracy"] < narrow["high"] < interval["high"]
    assert nnlab("eval", softmax_run, "--top", "1,none").code == 2


def test_two_runs_are_compared_on_the_same_images(nnlab, softmax_run, fashion_file, tmp_path):
    knn = tmp_path / "knn.h5"
    nnlab("knn-baseline", fashion_file, "--k", 3, "-o", knn)
    record = nnlab("eval", softmax_run, "--against", knn, "--json").json
    found = record["against"]
    assert found["run"] == str(knn)
    counts = [found[k] for k in ("both_right", "only_first_right", "only_second_right",
                                 "both_wrong")]  # fmt: skip
    assert sum(counts) == 500
    assert (counts[0] + counts[1]) / 500 == record["accuracy"]
    other = nnlab("eval", knn, "--against", softmax_run, "--json").json
    assert (other["accuracy"], other["against"]["p_value"]) == (
        (counts[0] + counts[2]) / 500, found["p_value"],
    )  # fmt: skip
    assert "McNemar's test: p = " in nnlab("eval", softmax_run, "--against", knn).stdout
    same = nnlab("eval", softmax_run, "--against", softmax_run).stdout
    assert "right on the very same images" in same


def test_the_tables_name_every_class(nnlab, softmax_run):
    out = nnlab("eval", softmax_run).stdout
    for text in ("trouser", "precision", "confusion matrix", "accuracy"):
        assert text in out


def test_data_that_does_not_fit_is_one_line_and_2(nnlab, softmax_run, fashion_file, tmp_path):
    images, labels = np.zeros((20, 28, 28, 1), np.uint8), np.arange(20) % 10
    names = [str(index) for index in range(10)]
    other_classes, other_size = tmp_path / "classes.h5", tmp_path / "size.h5"
    write_data(other_classes, name="x", source="", options={}, classes=names,
               splits={"train": (images, labels), "test": (images, labels)})  # fmt: skip
    with h5py.File(softmax_run) as file:
        classes = [name.decode() for name in file["classes"][()]]
    small = (images[:, :8], labels)
    write_data(other_size, name="x", source="", options={}, classes=classes,
               splits={"train": small, "test": small})  # fmt: skip
    damaged = tmp_path / "damaged.h5"
    content = bytearray(softmax_run.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    for arguments, message in (
        ((softmax_run, other_classes), "was trained on"),
        ((softmax_run, other_size), "takes images of 28 x 28 x 1, not 8 x 28 x 1"),
        ((softmax_run, "--split", "extra"), "extra"),
        ((tmp_path / "none.h5",), "does not exist"),
        ((damaged,), "damaged"),
        ((fashion_file,), "run file"),
    ):
        done = nnlab("eval", *arguments)
        assert done.code == 2, arguments
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
