"""Choosing runs by conditions."""

import pytest

from nnlab.errors import InputError
from nnlab.runs.filters import choose_runs, parse_condition
from nnlab.runs.listing import find_runs


@pytest.fixture
def rows(make_run, tmp_path):
    """Three networks with different settings and results."""
    for number, (model, accuracy, config) in enumerate(
        [
            ("softmax", 0.7, {"lr": 0.001, "batch_norm": False}),
            ("mlp", 0.9, {"lr": 0.01, "hidden": "512,256", "batch_norm": True}),
            ("svm", None, {"lr": 0.1, "l2": 1e-3}),
        ]
    ):
        run = make_run(model=model, **config)
        if accuracy is None:
            del run.attributes["result"]["val_accuracy"]
            run.evaluations.clear()
        else:
            run.attributes["result"]["val_accuracy"] = accuracy
        run.save(tmp_path / f"{number}-{model}.h5")
    return find_runs([tmp_path])[0]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["model=mlp"], ["mlp"]),
        (["model != mlp"], ["softmax", "svm"]),
        (["model=s*"], ["softmax", "svm"]),
        (["model=MLP"], ["mlp"]),
        (["lr>=0.01"], ["mlp", "svm"]),
        (["lr>0.01"], ["svm"]),
        (["lr<1e-2"], ["softmax"]),
        (["lr<=0.01", "lr>0.001"], ["mlp"]),
        (["val_accuracy>80%"], ["mlp"]),
        (["val_accuracy=none"], ["svm"]),
        (["val_accuracy!=0.9"], ["softmax", "svm"]),
        (["test>0.5"], ["softmax", "mlp"]),
        (["hidden=512,*"], ["mlp"]),
        (["hidden="], ["softmax", "svm"]),
        (["batch_norm=yes"], ["mlp"]),
        (["batch_norm=false"], ["softmax", "svm"]),
        (["created>2026-01-01"], ["softmax", "mlp", "svm"]),
        (["created<2026-01-01"], []),
        (["run=*svm.h5"], ["svm"]),
        (["best_epoch=2"], ["softmax", "mlp", "svm"]),
        (["lr=small"], []),
    ],
)
def test_all_conditions_have_to_hold(rows, texts, expected):
    chosen = choose_runs(rows, [parse_condition(text) for text in texts])
    assert [row.model for row in chosen] == expected


@pytest.mark.parametrize("text", ["model", "", "=mlp", "lr<", "lr>=  ", "!model"])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(InputError, match="--where takes COLUMN=VALUE"):
        parse_condition(text)


def test_an_unknown_column_is_refused(rows):
    with pytest.raises(InputError, match="no column speed; there are run, "):
        choose_runs(rows, [parse_condition("speed>1")])
