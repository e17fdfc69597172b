"""The process that a sweep's trials are forked from: what they have of it, and what not."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from families import children, nurseries_of, trials_of
from same_runs import assert_same

from nnlab.runs import open_run
from nnlab.sweep import nursery as nurseries
from nnlab.sweep.nursery import Nursery

pytestmark = pytest.mark.sweep

PLAINLY = {"NNLAB_NURSERY": "0"}
BODY = """
sampler = "grid"
checkpoint-every = 15
[fixed]
{fixed}
epochs = {epochs}
val = 300
[search]
lr = [0.01, 0.001]
"""
MLP = 'model = "mlp"\nhidden = "24,16"\ndropout = 0.3\nbatch-norm = true'


@pytest.fixture
def study(fashion_file, tmp_path):
    """Write a study of two runs on 2,000 images."""

    def write(name="grid.toml", epochs=2, fixed=""):
        path = tmp_path / name
        path.write_text(f'data = "{fashion_file}"\n{BODY.format(fixed=fixed, epochs=epochs)}')
        return path

    return write


def wait_for(what, seconds=60):
    """Wait until `what` returns something, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):  # what was looked at is gone
            if found := what():
                return found
        time.sleep(0.01)
    raise AssertionError("it never came")


def nursery_of(process):
    return wait_for(lambda: nurseries_of(process.pid))[0]


def trial_of(process):
    return wait_for(lambda: trials_of(process.pid))[0]


def status(pid):
    """What the system says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def opened_by(pid):
    """The kinds of what a process has open; a file is one for complaints, without a name."""
    names = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    return sorted("file" if "deleted" in name else name.split(":")[0] for name in names)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("fixed", "threads", "environment"),
    [
        ("", 1, {}),
        (MLP, 1, {}),
        (MLP + '\naugment = "flip,shift=2"\noptimizer = "momentum"\ndtype = "float64"', 1, {}),
        (MLP, 2, {}),
        (MLP, 2, {"OPENBLAS_NUM_THREADS": "1"}),
        (MLP, 1, {"OPENBLAS_CORETYPE": "Haswell"}),
        (MLP, 1, {"NNLAB_COMPILED": "0"}),
    ],
)
def test_a_forked_trial_is_bit_for_bit_the_one_that_is_started_plainly(
    nnlab, study, fixed, threads, environment
):
    runs = {}
    for name, extra in (("forked", {}), ("plain", PLAINLY)):
        path = study(f"{name}.toml", fixed=fixed)
        done = nnlab("sweep", "work", path, "--threads", threads, env={**environment, **extra})
        assert done.code == 0, done.stderr
        assert "note:" not in done.stderr
        runs[name] = sorted(path.with_suffix(".sweep").glob("*.h5"))
    assert len(runs["forked"]) == 2
    for forked, plain in zip(runs["forked"], runs["plain"], strict=True):
        assert_same(forked, plain)


def test_a_trial_is_the_workers_own_child_and_nothing_of_the_nursery(start_nnlab, study):
    process = start_nnlab("sweep", "work", study(epochs=5000))
    nursery, trial = nursery_of(process), trial_of(process)
    # One thread, no file, no signal: nothing that a fork could take along.
    assert len(os.listdir(f"/proc/{nursery}/task")) == 1
    # Its ends of the trial's streams are closed as soon as it has forked.
    wait_for(lambda: opened_by(nursery) == ["/dev/null", "/dev/null", "file", "socket"])
    wait_for(lambda: status(nursery)["SigBlk"] != "0" * 16)

    assert status(trial)["PPid"] == str(process.pid)
    assert (os.getpgid(trial), os.getsid(trial)) == (
        os.getpgid(process.pid), os.getsid(process.pid)
    )  # fmt: skip
    wait_for(lambda: int(status(trial)["SigCgt"], 16) & (1 << signal.SIGTERM - 1))
    wait_for(lambda: status(trial)["SigBlk"] == "0" * 16)
    places = {n: os.readlink(f"/proc/{trial}/fd/{n}") for n in (0, 1, 2)}
    assert places[0] == "/dev/null"
    assert places[1].startswith("pipe:")
    held = [os.readlink(f"/proc/{trial}/fd/{n}") for n in os.listdir(f"/proc/{trial}/fd")]
    assert not any(name.startswith("socket:") for name in held)  # the nursery's, and the worker's

    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 75
    assert not alive(nursery)
    assert not alive(trial)


def test_a_nursery_that_is_killed_is_replaced_and_its_trial_goes_on(nnlab, start_nnlab, study):
    path = study(epochs=60, fixed=MLP)
    process = start_nnlab("sweep", "work", path)
    trial = trial_of(process)
    nursery = nursery_of(process)
    wait_for((path.with_suffix(".sweep") / "trial-00000.h5").exists)
    os.kill(nursery, signal.SIGKILL)
    another = wait_for(lambda: [pid for pid in trials_of(process.pid) if pid != trial])[0]
    assert status(another)["PPid"] == str(process.pid)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "2 done" in out
    assert "goes on after" not in err  # nothing was begun twice
    said = "note: the process that trials are forked from has ended (killed by SIGKILL)"
    assert err.count(said) == 1
    assert "another one takes its place" in err


def test_a_nursery_that_is_killed_before_a_trial_has_begun_costs_no_trial(start_nnlab, study):
    path = study()
    process = start_nnlab("sweep", "work", path)
    os.kill(nursery_of(process), signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "2 done" in out
    assert err.count("killed by SIGKILL") == 1


def test_where_nurseries_die_again_and_again_trials_are_started_plainly(nnlab, study, tmp_path):
    """Here: something starts a thread in every nursery, so that none of them may fork."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, threading, time\n"
        "if 'nnlab.cli.nursery' in sys.orig_argv:\n"
        "    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    path = study()
    path.write_text(path.read_text().replace("[0.01, 0.001]", "[0.04, 0.03, 0.02, 0.01]"))
    done = nnlab("sweep", "work", path, "--json", env={"PYTHONPATH": str(tmp_path)})
    assert done.code == 0, done.stderr
    assert done.json["runs"]["done"] == 4
    notes = [line for line in done.stderr.splitlines() if line.startswith("note:")]
    assert len(notes) == 3
    assert all("(2 threads where there should be one)" in line for line in notes)
    assert [line.rpartition("; ")[2] for line in notes] == [
        "another one takes its place", "another one takes its place", "trials are started plainly"
    ]  # fmt: skip


