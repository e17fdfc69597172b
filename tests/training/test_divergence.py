"""Numbers that leave the finite ones: four optimizers, 13 ways, one error, a sound file.

Warnings are errors here: NumPy's must not reach anybody.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from nnlab.errors import DivergedError, InputError
from nnlab.runs import open_run
from nnlab.training.images import ImageSet
from nnlab.training.session import Finished, Plan, TrainingData, train
from nnlab.training.settings import Settings
from nnlab.training.trained import TrainedNetwork

MLP = {
    "model": "mlp",
    "hidden": "8",
    "epochs": 2,
    "batch_size": 20,
    "val": 20,
    "standardize": "none",
}
NAMES = ["a", "b", "c"]


def images(kind):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (80, 4, 4, 1), np.uint8)
    if kind == "one pixel never changes":
        pixels[:, 0, 0] = 7
    if kind == "all images are equal":
        pixels[:] = 200
    return ImageSet.of(pixels, np.arange(80) % 3)


# The settings of each case, the images, and whether it must diverge (None: it may).
CASES = {
    "lr 1e3": ({"lr": 1e3}, "random", None),
    "lr 1e10": ({"lr": 1e10}, "random", None),
    "lr 1e20": ({"lr": 1e20}, "random", None),
    "lr 1e30": ({"lr": 1e30}, "random", True),
    "lr 1e300": ({"lr": 1e300}, "random", True),
    "lr 1e30 with batch norm": ({"lr": 1e30, "batch_norm": True}, "random", None),
    "lr 1e30 with an average": ({"lr": 1e30, "ema": 0.9}, "random", True),
    "lr 1e30 in float64": ({"lr": 1e200, "dtype": "float64"}, "random", None),
    "lr 1e30 and clipped": ({"lr": 1e30, "clip": 1.0}, "random", None),
    "hinge loss, lr 1e30": ({"lr": 1e30, "loss": "hinge"}, "random", None),
    "l2 1e30": ({"l2": 1e30, "lr": 0.1}, "random", None),
    "a pixel without variance": ({"standardize": "pixel"}, "one pixel never changes", False),
    "images without variance": ({"standardize": "zca"}, "all images are equal", False),
}


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "rmsprop", "adam"])
@pytest.mark.parametrize("case", CASES)
def test_training_ends_well_or_as_diverged(tmp_path, case, optimizer):
    extra, kind, diverges = CASES[case]
    settings = Settings.of({**MLP, "optimizer": optimizer, **extra})
    data = TrainingData("noise", Path("noise.h5"), "0", NAMES, images(kind), None)
    path = tmp_path / "run.h5"
    plan = Plan(path, [], checkpoint_seconds=None, checkpoint_steps=1)
    end, error = None, None
    try:
        end = list(train(settings, data, plan))[-1]
    except DivergedError as caught:
        error = caught
    assert diverges in {error is not None, None}, error
    if error is None:
        assert isinstance(end, Finished)
    else:
        assert re.match(
            r"training diverged: .* was not finite at epoch \d, step \d, with a learning rate of "
            r".*; try a smaller --lr ",
            str(error),
        )
        assert error.exit_code == 3
        assert error.details["diverged"] is True
    # Either way the file holds finite numbers, and the weights classify.
    run = open_run(path)
    for name, array in run.arrays.items():
        assert np.isfinite(array).all(), name
    probabilities = TrainedNetwork.from_run(run).probabilities(images(kind).images)
    assert np.isfinite(probabilities).all()


def test_weights_of_a_resumed_run_that_are_not_numbers_are_noticed(tmp_path):
    path = tmp_path / "run.h5"
    settings = Settings.of(MLP)
    data = TrainingData("noise", Path("noise.h5"), "0", NAMES, images("random"), None)
    stop = iter(["", "now"])
    with pytest.raises(Exception, match="stopped by now"):
        list(train(settings, data, Plan(path, [], stop=lambda: next(stop))))
    run = open_run(path)
    run.arrays["weights/0_linear/W"][1, 2] = np.nan
    run.save(path)
    with pytest.raises(DivergedError, match=r"the loss was not finite at epoch 1, step 3"):
        list(train(settings, data, Plan(path, [], resume=True)))
    assert np.isfinite(open_run(path).arrays["weights/0_linear/W"]).all()


def test_what_can_never_be_trained_is_refused():
    some = images("random")
    one_class = TrainingData("noise", Path("noise.h5"), "0", ["a"], some, None)
    with pytest.raises(InputError, match="one class only"):
        next(train(Settings.of(MLP), one_class, Plan(Path("run.h5"), [])))
    empty = ImageSet(some.images, some.labels, some.rows[:0])
    none = TrainingData("noise", Path("noise.h5"), "0", NAMES, empty, None)
    with pytest.raises(InputError, match="no images to train on"):
        next(train(Settings.of(MLP), none, Plan(Path("run.h5"), [])))
    for wrong in (np.nan, np.inf):
        with pytest.raises(InputError, match="images must be uint8"):
            ImageSet.of(np.full((3, 4, 4, 1), wrong), np.arange(3))
