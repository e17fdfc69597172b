"""A study with every kind of parameter, and made-up results of it."""

from pathlib import Path

from nnlab.randomness import generator
from nnlab.sweep.results import result_of, summed_up
from nnlab.sweep.study import read_study
from nnlab.sweep.trials import DONE, Standing, Trials

STUDY = """
data = "small.h5"
trials = {trials}
repeats = {repeats}
metric = "{metric}"
[search]
lr = {{ low = 1e-4, high = 1e-1, log = true }}
batch-size = {{ low = 32, high = 256, log = true }}
l2 = {{ low = 2e-4, high = 8e-4, log = true }}
dropout = {{ low = 0.0, high = 0.5 }}
batch-norm = [true, false]
optimizer = ["adam", "momentum"]
momentum = {{ low = 0.5, high = 0.99, when = {{ optimizer = "momentum" }} }}
hidden = {{ layers = [1, 2, 3], units = {{ low = 32, high = 512, log = true }} }}
model = ["mlp"]
"""


def made_up(folder: Path, trials: int = 30, repeats: int = 1, metric: str = "val_accuracy"):
    """Return a study and its overview; every trial is done."""
    path = folder / "made-up.toml"
    path.write_text(STUDY.format(trials=trials, repeats=repeats, metric=metric))
    study = read_study(path)
    rng = generator(0, "made up")
    results = []
    for number in range(trials):
        runs = [
            (task, Standing(DONE, ((metric, float(rng.uniform(0.3, 0.9))),), seconds=60.0))
            for task in Trials(study).tasks(number)
        ]
        results.append(result_of(study, number, runs))
    return study, summed_up(study, results)
