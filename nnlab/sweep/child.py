"""One run of a trial: `nnlab train` as a process of its own.

Why a process: a run that is killed for its memory, or dies in a library, takes no worker down, its
memory is free when it ends, and what a trial does is what anybody gets who types its command.
Why not a forked one: the threads of BLAS libraries do not survive a fork everywhere. The price is
the start of Python and the opening of the data, under a second.

The process writes one line of JSON an epoch to its standard output (`train --events`), and stops
with a checkpoint when nobody reads it any more.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from nnlab.sweep.trials import Task
from nnlab.training.settings import option_name


class Child:
    """A running `nnlab train`.

    Args:
        arguments: of `nnlab`.
        threads: that it may compute with.

    Attributes:
        error: what it gave as the reason of its failure; empty before.
    """

    def __init__(self, arguments: list[str], threads: int) -> None:
        # No pipe: it goes on writing there when this process has died.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nnlab.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
        assert self._process.stdout is not None
        self._out = self._process.stdout
        os.set_blocking(self._out.fileno(), False)
        self._rest = b""
        self._at_end = False
        self.error = ""

    @property
    def pipes(self) -> list[int]:
        """The descriptors to wait for."""
        return [] if self._at_end else [self._out.fileno()]

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the events that have come since the last call."""
        content: bytes | None = self._out.read()
        if content == b"":  # None means that there is nothing yet
            self._at_end = True
        *lines, self._rest = (self._rest + (content or b"")).split(b"\n")
        for line in lines:
            with suppress(ValueError):
                event = json.loads(line)
                if "error" in event:
                    self.error = str(event["error"]["message"])
                yield event

    def ended(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        return self._process.poll()

    def close(self) -> None:
        """Let go of a process that has ended."""
        self._out.close()
        self._said.close()

    def stop(self) -> None:
        """Ask for a checkpoint and the end."""
        self._process.send_signal(signal.SIGTERM)

    def why(self, code: int) -> str:
        """Say in one line why the process ended with a code other than 0."""
        if self.error:
            return self.error
        if code < 0:
            with suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}"
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", errors="replace").split("\n")
        last = [line.strip() for line in lines if line.strip()][-1:]
        return f"exit code {code}" + (f": {last[0]}" if last else "")


def train_arguments(
    task: Task, settings: Mapping[str, Any], data: str, threads: int, checkpoint_every: str
) -> list[str]:
    """Return the arguments of `nnlab` that train a run, or go on with it."""
    arguments = ["train", data, "--output", str(task.run).replace("{", "{{").replace("}", "}}")]
    for name, value in {**settings, "seed": task.seed}.items():
        flag = option_name(name)
        if isinstance(value, bool):
            arguments.append(flag if value else f"--no-{flag[2:]}")
        elif value is not None:
            arguments += [flag, repr(value) if isinstance(value, float) else str(value)]
    return [
        *arguments, "--threads", str(threads), "--checkpoint-every", checkpoint_every,
        "--resume", "--events", "--json",
    ]  # fmt: skip
