"""One run of a trial: `nnlab train` as a process of its own.

Why a process: a run that is killed for its memory, or dies in a library, takes no worker down, its
memory is free when it ends, and what a trial does is what anybody gets who types its command. Why
not one forked from the worker: threads and locks do not survive a fork, and a worker has some; see
`nnlab.sweep.nursery` for who has none.

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

from nnlab.errors import InterruptedRunError
from nnlab.sweep.nursery import Forked, Nursery
from nnlab.sweep.trials import Task
from nnlab.training.settings import option_name


class Child:
    """A running `nnlab train`, or one that a nursery is about to fork.

    Args:
        arguments: of `nnlab`.
        settings: among them, those of the training.
        environment: of the process.
        nursery: begins it, if it can.

    Attributes:
        error: what it gave as the reason of its failure; empty before.
    """

    def __init__(
        self, arguments: list[str], settings: Mapping[str, Any], environment: Mapping[str, str],
        nursery: Nursery,
    ) -> None:  # fmt: skip
        self._arguments, self._environment = arguments, environment
        # No pipe: it goes on writing there when this process has died.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        reads, self._writes = os.pipe()
        os.set_blocking(reads, False)
        self._out = os.fdopen(reads, "rb")
        self._rest = b""
        self._at_end = False
        self.error = ""
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._end: int | None = None
        self._code: int | None = None
        self._birth = nursery.ask(arguments, settings, self._writes, self._said.fileno())
        if self._birth is None:
            self._start()

    def _start(self) -> None:
        """Start the process plainly."""
        self._begun(
            subprocess.Popen(
                [sys.executable, "-m", "nnlab.cli", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=self._writes,
                stderr=self._said,
                env=self._environment,
            )
        )

    def _begun(self, process: "subprocess.Popen[bytes] | Forked") -> None:
        self._process = process
        os.close(self._writes)
        with suppress(AttributeError, OSError):  # a kernel, or a Python, without
            self._end = os.pidfd_open(process.pid)

    def _hear(self) -> None:
        """Hear whether a process that the nursery was asked for has begun."""
        if self._birth is None:
            return
        process = None
        try:
            process = self._birth.hear()
            if process is None:
                return
        except EOFError:  # and nothing has begun
            pass
        self._birth.close()
        self._birth = None
        if process is None:
            self._start()
        else:
            self._begun(process)

    @property
    def pipes(self) -> list[int]:
        """The descriptors to wait for."""
        if self._birth is not None:
            return [self._birth.fileno()]
        end = [] if self._end is None else [self._end]
        return end if self._at_end else [self._out.fileno(), *end]

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
        self._hear()
        return self._code if self._process is None else self._process.poll()

    def close(self) -> None:
        """Let go of a process that has ended."""
        self._out.close()
        self._said.close()
        if self._end is not None:
            os.close(self._end)

    def stop(self) -> None:
        """Ask for a checkpoint and the end."""
        self._hear()
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
        elif self._birth is not None:  # there is nothing to keep yet
            self._birth.close()
            self._birth = None
            os.close(self._writes)
            self._code = InterruptedRunError.exit_code

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
