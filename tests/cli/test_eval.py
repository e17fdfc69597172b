"""`nnlab eval`: the keys of its JSON, what it keeps, and data that does not fit."""

import csv

import h5py
import numpy as np
import pytest

from nnlab.datasets import write_data


def test_json_has_the_keys_that_scripts_rely_on(nnlab, softmax_run, fashion_file):
    record = nnlab("eval", softmax_run, "--json").json
    assert record["run"] == str(softmax_run)
    assert (record["data"], record["split"], record["n"]) == ("fashion-small", "test", 500)
    assert 0.6 < record["accuracy"] < record["top5_accuracy"] <= 1
    assert 0 <= record["expected_calibration_error"] < 0.5
    matrix = np.array(record["confusion_matrix"])
    assert matrix.sum() == 500
    assert np.trace(matrix) / 500 == pytest.approx(record["accuracy"])
    assert set(record["per_class"][0]) == {"class", "precision", "recall", "f1", "support"}
    assert record["loss"] == pytest.approx(record["log_loss"], rel=1e-5)
    assert nnlab("eval", softmax_run, fashion_file, "--json").json == record


def test_the_evaluation_is_kept_in_the_run_file(nnlab, softmax_run):
    record = nnlab("eval", softmax_run, "--split", "train", "--json").json
    with h5py.File(softmax_run) as file:
        kept = file["evaluations/fashion-small/train"]
        assert kept.attrs["accuracy"] == record["accuracy"]
        assert kept["confusion_matrix"].shape == (10, 10)


def test_predictions_are_a_table_with_a_line_an_image(nnlab, softmax_run, tmp_path):
    table = tmp_path / "predictions.csv"
    record = nnlab("eval", softmax_run, "--predictions", table, "--json").json
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 500
    assert np.mean([row["class"] == row["predicted"] for row in rows]) == record["accuracy"]
    assert nnlab("eval", softmax_run, "--predictions", table).code == 2


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