def test_a_killed_worker_leaves_nothing_that_runs(start_nnlab, study):
    path = study(epochs=5000)
    process = start_nnlab("sweep", "work", path)
    trial, nursery = trial_of(process), nursery_of(process)
    run = path.with_suffix(".sweep") / "trial-00000.h5"
    wait_for(run.exists)
    process.kill()
    process.communicate()
    wait_for(lambda: not alive(nursery) and not alive(trial), seconds=30)
    assert open_run(run).attributes["progress"]["epoch"]  # its checkpoint


def test_a_worker_that_is_killed_before_a_trial_has_begun_leaves_nothing(start_nnlab, study):
    path = study(epochs=5000)
    process = start_nnlab("sweep", "work", path)
    nursery = nursery_of(process)
    os.kill(nursery, signal.SIGSTOP)
    process.kill()
    process.communicate()
    os.kill(nursery, signal.SIGCONT)
    wait_for(lambda: not alive(nursery), seconds=30)
    time.sleep(0.5)
    assert not list(path.with_suffix(".sweep").glob("*.h5*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_a_worker_that_is_stopped_before_a_trial_has_begun_waits_for_none(
    start_nnlab, study, number
):
    path = study(epochs=5000)
    process = start_nnlab("sweep", "work", path)
    nursery = nursery_of(process)
    os.kill(nursery, signal.SIGSTOP)
    wait_for(lambda: int(status(process.pid)["SigCgt"], 16) & (1 << number - 1))
    wait_for(lambda: list(path.with_suffix(".sweep").glob("trial-00000.starts")))
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 75, err
    assert not alive(nursery)
    assert [item.name for item in path.with_suffix(".sweep").iterdir()] == ["study.json"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_for_all_stops_trials_with_a_checkpoint(start_nnlab, nnlab, study, number):
    """As a terminal sends Ctrl-C and a batch system its warning: to every process."""
    path = study(epochs=5000)
    process = start_nnlab("sweep", "work", path)
    nursery, trial = nursery_of(process), trial_of(process)
    wait_for((path.with_suffix(".sweep") / "trial-00000.h5").exists)
    for pid in (nursery, trial, process.pid):
        os.kill(pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "note:" not in err
    assert nnlab("sweep", "status", path, "--json").json["runs"]["stopped"] == 1


@contextmanager
def a_nursery(**environment):
    found = Nursery({**os.environ, "OMP_NUM_THREADS": "1", **environment})
    try:
        yield found
    finally:
        found.close()


def forked(nursery, *arguments):
    """Fork a command, wait for its end, and return its exit code and what it said."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        birth = nursery.ask([*map(str, arguments)], {}, out.fileno(), said.fileno())
        child = wait_for(birth.hear)
        birth.close()
        code = wait_for(lambda: (child.poll() is not None and [child.poll()]) or None)[0]
        out.seek(0)
        said.seek(0)
        return code, out.read().decode(), said.read().decode()


def test_exit_codes_and_streams_are_the_commands_own(softmax_run, tmp_path):
    with a_nursery() as nursery:
        code, out, said = forked(nursery, "eval", softmax_run, "--json")
        assert code == 0, said
        assert json.loads(out)["n"] == 500
        code, out, said = forked(nursery, "train", tmp_path / "none.h5", "-o", tmp_path / "a.h5")
        assert (code, out) == (2, "")
        assert said.startswith("nnlab: ")
        assert len(said.splitlines()) == 1


def test_the_memory_of_a_nursery_does_not_grow():
    sizes = []
    with a_nursery() as nursery:
        for count in (10, 40):
            for _ in range(count):
                assert forked(nursery, "--version")[0] == 0
            (pid,) = nurseries_of(os.getpid())
            sizes.append(int(status(pid)["VmRSS"].split()[0]))
        wait_for(lambda: len(os.listdir(f"/proc/{pid}/fd")) == 4 and not children(pid))
    assert sizes[1] - sizes[0] <= 256  # kB


def test_a_trial_sees_the_environment_that_it_was_given(tmp_path, monkeypatch):
    """And not what keeps the nursery to one thread."""
    code = (
        "import os, sys; from nnlab.cli import nursery; before = dict(os.environ); "
        "nursery._load({}); after = dict(os.environ); "
        "new = after.keys() - before.keys(); "
        # What the BLAS and threadpoolctl want, as in a plain start.
        "assert new <= {'OPENBLAS_CORETYPE', 'KMP_DUPLICATE_LIB_OK'}, new; "
        "assert before.items() <= after.items(); "
        "assert len(os.listdir('/proc/self/task')) == 1; assert 'numba' in sys.modules"
    )
    for extra in ({}, {"OPENBLAS_NUM_THREADS": "2"}):
        environment = {**os.environ, "OMP_NUM_THREADS": "2", **extra}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()


def test_where_it_cannot_be_as_a_plain_start_trials_are_started_plainly(tmp_path, monkeypatch):
    with tempfile.TemporaryFile() as out:
        both = out.fileno(), out.fileno()
        with a_nursery(**PLAINLY) as nursery:
            assert nursery.ask(["--version"], {}, *both) is None
        with a_nursery() as nursery:  # in another folder a name is another file
            monkeypatch.chdir(tmp_path)
            assert nursery.ask(["--version"], {}, *both) is None
        with a_nursery() as nursery:
            assert nursery.ask(["x" * 1_000_000], {}, *both) is None
            birth = nursery.ask(["--version"], {}, *both)
            assert birth is not None
            birth.close()
        monkeypatch.setattr(nurseries, "_adopt_orphans", lambda wanted: False)  # another system
        with a_nursery() as nursery:
            assert nursery.ask(["--version"], {}, *both) is None
            assert nursery.notices == []
