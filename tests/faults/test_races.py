"""Two processes never write one run, whoever starts, stops, dies or wakes up when."""

import json
import os
import signal
import time

import pytest
from processes import Process, run
from same_runs import assert_same
from trainings import MODELS, training

from nnlab.claims import STALE_SECONDS, claim_file
from nnlab.runs import open_run

pytestmark = pytest.mark.faults

EPOCHS = 40
STOPPED = 75


def ended_alone(path):
    """Fail unless a run is whole, finished, and the only file of its folder."""
    assert bool(open_run(path).attributes["progress"]["finished"])
    assert os.listdir(path.parent) == [path.name]


def age(path, seconds=2 * STALE_SECONDS):
    """Make a claim look as if nobody had touched it for so long."""
    then = time.time() - seconds
    os.utime(claim_file(path), (then, then))


@pytest.mark.cases(3, campaign=20)
def test_of_writers_started_together_one_wins(data, undisturbed, tmp_path, rng, count):
    model, path = rng.choice(list(MODELS)), tmp_path / "run.h5"
    words = [word for word in training(data, model, path, EPOCHS) if word != "--resume"]
    writers = []
    for _ in range(rng.randint(2, 4)):
        writers.append(Process(*words))
        time.sleep(rng.choice([0, 0, rng.uniform(0, 0.05)]))
    ends = [writer.end() for writer in writers]
    assert sorted(end.code for end in ends) == [0] + [2] * (len(ends) - 1)
    for end in ends:
        if end.code == 2:
            assert len(end.complaints) == 1
            assert "is being written by train" in end.stderr or "exists already" in end.stderr
    ended_alone(path)
    assert_same(path, undisturbed(model, EPOCHS)[0])
    count("races with one winner")


@pytest.mark.cases(3, campaign=20)
def test_a_stopped_writer_that_wakes_up_changes_nothing(data, undisturbed, tmp_path, rng, count):
    model, path = rng.choice(list(MODELS)), tmp_path / "run.h5"
    words = training(data, model, path, EPOCHS, every=5)
    zombie = Process(*words)
    assert zombie.wait_for(rf"epoch +{rng.randint(1, EPOCHS // 2)}/")
    time.sleep(rng.uniform(0, 0.03))
    zombie.send(signal.SIGSTOP)
    refused = run(*words)  # nobody knows yet that it will not go on
    assert refused.code == 2
    assert "is being written by train" in refused.stderr
    age(path)
    other = Process(*words)
    wakes_early = rng.random() < 0.5
    if wakes_early:
        other.wait_for(r"^epoch|was finished before")
        zombie.send(signal.SIGCONT)
    winner = other.end()
    assert winner.code == 0, winner.stderr
    content = path.read_bytes()
    zombie.send(signal.SIGCONT)
    late = zombie.end()
    assert late.code in {2, STOPPED}, late.stderr
    assert len(late.complaints) == 1
    assert "no longer this process's to write" in late.stderr
    assert path.read_bytes() == content
    ended_alone(path)
    assert_same(path, undisturbed(model, EPOCHS)[0])
    count("woke up while the other trained" if wakes_early else "woke up after the end")


def _of_the_dead(path):
    process = Process(*training(DATA[0], "softmax", path, EPOCHS, every=5))
    process.wait_for("epoch +2/")
    process.send(signal.SIGKILL)
    process.end()


def _garbage(content):
    def make(path):
        claim_file(path).write_bytes(content)
        age(path)

    return make


def _of_another_machine(path):
    owner = {
        "token": "0123456789abcdef", "purpose": "train", "host": "far", "pid": 1, "machine": "far",
        "born": "1", "job": "7", "restarts": 0, "brief": False,
    }  # fmt: skip
    claim_file(path).write_text(json.dumps(owner))
    age(path)


STALE = {
    "dead": _of_the_dead,
    "far": _of_another_machine,
    "empty": _garbage(b""),
    "noise": _garbage(bytes(range(256))),
    "list": _garbage(b"[1, 2, 3]"),
    "deep": _garbage(b"[" * 4000),
    "long": _garbage(b"x" * 100_000),
}
DATA = []


@pytest.mark.parametrize("kind", STALE)
@pytest.mark.cases(1, campaign=3)
def test_one_of_many_takes_a_stale_claim_over(data, undisturbed, tmp_path, rng, count, kind):
    DATA[:] = [data]
    path = tmp_path / "run.h5"
    STALE[kind](path)
    for name in ("0123456789abcdef.tmp", "fedcba9876543210.heir.tmp"):
        (tmp_path / f"run.h5.{name}").write_bytes(b"half")
    words = training(data, "softmax", path, EPOCHS)
    ends = [writer.end() for writer in [Process(*words) for _ in range(rng.randint(2, 3))]]
    # Whoever comes when the winner has ended finds a finished run, and says so.
    assert {end.code for end in ends} <= {0, 2}
    winners = [end for end in ends if end.code == 0 and "was finished before" not in end.stderr]
    assert len(winners) == 1, [end.stderr for end in ends]
    for end in ends:
        if end.code == 2:
            assert "is being written by train" in end.stderr
    ended_alone(path)
    assert_same(path, undisturbed("softmax", EPOCHS)[0])
    count("stale claims with one heir")


def test_force_does_not_take_a_living_writers_file(data, tmp_path):
    path = tmp_path / "run.h5"
    words = [word for word in training(data, "mlp", path, 400) if word != "--resume"]
    living = Process(*words)
    assert living.wait_for("^epoch")
    refused = run(*words, "--force")
    assert refused.code == 2
    assert "is being written by train" in refused.stderr
    living.send(signal.SIGTERM)
    assert living.end().code == STOPPED
    assert os.listdir(tmp_path) == ["run.h5"]
