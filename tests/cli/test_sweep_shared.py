"""Optuna's trials shared by many workers: the mended journal, and what a storage must not lose."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from copy import copy
from pathlib import Path

import pytest

pytest.importorskip("optuna")

import optuna
from families import trials_of

from nnlab.claims import owner_of
from nnlab.errors import InputError
from nnlab.runs import open_run
from nnlab.sweep.folder import DataSource
from nnlab.sweep.journal import open_journal
from nnlab.sweep.opening import open_source
from nnlab.sweep.study import read_study

optuna.logging.set_verbosity(optuna.logging.ERROR)

TPE = """
data = "{data}"
sampler = "tpe"
trials = {trials}
checkpoint-every = 15
{head}
[fixed]
model = "mlp"
hidden = "16"
epochs = {epochs}
val = 300
[search]
lr = {{ low = 1e-4, high = 1e-1, log = true }}
dropout = {{ low = 0.0, high = 0.5 }}
"""


@pytest.fixture
def study(fashion_file, tmp_path):
    """Write a study that needs a storage."""

    def write(trials=4, epochs=2, head="", name="tpe.toml"):
        path = tmp_path / name
        path.write_text(TPE.format(data=fashion_file, trials=trials, epochs=epochs, head=head))
        return path

    return write


def test_a_torn_last_record_costs_that_record_alone(tmp_path):
    whole = tmp_path / "whole.log"
    study = optuna.create_study(storage=open_journal(whole), study_name="one")
    for value in (1.0, 2.0):
        study.tell(study.ask().number, value)
    content = whole.read_bytes()
    last = content.rstrip(b"\n").rindex(b"\n") + 1
    for cut in range(last, len(content)):
        torn = tmp_path / f"torn-{cut}.log"
        torn.write_bytes(content[:cut])
        again = optuna.load_study(storage=open_journal(torn), study_name="one")
        again.tell(again.ask().number, 3.0)
        # Whoever opens it next reads all of it, with Optuna's own class, too.
        plain = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(torn))
        )
        values = [trial.value for trial in optuna.load_study(storage=plain, study_name="one").trials
                  if trial.state.name == "COMPLETE"]  # fmt: skip
        assert values[0] == 1.0
        assert values[-1] == 3.0
        kept = torn.with_name(torn.name + ".cut")
        assert (kept.read_bytes() if cut > last else b"\n") == content[last:cut] + b"\n"


def test_optuna_alone_loses_the_study_to_a_torn_record(tmp_path):
    # What the mending is for; when this no longer fails, the mending can go.
    path = tmp_path / "torn.log"
    path.write_bytes(b'{"op_code": 4, "wor')
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    for record in ({"op_code": 0}, {"op_code": 1}):
        backend.append_logs([record])
    with pytest.raises(json.JSONDecodeError):
        list(optuna.storages.journal.JournalFileBackend(str(path)).read_logs(0))


def test_a_trial_is_asked_for_once_and_no_more_than_there_should_be(study, tmp_path):
    path = study(trials=3)
    data = DataSource(tmp_path / "none.h5", "abc")
    sources = [open_source(read_study(path), data) for _ in range(2)]
    held = [source.take() for source in sources * 2]
    assert sorted(item.task.trial for item in held if item) == [0, 1, 2]
    assert held[3] is None
    assert sources[1].others == 3
    points = [item.task.point for item in held if item]
    assert len({json.dumps(point) for point in points}) == 3
    # The worker of trial 1 dies before its run has a file: another one goes on with trial 1.
    held[1].claim.release()
    again = sources[0].take()
    assert (again.task.trial, again.task.point) == (1, held[1].task.point)
    for item in (held[0], held[2], again):
        item.claim.release()


def test_an_epoch_heard_of_after_another_worker_told_the_end_changes_nothing(
    study, tmp_path, monkeypatch
):
    path = study(head='pruner = "median"')
    data = DataSource(tmp_path / "none.h5", "abc")
    source, other = (open_source(read_study(path), data) for _ in range(2))
    held = source.take()
    before = [copy(trial) for trial in source.trials.stored()]
    other.trials.optuna_study.tell(held.task.trial, 0.5)
    # The holder has looked just before.
    monkeypatch.setattr(source.trials, "stored", lambda: before)
    record = {"epoch": 1, "epochs": 2, "val_accuracy": 0.25}
    assert not source.heard(held, record)
    held.claim.release()


def test_a_name_that_the_storage_has_for_another_study_is_refused(study, tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one = study(head=f'folder = "one.sweep"\nstorage = "{url}"')
    data = DataSource(tmp_path / "none.h5", "abc")
    open_source(read_study(one), data)
    open_source(read_study(one), data)
    other = study(head=f'folder = "other.sweep"\nstorage = "{url}"')
    with pytest.raises(InputError, match="has another study called tpe"):
        open_source(read_study(other), data)
    moved = study(head='folder = "one.sweep"')
    with pytest.raises(InputError, match="its trials are shared in sqlite"):
        open_source(read_study(moved), data)


def test_a_storage_that_cannot_be_reached_is_one_line_without_its_password(study, tmp_path):
    path = study(head='storage = "sqlite:////nowhere/at/all.db"')
    with pytest.raises(InputError, match="the storage sqlite") as caught:
        open_source(read_study(path), DataSource(tmp_path / "none.h5", "abc"))
    assert "\n" not in str(caught.value)
    path = study(head='storage = "nosuch://me:secret@host/db"', name="two.toml")
    with pytest.raises(InputError) as caught:
        open_source(read_study(path), DataSource(tmp_path / "none.h5", "abc"))
    assert "secret" not in str(caught.value)


def hold_its_training(worker, folder, epochs):
    """Hold the training of a worker when it has a checkpoint, of fewer than so many epochs.

    Whoever is held cannot end meanwhile.
    """
    while worker.poll() is None:
        time.sleep(0.01)
        with suppress(ProcessLookupError, FileNotFoundError):  # it has ended in between
            for pid in trials_of(worker.pid):
                claims = {run: owner_of(run) for run in folder.glob("trial-*.h5")}
                mine = [run for run, owner in claims.items() if owner and owner.pid == pid]
                if not mine:
                    continue
                (run,) = mine
                os.kill(pid, signal.SIGSTOP)
                if open_run(run).attributes["progress"]["epoch"] < epochs:
                    return pid
                os.kill(pid, signal.SIGCONT)
    pytest.fail("the worker had no training that could be held")


@pytest.mark.sweep
def test_workers_share_a_tpe_search_and_one_that_is_killed_loses_nothing(nnlab, start_nnlab, study):
    path = study(trials=6, epochs=60)
    folder = path.with_suffix(".sweep")
    workers = [start_nnlab("sweep", "work", path) for _ in range(2)]
    train = hold_its_training(workers[0], folder, epochs=30)
    os.kill(workers[0].pid, signal.SIGKILL)
    os.kill(train, signal.SIGCONT)
    _, said = workers[1].communicate(timeout=300)
    assert workers[1].returncode == 0, said
    assert "goes on after" in said
    status = nnlab("sweep", "status", path, "--json").json
    assert status["finished"]
    assert status["runs"]["done"] == 6
    stored = optuna.load_study(storage=open_journal(folder / "journal.log"), study_name="tpe")
    assert [trial.state.name for trial in stored.trials] == ["COMPLETE"] * 6
    values = {trial["trial"]: trial["value"] for trial in status["trials"]}
    assert {trial.number: trial.value for trial in stored.trials} == values
    best = nnlab("sweep", "best", path, "--json").json["best"]
    assert best["value"] == stored.best_value


LOCKING = """
import os, signal, sys
from optuna.storages.journal import JournalFileSymlinkLock
JournalFileSymlinkLock(sys.argv[1]).acquire()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.sweep
def test_a_holder_of_the_lock_that_was_killed_stops_the_others_for_half_a_minute(
    nnlab, start_nnlab, study, tmp_path, monkeypatch
):
    path = study(trials=6)
    monkeypatch.chdir(tmp_path)  # the study is named as its user would, from its folder
    begun = nnlab("sweep", "work", path.name, "--time-limit", "1s")
    assert begun.code == 75
    subprocess.run([sys.executable, "-c", LOCKING, "tpe.sweep/journal.log"])
    lock = tmp_path / "tpe.sweep" / "journal.log.lock"
    assert lock.is_symlink()
    workers = [start_nnlab("sweep", "work", path.name) for _ in range(2)]
    time.sleep(3)
    # Who only looks is not stopped, and is told.
    looked = nnlab("sweep", "status", path.name)
    assert re.search(r"the journal has been locked for \d+ s", looked.stderr), looked
    said = [worker.communicate(timeout=120)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert sum(text.count("done, val_accuracy") for text in (begun.stderr, *said)) == 6
    assert not os.path.lexists(lock)


def test_whoever_makes_a_study_in_a_storage_may_say_a_moment_later_whose_it_is(study, tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    path = study(head=f'storage = "{url}"')
    made = optuna.create_study(storage=url, study_name="tpe", direction="maximize")
    saying = threading.Timer(1.0, made.set_user_attr, ("nnlab_study", "another's"))
    saying.start()
    try:
        with pytest.raises(InputError, match="has another study called tpe"):
            open_source(read_study(path), DataSource(tmp_path / "none.h5", "abc"))
    finally:
        saying.join()


@pytest.mark.sweep
def test_a_worker_that_wakes_up_too_late_doubles_nothing(nnlab, start_nnlab, study):
    path = study(trials=2, epochs=60)
    folder = path.with_suffix(".sweep")
    late = start_nnlab("sweep", "work", path)
    while not (folder / "trial-00000.h5").exists():
        time.sleep(0.01)
    (train,) = trials_of(late.pid)
    for pid in (late.pid, train):
        os.kill(pid, signal.SIGSTOP)
    for claim in folder.glob("*.claim"):  # as if nobody had touched it for six minutes
        os.utime(claim, (time.time() - 360,) * 2)
    done = nnlab("sweep", "work", path)
    assert done.code == 0, done.stderr
    before = {item: item.read_bytes() for item in folder.glob("trial-*.h5")}
    for pid in (train, late.pid):
        os.kill(pid, signal.SIGCONT)
    _, said = late.communicate(timeout=60)
    assert late.returncode == 0, said
    assert "trial-00000  " in said
    assert "done" not in said.split("trial-00000", 1)[1].split("\n")[0]
    assert {item: item.read_bytes() for item in folder.glob("trial-*.h5")} == before
    stored = optuna.load_study(storage=open_journal(folder / "journal.log"), study_name="tpe")
    assert [trial.state.name for trial in stored.trials] == ["COMPLETE"] * 2


@pytest.mark.sweep
def test_a_pruner_gives_up_what_is_not_worth_going_on_with(nnlab, study):
    path = study(trials=8, epochs=5, head='pruner = "median"')
    assert nnlab("sweep", "run", path, "--workers", 1).code == 0
    status = nnlab("sweep", "status", path, "--json").json
    assert status["finished"]
    assert status["runs"]["done"] + status["runs"]["pruned"] == 8
    assert status["runs"]["pruned"] >= 1
    pruned = [trial for trial in status["trials"] if trial["state"] == "pruned"]
    assert "not better than others after" in pruned[0]["runs"][0]["reason"]


@pytest.mark.sweep
def test_many_workers_at_once_lose_and_double_no_trial():
    benchmark = Path(__file__).parents[2] / "benchmarks" / "sweep.py"
    done = subprocess.run(
        [sys.executable, benchmark, "--workers", "8", "--trials", "40"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.count("none lost, none twice") == 2, done.stdout
