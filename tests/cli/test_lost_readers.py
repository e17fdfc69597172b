"""Whoever reads what a command writes may go: its terminal is closed, or the pipe's other end.

What a command is there for does not depend on it: a result that nobody reads is no failure, and a
training that nobody follows any more goes on.
"""

import os
import pty
import signal
import subprocess
import sys

import pytest

from nnlab.runs import open_run

NNLAB = [sys.executable, "-m", "nnlab.cli"]


@pytest.fixture
def closed_terminal():
    """The one side of a terminal whose other side is closed: writing to it is an I/O error."""
    ours, its = pty.openpty()
    os.close(ours)
    yield its
    os.close(its)


@pytest.mark.parametrize(
    "words", [["datasets"], ["datasets", "--json"], ["runs", "none", "--json"]]
)
def test_a_result_for_a_terminal_that_is_closed_is_no_bug(closed_terminal, words):
    done = subprocess.run(
        [*NNLAB, *words], stdout=closed_terminal, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr in {"", "nnlab: none does not exist.\n"}


def test_training_goes_on_when_its_terminal_is_closed(closed_terminal, fashion_file, tmp_path):
    run = tmp_path / "run.h5"
    words = ["train", str(fashion_file), "-o", str(run), "--epochs", "2"]
    streams = {"stdout": closed_terminal, "stderr": closed_terminal}
    assert subprocess.run([*NNLAB, *words], stdin=subprocess.DEVNULL, **streams).returncode == 0
    assert open_run(run).attributes["progress"]["epoch"] == 2
    assert "result" in open_run(run).attributes


def test_training_goes_on_when_nobody_reads_its_messages_any_more(
    start_nnlab, fashion_file, tmp_path
):
    run = tmp_path / "run.h5"
    process = start_nnlab("train", fashion_file, "-o", run, "--epochs", 30)
    next(line for line in process.stderr if line.startswith("epoch"))
    process.stderr.close()
    assert "best epoch" in process.stdout.read()
    assert process.wait(60) == 0
    assert open_run(run).attributes["progress"]["epoch"] == 30


def test_a_terminal_that_closes_stops_training_with_a_checkpoint(
    start_nnlab, fashion_file, tmp_path
):
    run = tmp_path / "run.h5"
    # Where the tests themselves were started to outlive their terminal, so would their processes.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    process = start_nnlab("train", fashion_file, "-o", run, "--epochs", 100000)
    signal.signal(signal.SIGHUP, before)
    next(line for line in process.stderr if line.startswith("epoch"))
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "stopped by SIGHUP after " in err
    assert open_run(run).attributes["progress"]["epoch"] > 0
