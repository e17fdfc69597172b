"""Signals at any moment: the run is whole, the exit code says what to do, the end is the same."""

import os
import signal
import time

import pytest
from processes import Process, calls_of, need_strace, run, tracing
from same_runs import assert_same, assert_same_results
from trainings import MODELS, training

from nnlab.runs import open_run

pytestmark = pytest.mark.faults

EPOCHS = 40
STOPPED = 75


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.cases(2, campaign=20)
def test_a_run_stopped_at_any_step_goes_on_as_if_nothing_had_happened(
    data, undisturbed, tmp_path, rng, count, model
):
    reference, result, _ = undisturbed(model, EPOCHS)
    path = tmp_path / "run.h5"
    words = training(data, model, path, EPOCHS)
    for number in rng.choices([signal.SIGTERM, signal.SIGUSR1, signal.SIGINT], k=rng.randint(1, 3)):
        process = Process(*words)
        if process.wait_for(rf"epoch +{rng.randint(1, EPOCHS // 2)}/"):
            time.sleep(rng.uniform(0, 0.03))
        process.send(number)
        stopped = process.end()
        if stopped.code == 0:
            break
        assert stopped.code == STOPPED, stopped.stderr
        assert len(stopped.complaints) == 1
        assert "--resume goes on" in stopped.stderr
        assert os.listdir(tmp_path) == ["run.h5"]
        step = int(open_run(path).attributes["progress"]["step"])
        count("stopped within an epoch" if step else "stopped between epochs")
    done = run(*words)
    assert done.code == 0, done.stderr
    assert_same(path, reference)
    assert_same_results(done.stdout, result)
    count("equal to the undisturbed run")


def start(words, rng, log):
    """Start a training and stop it while Python loads what it needs."""
    process = Process(*words)
    time.sleep(rng.uniform(0, 0.4))
    process.send(signal.SIGTERM)
    return process.end()


def at_the_first_step(words, rng, log):
    """Stop it as soon as it says that it begins."""
    process = Process(*words)
    process.wait_for("steps")
    process.send(signal.SIGTERM)
    return process.end()


def at_a_step(words, rng, log):
    """Stop it while it trains."""
    process = Process(*words)
    process.wait_for(rf"epoch +{rng.randint(1, 30)}/")
    process.send(signal.SIGTERM)
    return process.end()


def twice(words, rng, log):
    """Stop it as srun does at the time limit: twice, within ten milliseconds."""
    process = Process(*words)
    process.wait_for(rf"epoch +{rng.randint(1, 30)}/")
    for _ in range(2):
        process.send(signal.SIGTERM)
        process.send(signal.SIGCONT)
        time.sleep(rng.uniform(0, 0.01))
    return process.end()


def fifty_times(words, rng, log):
    """Stop it by fifty signals, one after the other."""
    process = Process(*words)
    process.wait_for(rf"epoch +{rng.randint(1, 30)}/")
    for _ in range(50):
        process.send(signal.SIGUSR1)
        time.sleep(0.0005)
    return process.end()


def inside_a_save(words, rng, log):
    """Stop it inside the save of a checkpoint, while the system writes or renames."""
    need_strace()
    words[words.index("--checkpoint-every") + 1] = 200
    # An undisturbed run shows how many such calls there are to choose from.
    assert run(*words, prefix=tracing(log)).code == 0
    os.unlink(words[words.index("-o") + 1])
    name = rng.choice(["fsync", "rename"])
    number = rng.randint(1, sum(call.name == name for call in calls_of(log)))
    stopped = run(*words, prefix=tracing(log, fault=(name, "signal=TERM", number)))
    assert "SIGTERM" in log.read_text()
    return stopped


def after_the_end(words, rng, log):
    """Stop it when all is done and the result is told."""
    need_strace()
    words[words.index("--epochs") + 1] = 3
    # The result is the first write to stdout; the last fsync is that of the finished run's folder.
    first = run(*words, prefix=tracing(log))
    assert first.code == 0
    number = sum(" fsync(" in line for line in log.read_text().splitlines())
    os.unlink(words[words.index("-o") + 1])
    stopped = run(*words, prefix=tracing(log, fault=("fsync", "signal=TERM", number)))
    assert "SIGTERM" in log.read_text()
    return stopped


MOMENTS = (
    start, at_the_first_step, at_a_step, twice, fifty_times, inside_a_save, after_the_end,
)  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
@pytest.mark.cases(2, campaign=10)
def test_a_signal_at_any_moment_leaves_a_whole_run_or_none(data, tmp_path, rng, count, moment):
    folder, log = tmp_path / "run", tmp_path / "strace.log"
    folder.mkdir()
    path = folder / "run.h5"
    stopped = moment(list(training(data, "mlp", path, EPOCHS)), rng, log)
    count(f"exit code {stopped.code}")
    if stopped.code == -signal.SIGTERM:  # before Python had run a line
        assert moment is start
        assert (stopped.stderr, os.listdir(folder)) == ("", [])
        return
    assert stopped.code in {0, STOPPED}, stopped.stderr
    assert len(stopped.complaints) == (stopped.code == STOPPED), stopped.stderr
    if path.exists():
        assert bool(open_run(path).attributes["progress"]["finished"]) == (stopped.code == 0)
    else:
        assert stopped.code == STOPPED
        assert "nothing was written" in stopped.stderr
    assert os.listdir(folder) in ([], ["run.h5"])
    done = run(*training(data, "mlp", path, EPOCHS))
    assert done.code == 0, done.stderr


def test_a_second_ctrl_c_at_a_terminal_stops_at_once_and_harms_no_file(data, undisturbed, tmp_path):
    need_strace()
    folder = tmp_path / "run"
    folder.mkdir()
    words = training(data, "mlp", folder / "run.h5", EPOCHS, every=20)
    # A disk so slow that somebody loses patience while the last checkpoint is written.
    slow = tracing(tmp_path / "log", fault=("fsync", "delay_enter=1000000", "3+"))
    keyboard, terminal = os.openpty()
    process = Process(*words, prefix=slow, stdin=terminal)
    assert process.wait_for("^epoch +1/")
    os.write(keyboard, b"\x03")
    assert process.wait_for("^stopping with a checkpoint after this step; Ctrl-C again stops")
    os.write(keyboard, b"\x03")
    stopped = process.end()
    os.close(keyboard)
    os.close(terminal)
    assert stopped.code == 130, stopped.stderr
    assert stopped.complaints == [
        "nnlab: stopped at once by a second Ctrl-C; what was saved before is kept."
    ]
    assert not bool(open_run(folder / "run.h5").attributes["progress"]["finished"])
    assert run(*words).code == 0
    assert_same(folder / "run.h5", undisturbed("mlp", EPOCHS)[0])
    assert os.listdir(folder) == ["run.h5"]
