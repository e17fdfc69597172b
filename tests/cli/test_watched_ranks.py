"""Ranks of one machine look after one another, whatever their launcher does.

The processes are real and are killed; that they meet through files and not through MPI leaves out
what MPI's library does about a lost rank, which depends on the library and on chance.
"""

import signal
import subprocess
import sys
import time

import pytest

RANK = """
import os, sys, time
from pathlib import Path
from nnlab.cli.ranks import _Watch
from nnlab.ranks import Alone

class Rank(Alone):
    def collect(self, value):
        folder = Path(sys.argv[1])
        (folder / f"{self.rank}.new").write_text(repr(value))
        (folder / f"{self.rank}.new").rename(folder / str(self.rank))
        while not all((folder / str(rank)).exists() for rank in range(self.size)):
            time.sleep(0.01)
        return [eval((folder / str(rank)).read_text()) for rank in range(self.size)]

    def abort(self, code):
        os._exit(code)

watch = _Watch(Rank(int(sys.argv[2]), 2), sys.stderr)
print("watching", flush=True)
sys.stdin.readline()
watch.over = True
sys.stdin.readline()
"""


@pytest.fixture
def start():
    """Start two ranks that meet in a folder; none outlives a test."""
    started = []

    def run(folder):
        folder.mkdir()
        ranks = [
            subprocess.Popen(
                [sys.executable, "-c", RANK, folder, str(rank)], text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for rank in range(2)
        ]  # fmt: skip
        started.extend(ranks)
        for rank in ranks:
            assert rank.stdout.readline() == "watching\n"
        return ranks

    yield run
    for rank in started:
        rank.kill()
        rank.wait()
        for stream in (rank.stdin, rank.stdout, rank.stderr):
            stream.close()


def test_one_that_is_killed_ends_the_other_which_says_so(start, tmp_path):
    for lost in (0, 1):
        ranks = start(tmp_path / str(lost))
        ranks[lost].send_signal(signal.SIGKILL)
        left = ranks[1 - lost]
        assert left.wait(timeout=20) == 137
        line = f"nnlab: rank {lost} of 2 was killed, perhaps for its memory; "
        assert left.stderr.read().startswith(line)


def test_one_that_ends_first_when_all_are_done_is_not_missed(start, tmp_path):
    ranks = start(tmp_path / "done")
    for rank in ranks:
        print(file=rank.stdin, flush=True)
    print(file=ranks[0].stdin, flush=True)
    assert ranks[0].wait(timeout=20) == 0
    time.sleep(4)  # for which it would have spoken
    assert ranks[1].poll() is None
    print(file=ranks[1].stdin, flush=True)
    assert ranks[1].wait(timeout=20) == 0
    assert ranks[1].stderr.read() == ""
