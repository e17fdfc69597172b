"""`nnlab sweep`: what a study leaves behind, stopping and going on, and workers that die."""

import json
import os
import re
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from families import trials_of

GRID = """
sampler = "grid"
{head}
[fixed]
model = "mlp"
hidden = "16"
epochs = {epochs}
val = 300
[search]
lr = [0.01, 0.001]
dropout = [0.0, 0.3]
"""


@pytest.fixture
def study(fashion_file, tmp_path):
    """Write a study of four runs on 2,000 images."""

    def write(head="", epochs=2, name="grid.toml", body=GRID):
        path = tmp_path / name
        text = body.format(head=head, epochs=epochs)
        path.write_text(f'data = "{fashion_file}"\ncheckpoint-every = 15\n{text}')
        return path

    return write


def weights(path):
    with h5py.File(path) as file:
        return np.concatenate([file[f"weights/{name}/W"][()].ravel() for name in
                               ("0_linear", "3_linear") if name in file["weights"]]
                              or [file["weights/0_linear/W"][()].ravel()])  # fmt: skip


def runs_of(path):
    return sorted(item.name for item in path.with_suffix(".sweep").iterdir())


def alive(pid):
    """Whether a process runs; one that has ended may wait for somebody to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


def test_every_trial_is_the_run_that_its_command_trains(nnlab, study, fashion_file, tmp_path):
    path = study()
    done = nnlab("sweep", "run", path, "--workers", 2, "--json")
    assert done.code == 0, done.stderr
    assert done.json["finished"]
    assert runs_of(path) == ["study.json", *[f"trial-0000{trial}.h5" for trial in range(4)]]
    by_hand = tmp_path / "by-hand.h5"
    settings = ("--model", "mlp", "--hidden", 16, "--epochs", 2, "--val", 300, "--lr", 0.001,
                "--dropout", 0.3, "--threads", 1)  # fmt: skip
    assert nnlab("train", fashion_file, "-o", by_hand, *settings).code == 0
    folder = path.with_suffix(".sweep")
    np.testing.assert_array_equal(weights(by_hand), weights(folder / "trial-00003.h5"))

    best = nnlab("sweep", "best", path, "--json").json
    values = [trial["value"] for trial in best["trials"]]
    assert len(values) == 4
    assert values == sorted(values, reverse=True)
    assert best["best"]["params"].keys() == {"lr", "dropout"}
    # What `best` advises repeats it.
    shown = nnlab("sweep", "best", path, "--top", 1).stdout
    assert "nnlab train --config" in shown
    run, again = best["best"]["runs"][0]["run"], tmp_path / "again.h5"
    repeated = nnlab("train", "--config", run, "-o", again, "--threads", 1, "--json").json
    assert repeated["val"]["accuracy"] == best["best"]["value"]
    np.testing.assert_array_equal(weights(again), weights(run))

    page = tmp_path / "page.html"
    assert nnlab("sweep", "report", path, "-o", page).code == 0
    text = page.read_text()
    assert text.count("<svg") >= 4  # trial by trial, all parameters, two slices
    assert f"nnlab train --config {run}" in text
    assert nnlab("sweep", "report", path, "-o", page).code == 2

    # What is finished is not done again.
    before = {item: item.stat().st_mtime_ns for item in folder.iterdir()}
    assert nnlab("sweep", "work", path).code == 0
    assert {item: item.stat().st_mtime_ns for item in folder.iterdir()} == before


@pytest.mark.sweep
def test_status_says_what_is_done_what_failed_and_why(nnlab, study, tmp_path):
    body = """
trials = 4
repeats = 2
{head}
[fixed]
epochs = {epochs}
model = "mlp"
optimizer = "sgd"
[search]
lr = [0.1, 1e20]
"""
    path = study(body=body, head="")
    nothing = nnlab("sweep", "status", path)
    assert nothing.code == 2
    assert "begin it with nnlab sweep run" in nothing.stderr
    assert nnlab("sweep", "run", path, "--workers", 2).code == 0
    status = nnlab("sweep", "status", path, "--json").json
    diverged = [trial for trial in status["trials"] if trial["params"]["lr"] == 1e20]
    assert 0 < len(diverged) < 4
    assert status["runs"]["diverged"] == 2 * len(diverged)
    assert status["runs"]["done"] == 8 - 2 * len(diverged)
    assert status["finished"]
    assert status["best"]["params"] == {"lr": 0.1}
    for trial in status["trials"]:
        assert [run["seed"] for run in trial["runs"]] == [0, 1]
        if trial["state"] == "done":
            assert trial["spread"] > 0
            assert trial["value"] == pytest.approx(
                np.mean([run["val_accuracy"] for run in trial["runs"]])
            )
    table = nnlab("sweep", "status", path).stdout
    assert "diverged" in table
    assert "trial-00000-seed-0.h5" in table or "trial-00000" not in table


@pytest.mark.sweep
def test_a_trial_that_fails_says_why_and_can_be_retried(nnlab, study):
    body = """
