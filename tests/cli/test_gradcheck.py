"""`nnlab gradcheck`: a table a parameter, for a fresh model and for a run."""

import numpy as np
import pytest

from nnlab.runs import open_run


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--model", "svm", "--delta", "10", "--l2", "0.1"),
        ("--model", "mlp", "--hidden", "12,8", "--activation", "sigmoid", "--dropout", "0.5"),
        ("--model", "mlp", "--batch-norm", "--l1", "0.01", "--label-smoothing", "0.1"),
    ],
)
def test_a_fresh_model_passes(nnlab, options):
    done = nnlab("gradcheck", *options, "--entries", 30, "--json")
    assert done.code == 0, done.stderr
    assert done.json["passed"]
    assert all(row["largest_relative_error"] <= 1e-7 for row in done.json["parameters"])


def test_a_run_passes_and_the_table_names_its_parameters(nnlab, softmax_run):
    done = nnlab("gradcheck", softmax_run, "--entries", 20)
    assert done.code == 0
    assert "0_linear/W" in done.stdout
    assert "ok" in done.stdout


def test_wrong_use_is_one_line_and_2(nnlab, softmax_run):
    for arguments in (
        (softmax_run, "--model", "mlp"),
        (softmax_run, "--shape", "3x3x3"),
        (softmax_run, "--classes", "3"),
        (softmax_run, "--config", softmax_run),
        ("--shape", "8x8"),
        ("--shape", "0x1x1"),
    ):
        done = nnlab("gradcheck", *arguments)
        assert done.code == 2
        assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["gradcheck", "eval"])
def test_weights_that_are_not_finite_are_refused(nnlab, softmax_run, tmp_path, command):
    run = open_run(softmax_run)
    for name in run.arrays:
        if name.endswith("0_linear/b"):
            run.arrays[name][3] = np.nan
    run.save(tmp_path / "nan.h5")
    done = nnlab(command, tmp_path / "nan.h5")
    assert done.code == 2
    (line,) = done.stderr.strip().splitlines()
    assert "not finite" in line
