"""A run that is killed, and its resumption too, ends as if nobody had touched it."""

import re
import signal
import time

import pytest
from processes import Process, calls_on, hit, need_strace, run, tracing
from same_runs import assert_same, assert_same_results
from trainings import MODELS, STEPS, training

from nnlab.runs import open_run

pytestmark = pytest.mark.faults

EVERY = 3
EPOCHS = 5


@pytest.fixture(scope="session")
def saving_calls(data, tmp_path_factory):
    """The calls by which a training saves its checkpoints, as strace numbers them."""
    need_strace()
    folder = tmp_path_factory.mktemp("traced")
    for _ in range(2):  # the first may have to compile or to cache something
        (folder / "run.h5").unlink(missing_ok=True)
        words = training(data, "mlp", folder / "run.h5", EPOCHS, EVERY)
        done = run(*words, prefix=tracing(folder / "log"))
        assert done.code == 0, done.stderr
    return calls_on(folder / "log", folder / "run.h5")


def kill_at_a_moment(rng, arguments, seconds, epochs):
    """Kill a training while it starts, or some time after one of its first epochs."""
    process = Process(*arguments)
    epoch = rng.randint(-1, epochs)
    if epoch < 0:
        time.sleep(rng.uniform(0, seconds / 2))
    elif process.wait_for(rf"epoch {epoch}/" if epoch else "steps"):
        time.sleep(rng.uniform(0, 0.05))
    process.send(signal.SIGKILL)
    return process.end()


def kill_inside_a_save(rng, arguments, calls, log):
    """Kill a training at one of these calls."""
    call = rng.choice(calls)
    return run(*arguments, prefix=tracing(log, fault=(call.name, "signal=KILL", call.number)))


def lost_steps(path, process):
    """How many steps of the epochs that the process told of are not in the file."""
    told = re.findall(r"^epoch (\d+)/", process.stderr, re.MULTILINE)
    reached = int(told[-1]) * STEPS if told else 0
    if not path.exists():
        return reached
    progress = open_run(path).attributes["progress"]
    return reached - int(progress["epoch"]) * STEPS - int(progress["step"])


@pytest.mark.cases(10, campaign=160)
def test_a_killed_run_ends_like_one_that_was_left_alone(
    data, undisturbed, saving_calls, tmp_path, rng, count
):
    model, depth = rng.choice(list(MODELS)), rng.randint(1, 3)
    reference, result, seconds = undisturbed(model, EPOCHS)
    folder, log = tmp_path / "run", tmp_path / "strace.log"
    folder.mkdir()
    path = folder / "run.h5"
    arguments = training(data, model, path, EPOCHS, EVERY)
    for _ in range(depth):  # each kill comes early enough to leave something to the next
        if rng.random() < 0.5:
            calls = saving_calls[: len(saving_calls) // depth]
            killed = kill_inside_a_save(rng, arguments, calls, log)
            at = hit(log)
            inside = killed.code != 0 and at is not None and str(folder) in at.text
        else:
            killed = kill_at_a_moment(rng, arguments, seconds, epochs=4 // depth)
            inside = False
        if killed.code == 0:
            break
        assert killed.code == -signal.SIGKILL, killed.stderr
        count("killed")
        count("killed inside a save", int(inside))
        assert lost_steps(path, killed) <= EVERY
    done = run(*arguments)
    assert done.code == 0, done.stderr
    assert_same(path, reference)
    assert_same_results(done.stdout, result)
    assert [entry.name for entry in folder.iterdir()] == ["run.h5"]
    count(f"{model} runs equal to the undisturbed one")