sampler = "grid"
{head}
[fixed]
epochs = {epochs}
[search]
augment = ["", "flip=tomorrow"]
"""
    path = study(body=body)
    assert nnlab("sweep", "run", path, "--workers", 1).code == 0
    status = nnlab("sweep", "status", path, "--json").json
    assert (status["runs"]["done"], status["runs"]["failed"]) == (1, 1)
    (failed,) = [trial for trial in status["trials"] if trial["state"] == "failed"]
    assert "flip" in failed["runs"][0]["reason"]
    again = nnlab("sweep", "run", path, "--workers", 1)
    assert "trial-00001" not in again.stderr
    retried = nnlab("sweep", "run", path, "--workers", 1, "--retry")
    assert "1 failed runs are begun anew" in retried.stderr
    assert "trial-00001  augment=flip=tomorrow  failed" in retried.stderr


@pytest.mark.sweep
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sweep_goes_on_to_the_very_same_weights(nnlab, start_nnlab, study, number):
    whole, parts = study(epochs=30, name="whole.toml"), study(epochs=30, name="parts.toml")
    process = start_nnlab("sweep", "run", parts, "--workers", 2, "--json")
    folder = parts.with_suffix(".sweep")
    while len(list(folder.glob("*.h5"))) < 2:
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "the same command goes on" in json.loads(out)["error"]["message"]
    assert [item.name for item in folder.iterdir() if "claim" in item.name] == []
    assert nnlab("sweep", "status", parts, "--json").json["runs"]["stopped"] >= 1
    done = nnlab("sweep", "run", parts, "--workers", 2)
    assert done.code == 0, done.stderr
    assert "goes on after" in done.stderr
    assert nnlab("sweep", "run", whole, "--workers", 2).code == 0
    for run in folder.glob("*.h5"):
        np.testing.assert_array_equal(weights(run), weights(whole.with_suffix(".sweep") / run.name))


@pytest.mark.sweep
def test_a_killed_worker_loses_no_trial(nnlab, start_nnlab, study):
    path = study(epochs=30)
    folder = path.with_suffix(".sweep")
    process = start_nnlab("sweep", "work", path)
    while not (folder / "trial-00000.h5").exists():
        time.sleep(0.01)
    (train,) = trials_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    # What it had started notices, and saves a checkpoint.
    while alive(train):
        time.sleep(0.05)
    done = nnlab("sweep", "work", path, "--json")
    assert done.code == 0, done.stderr
    assert "trial-00000 goes on after" in done.stderr
    assert done.json["runs"]["done"] == 4
    assert runs_of(path) == ["study.json", *[f"trial-0000{trial}.h5" for trial in range(4)]]


@pytest.mark.sweep
def test_a_killed_trial_is_tried_again_but_not_for_ever(nnlab, start_nnlab, study):
    path = study(head="attempts = 2", epochs=5000)
    process = start_nnlab("sweep", "work", path)
    for _ in range(2):  # before there is a checkpoint
        while not (found := trials_of(process.pid)):
            time.sleep(0.01)
        os.kill(found[0], signal.SIGKILL)
        while found[0] in trials_of(process.pid):
            time.sleep(0.01)
    # The worker lives, and turns to the next one.
    while not (path.with_suffix(".sweep") / "trial-00001.h5").exists():
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert err.count("trial-00000  lr=0.01 dropout=0  waiting: killed by SIGKILL") == 2
    assert "trial-00000  lr=0.01 dropout=0  failed: it died 2 times" in err


@pytest.mark.sweep
def test_two_workers_share_a_study_and_do_nothing_twice(nnlab, start_nnlab, study):
    path = study(epochs=10)
    both = [start_nnlab("sweep", "work", path) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    ends = [line for text in said for line in text.splitlines() if "done, val_accuracy" in line]
    assert sorted(line.split()[1] for line in ends) == [f"trial-0000{n}" for n in range(4)]
    assert all("done, val_accuracy" in text for text in said)


@pytest.mark.sweep
@pytest.mark.parametrize("head", ["repeats = 2", 'time = "1s"'])
def test_one_bar_shows_all_runs_goes_forward_and_fits(study, head, in_terminal):
    """At a terminal: a bar with room, the runs beside it, and each run counted once."""
    body = GRID if "repeats" in head else GRID.replace('"grid"', '"random"').replace(
        "[0.01, 0.001]", "{{ low = 1e-4, high = 1e-2, log = true }}"
    )  # fmt: skip
    path = study(head, body=body)
    code, screen = in_terminal(80, "sweep", "run", path, "--workers", 4)
    assert code == 0, screen
    bars = [line for line in screen if "%|" in line]
    assert max(map(len, bars)) <= 80
    assert min(len(line.split("|")[1]) for line in bars) >= 12
    assert any("trial-00000" in line and "more]" in line for line in bars)
    percent = [int(line.split("%")[0]) for line in bars]
    assert percent == sorted(percent)
    ends = [line for line in screen if " done, " in line]
    # The number of runs that have ended, this one included.
    counted = [int(re.match(r"\[(\d+)", line)[1]) for line in ends]
    assert counted == list(range(1, len(ends) + 1))
    if "repeats" in head:
        assert len(ends) == 8
        assert all("/8 [" in line for line in bars)
    else:
        assert any("finished" in line for line in bars)


@pytest.mark.sweep
def test_the_time_of_a_study_is_training_and_no_trial_is_begun_after_it(nnlab, study):
    body = """
