"""Stopping a training at any moment: by signals, a limit, or the end of a job's time."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnlab.cli.main import main
from nnlab.runs import open_run

LONG = ("--model", "mlp", "--hidden", "32", "--epochs", "100000", "--batch-size", "50")


def wait_until_caught(process, number):
    """Wait until a process has a handler of its own for a signal."""
    status = Path(f"/proc/{process.pid}/status")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.001)
    process.kill()
    pytest.fail(f"{signal.Signals(number).name} has no handler")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_while_python_loads_is_75_and_leaves_nothing(
    start_nnlab, fashion_file, tmp_path, number
):
    process = start_nnlab("train", fashion_file, "-o", tmp_path / "run.h5", *LONG, "--json")
    wait_until_caught(process, number)
    for _ in range(20):
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "stopped by SIG" in err
    assert "before training began; nothing was written" in json.loads(out)["error"]["message"]
    assert os.listdir(tmp_path) == []


CTRL_C_WHILE_LOADING = """
import signal, sys
from nnlab.cli import entry

class Slow:
    def find_spec(self, name, *_):
        if name == "nnlab.cli.main":
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Slow())
sys.exit(entry.main())
"""


def test_ctrl_c_while_python_loads_is_one_line_and_130():
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C_WHILE_LOADING, "doctor", "--json"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr == "nnlab: stopped by Ctrl-C; nothing was kept.\n"
    assert json.loads(done.stdout)["error"]["code"] == 130


def test_a_storm_of_signals_is_one_stop_with_one_checkpoint(start_nnlab, fashion_file, tmp_path):
    run = tmp_path / "run.h5"
    process = start_nnlab("train", fashion_file, "-o", run, *LONG, "--json")
    next(line for line in process.stderr if line.startswith("epoch"))
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGCONT, signal.SIGINT) * 15:
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    error = json.loads(out)["error"]
    assert error["reason"] in {"SIGUSR1", "SIGTERM", "SIGINT"}
    assert error["run"] == str(run)
    assert 0 < error["epochs_done"] < error["epochs"] == 100000
    assert " of 100000 epochs" in error["message"]
    assert "; about " in error["message"]
    assert os.listdir(tmp_path) == ["run.h5"]
    assert open_run(run).attributes["progress"]["epoch"] == error["epochs_done"]


def test_a_signal_in_the_middle_of_a_save_lets_it_end(fashion_file, tmp_path, monkeypatch, capsys):
    run, replace = tmp_path / "run.h5", os.replace

    def hit(source, target):
        signal.raise_signal(signal.SIGTERM)
        replace(source, target)

    monkeypatch.setattr(os, "replace", hit)
    arguments = ["train", str(fashion_file), "-o", str(run), *LONG, "--checkpoint-every", "3"]
    assert main(arguments) == 75
    assert "stopped by SIGTERM after 0 of 100000 epochs and 4 of " in capsys.readouterr().err
    assert open_run(run).attributes["progress"]["step"] == 4
    assert os.listdir(tmp_path) == ["run.h5"]


def test_a_signal_after_the_end_changes_nothing(fashion_file, tmp_path, monkeypatch, capsys):
    from nnlab.cli.output import Output

    result = Output.result

    def hit(out, record):
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.raise_signal(number)
        result(out, record)

    monkeypatch.setattr(Output, "result", hit)
    run = tmp_path / "run.h5"
    assert main(["train", str(fashion_file), "-o", str(run), "--epochs", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 1


def test_training_ends_before_the_job_does(nnlab, fashion_file, tmp_path):
    ends = time.time() + 9
    done = nnlab(
        "train", fashion_file, "-o", tmp_path / "run.h5", *LONG,
        env={"SLURM_JOB_END_TIME": str(int(ends))},
    )  # fmt: skip
    assert done.code == 75
    assert "note: this job ends in about " in done.stderr
    assert "stopped by the end of the job's time after " in done.stderr
    assert time.time() < ends


def test_the_time_limit_of_a_job_is_asked_of_squeue(nnlab, fashion_file, tmp_path):
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho 0:08\n")
    squeue.chmod(0o755)
    done = nnlab(
        "train", fashion_file, "-o", tmp_path / "run.h5", *LONG, "--time-limit", "auto",
        env={"SLURM_JOB_ID": "4711", "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.code == 75
    assert "stopped by the end of the job's time" in done.stderr
    alone = nnlab("train", fashion_file, "-o", tmp_path / "b.h5", "--time-limit", "auto")
    assert alone.code == 2
    assert "this is no job" in alone.stderr
