"""What a parameter accounts for by itself."""

from pathlib import Path

import numpy as np

from nnlab.sweep.importances import importances
from nnlab.sweep.results import TrialResult
from nnlab.sweep.trials import DONE, Standing, Task


def trial(number, value, **point):
    task = Task(number, 0, point, Path(f"trial-{number:05}.h5"))
    return TrialResult(number, point, [(task, Standing(DONE))], value, None)


def test_what_decides_has_nearly_all_and_what_does_not_has_nearly_nothing():
    rng = np.random.default_rng(0)
    trials = []
    for number in range(200):
        lr, dropout = float(10 ** rng.uniform(-4, -1)), float(rng.uniform(0, 0.5))
        optimizer = ["adam", "sgd"][int(rng.integers(2))]
        value = 0.5 + (0.3 if optimizer == "adam" else 0.0) + 0.02 * np.log10(lr)
        trials.append(trial(number, value, lr=lr, dropout=dropout, optimizer=optimizer))
    found = importances(trials)
    assert next(iter(found)) == "optimizer"
    assert found["optimizer"] > 0.9
    assert 0.0 < found["lr"] < 0.1
    assert found["dropout"] < 0.02


def test_a_few_trials_make_nothing_important_that_is_not():
    rng = np.random.default_rng(1)
    shares = [
        importances([trial(n, float(rng.normal()), lr=float(rng.uniform())) for n in range(12)])
        for _ in range(200)
    ]
    # Without the correction the mean would be 4 / 11.
    assert np.mean([found["lr"] for found in shares]) < 0.15


def test_a_parameter_that_did_not_count_is_a_group_of_its_own():
    trials = [
        trial(n, 0.9 if n % 2 else 0.1, **({"momentum": 0.5 + n / 100} if n % 2 else {}))
        for n in range(20)
    ]
    assert importances(trials)["momentum"] > 0.99


def test_of_a_few_trials_and_of_equal_ones_nothing_is_said():
    assert importances([trial(n, n / 10, lr=0.1 * n) for n in range(7)]) == {}
    assert importances([trial(n, 0.5, lr=0.1 * n) for n in range(9)]) == {"lr": 0.0}
