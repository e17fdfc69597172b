"""Code that has to be compiled first: a stop meanwhile, and runs that are killed with such code."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from processes import Process, run
from same_runs import assert_same, assert_same_results
from trainings import MODELS, training

pytestmark = pytest.mark.faults

EPOCHS = 5
EVERY = 3


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Where compiled code is kept for the tests of this file."""
    return tmp_path_factory.mktemp("numba")


def compiling(folder):
    """The environment of a process that computes with compiled loops, cached in a folder."""
    return {"NNLAB_COMPILED": "1", "NUMBA_CACHE_DIR": str(folder)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_while_code_is_compiled_ends_the_command_at_once(data, tmp_path, number):
    cache, folder = tmp_path / "numba", tmp_path / "run"
    folder.mkdir()
    process = Process(*training(data, "mlp", folder / "run.h5", EPOCHS), env=compiling(cache))
    while not list(cache.rglob("*.nbc")):  # the first piece is there, and many more to come
        assert not process.has_ended()
        time.sleep(0.002)
    process.send(number)
    stopped = process.end()
    assert stopped.code == (130 if number == signal.SIGINT else 75), stopped.stderr
    assert len(stopped.complaints) == 1
    assert os.listdir(folder) == []


# Walks a training as the command does, and counts what is compiled before and after it begins.
WALK = """
import json, sys
from pathlib import Path
from numba.core.event import RecordingListener, register
from nnlab.training.images import ImageSet
from nnlab.datasets import open_data
from nnlab.training.session import Plan, Started, TrainingData, train
from nnlab.training.settings import Settings

listener = RecordingListener()
register("numba:compile", listener)
settings = Settings.of(json.loads(sys.argv[3]))
with open_data(sys.argv[1]) as file:
    part = file.split("train")
    images = ImageSet.of(part.images, part.labels)
    data = TrainingData("some", Path("some.h5"), "0123", file.classes, images, None)
    for event in train(settings, data, Plan(Path(sys.argv[2]), [])):
        if isinstance(event, Started):
            before = len(listener.buffer)
print(json.dumps([before, len(listener.buffer) - before]))
"""

KINDS = {
    "softmax": {"optimizer": "momentum", "class_weight": "balanced", "standardize": "pixel"},
    "svm": {"model": "svm", "clip": 1, "l1": 1e-4, "ema": 0.9, "augment": "shift=1"},
    "mlp": {
        "model": "mlp", "hidden": "40,30", "dropout": 0.2, "batch_norm": True, "max_norm": 2,
        "augment": "flip,mixup=0.2", "schedule": "plateau", "warmup": 1, "label_smoothing": 0.1,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_compiled_once_training_has_begun(data, tmp_path, kind):
    settings = {"epochs": 2, "batch_size": 100, **KINDS[kind]}
    done = subprocess.run(
        [sys.executable, "-c", WALK, data, tmp_path / "run.h5", json.dumps(settings)],
        env={**os.environ, **compiling(tmp_path / "numba")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, later = json.loads(done.stdout)
    assert before > 10
    assert later == 0


@pytest.mark.cases(2, campaign=12)
def test_a_killed_run_with_compiled_loops_ends_like_one_that_was_left_alone(
    data, cache, tmp_path, rng, count
):
    model, env = rng.choice(list(MODELS)), compiling(cache)
    reference = run(
        *training(data, model, tmp_path / "left-alone.h5", EPOCHS), env=env, timeout=300
    )
    assert reference.code == 0, reference.stderr
    path = tmp_path / "run.h5"
    words = training(data, model, path, EPOCHS, EVERY)
    for epoch in range(rng.randint(1, 2)):
        process = Process(*words, env=env)
        if process.wait_for(rf"epoch {epoch + 1}/"):
            time.sleep(rng.uniform(0, 0.03))
        process.send(signal.SIGKILL)
        killed = process.end()
        if killed.code == 0:
            break
        assert killed.code == -signal.SIGKILL, killed.stderr
        count("killed")
    done = run(*words, env=env)
    assert done.code == 0, done.stderr
    assert_same(path, tmp_path / "left-alone.h5")
    assert_same_results(done.stdout, reference.stdout)
    count(f"{model} runs equal to the undisturbed one")
