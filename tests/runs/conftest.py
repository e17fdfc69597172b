"""A run of a real classifier on real images."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from nnlab.metrics import measure
from nnlab.runs import Run

CREATED = "2026-01-02T03:04:05+00:00"


@pytest.fixture(scope="session")
def digits_model():
    """Weights, biases, scores' probabilities and labels of a classifier of digits."""
    images, labels = load_digits(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge
        model = LogisticRegression(max_iter=5).fit(images[:900], labels[:900])
    weights = model.coef_.T.astype(np.float32)
    biases = model.intercept_.astype(np.float32)
    return weights, biases, labels[900:], model.predict_proba(images[900:])


@pytest.fixture
def make_run(digits_model):
    """Build a run as training leaves it; `config` and `result` change its settings."""

    def make(**config):
        weights, biases, labels, probabilities = digits_model
        run = Run(
            kind="network",
            command=["nnlab", "train", "digits.h5", "-o", "Läufe/run \udcff.h5"],
            config={
                "model": "softmax", "data": "digits", "data_path": "/data/digits.h5", "lr": 0.001,
                "l2": 0.0, "hidden": None, "epochs": 3, "batch_norm": False, **config,
            },
            classes=["zero", "one", "två", "三", "4/5", "five", "six", "seven", "eight", ""],
            spec={"network": [{"kind": "linear", "inputs": 64, "outputs": 10}]},
            created=CREATED,
        )  # fmt: skip
        run.arrays["weights/00_linear/W"] = weights
        run.arrays["weights/00_linear/b"] = biases
        run.arrays["optimizer/steps_by_parameter"] = np.arange(4, dtype=np.int64)
        run.arrays["preprocessing/nothing"] = np.zeros((0, 3))
        run.arrays["preprocessing/scale"] = np.float32(1 / 16)
        run.attributes["progress"] = {
            "epoch": 3, "best_epoch": 2, "finished": True, "seconds": 1.25, "note": "grün",
            "best_loss": float("inf"),
        }  # fmt: skip
        run.attributes["result"] = {"val_accuracy": 0.75, "seconds": 1.5}
        run.history["epoch"]["val_loss"] = np.array([2.0, 1.5, np.nan])
        run.history["step"]["loss"] = np.linspace(2.3, 0.1, 30)
        found = measure(labels, probabilities.argmax(axis=1), 10, probabilities, loss=0.4)
        run.evaluations["digits", "test"] = found
        run.evaluations["a/b %.", "."] = measure(labels, labels, 10)
        run.evaluations["", "val"] = found
        return run

    return make


@pytest.fixture
def run_file(make_run, tmp_path) -> Path:
    """The file of such a run."""
    path = tmp_path / "run.h5"
    make_run().save(path)
    return path
