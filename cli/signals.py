"""Signals as a flag: a handler says that it is time to stop, the trainer stops at a boundary."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopFlag:
    """Why to stop; empty while there is no reason."""

    def __init__(self) -> None:
        self.reason = ""

    def __call__(self) -> str:
        """Return the reason."""
        return self.reason


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Turn SIGTERM, SIGINT and SIGUSR1 into a flag while the block runs.

    Further signals change nothing, except a second Ctrl-C at a terminal: it ends the process at
    once. That harms no file, because files only ever change by a rename.
    A signal that was ignored when the process began stays ignored.
    """
    flag = StopFlag()
    at_terminal = sys.stdin is not None and sys.stdin.isatty()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if flag.reason and number == signal.SIGINT and at_terminal:
            os._exit(130)
        flag.reason = flag.reason or signal.Signals(number).name

    # A shell starts its background jobs with Ctrl-C ignored: it is meant for someone else.
    numbers = [
        number
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        if signal.getsignal(number) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