time = "1s"
{head}
[fixed]
model = "mlp"
epochs = {epochs}
[search]
lr = {{ low = 1e-4, high = 1e-2, log = true }}
"""
    path = study(body=body, epochs=20)
    done = nnlab("sweep", "run", path, "--workers", 1, "--json").json
    assert done["runs"]["waiting"] == 0
    seconds = nnlab("sweep", "status", path, "--json").json["seconds"]
    longest = max(trial["seconds"] for trial in done["trials"])
    assert 1 <= seconds <= 1 + 2 * longest


def test_a_time_limit_stops_with_75(nnlab, study):
    path = study(epochs=5000)
    done = nnlab("sweep", "run", path, "--workers", 2, "--time-limit", "2s")
    assert done.code == 75
    assert "stopped by the time limit; 0 of 4 runs are finished" in done.stderr
    # On a busy machine the first two may not have begun to train.
    runs = nnlab("sweep", "status", path, "--json").json["runs"]
    assert runs["stopped"] <= 2
    assert runs["stopped"] + runs["waiting"] == 4


def test_studies_that_collide_are_refused_in_a_line_and_nothing_is_touched(nnlab, study):
    path = study()
    assert nnlab("sweep", "run", path, "--workers", 2).code == 0
    folder = path.with_suffix(".sweep")
    before = {item: item.read_bytes() for item in folder.iterdir()}
    other = study(head='folder = "grid.sweep"', epochs=3, name="other.toml")
    for command in (("sweep", "run", other), ("sweep", "work", other)):
        done = nnlab(*command)
        assert done.code == 2
        assert "fixed.epochs was 2, is 3" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert {item: item.read_bytes() for item in folder.iterdir()} == before


@pytest.mark.sweep
def test_of_studies_that_begin_in_one_folder_at_once_one_is_worked_on(nnlab, start_nnlab, study):
    head = 'folder = "shared.sweep"'
    paths = {epochs: study(head=head, epochs=epochs, name=f"{epochs}.toml") for epochs in (2, 3)}
    workers = [(epochs, start_nnlab("sweep", "work", path)) for epochs, path in paths.items()
               for _ in range(2)]  # fmt: skip
    ends = [(epochs, process.communicate(timeout=120)[1], process.returncode)
            for epochs, process in workers]  # fmt: skip
    (won,) = {epochs for epochs, _, code in ends if code == 0}
    assert sorted(code for _, _, code in ends) == [0, 0, 2, 2]
    for epochs, said, code in ends:
        assert (epochs == won) == (code == 0)
        if code == 2:
            assert f"fixed.epochs was {won}, is {epochs}" in said
            assert len(said.strip().splitlines()) == 1
    status = nnlab("sweep", "status", paths[won], "--json").json
    assert status["runs"]["done"] == 4
    assert {run["epochs"] for trial in status["trials"] for run in trial["runs"]} == {won}


@pytest.mark.parametrize("command", ["run", "work", "status", "best"])
def test_a_study_that_is_not_there_is_one_line(nnlab, tmp_path, command):
    done = nnlab("sweep", command, tmp_path / "none.toml", "--json")
    assert done.code == 2
    assert "none.toml cannot be read: No such file" in done.json["error"]["message"]
    assert len(done.stderr.strip().splitlines()) == 1
