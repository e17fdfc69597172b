"""Trainings that are held still, so that none is done before what a test waits for has come."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from nnlab.claims import owner_of

# What tells a training to stop.
STOPPING = (signal.SIGTERM, signal.SIGUSR1)
# Seconds that a step of the cluster may take on a machine that does much else.
AMPLE = 300


def wait_until(condition, seconds=AMPLE):
    """Wait until a condition holds, and return what it says."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def trainings(path):
    """The processes that train a run, or those of a folder."""
    found = subprocess.run(["pgrep", "-f", f"nnlab.cli train .*{path}"],
                           capture_output=True, text=True).stdout  # fmt: skip
    numbers = {int(number) for number in found.split()}
    # Trials that were forked do not show their arguments; they claim their run.
    for claim in path.glob("*.h5.claim"):
        if (owner := owner_of(claim.with_suffix(""))) and not owner.is_gone():
            numbers.add(owner.pid)
    return sorted(numbers)


def hold(processes):
    """Stop processes; return those that were still there."""
    held = []
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGSTOP)
            held.append(process)
    return held


def let_go(processes):
    """Let processes go on."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


def let_go_when_told_to_stop(processes):
    """Wait until every one of these processes was told to stop, and let them go on to do it."""
    wait_until(lambda: all(_told(process) for process in processes))
    let_go(processes)


def _told(process):
    """Whether a process waits to hear of a signal that stops it, or is at it already."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return True
    fields = dict(line.split(":\t", 1) for line in lines)
    pending = int(fields["ShdPnd"], 16) | int(fields["SigPnd"], 16)
    told = any(pending >> (number - 1) & 1 for number in STOPPING)
    return told or not fields["State"].startswith("T")
