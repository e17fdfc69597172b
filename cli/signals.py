"""Signals as a flag: a handler says that it is time to stop, the trainer stops at a boundary."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from nnlab.cli import early
from nnlab.errors import InterruptedRunError, StoppedError

# Written by the handler itself: what the command is busy with may take a while. A line of its own,
# below the progress bar.
AT_A_BOUNDARY = b"\nstopping with a checkpoint after this step; Ctrl-C again stops at once\n"
AT_ONCE = b"\nnnlab: stopped at once by a second Ctrl-C; what was saved before is kept.\n"


class _StopNowError(BaseException):
    """A signal that ends what is going on; no library takes it for an error of its own."""


class StopFlag:
    """Why to stop; empty while there is no reason.

    Args:
        at_once: until `wait_for_boundaries` is called a signal ends what is going on with an
            exception, because there is no boundary yet to wait for, and nothing to save.
    """

    def __init__(self, at_once: bool = False) -> None:
        self.reason = ""
        self._at_once = at_once

    def __call__(self) -> str:
        """Return the reason."""
        return self.reason

    def wait_for_boundaries(self) -> None:
        """Let signals only set the flag from now on."""
        self._at_once = False

    def set(self, number: int) -> None:
        """Note a signal.

        Raises:
            KeyboardInterrupt, _StopNowError: at once, the first time.
        """
        self.reason = self.reason or signal.Signals(number).name
        if not self._at_once:
            return
        self._at_once = False  # what is cleaned up now is not to be disturbed
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise _StopNowError


@contextmanager
def stop_on_signals(at_once: bool = False) -> Iterator[StopFlag]:
    """Turn the signals of `early.STOPPING` into a flag while the block runs.

    Further signals change nothing, except a second Ctrl-C at a terminal: it ends the process at
    once. That harms no file, because files only ever change by a rename.
    A signal that was ignored when the process began stays ignored.

    Args:
        at_once: see `StopFlag`.

    Raises:
        InterruptedRunError, KeyboardInterrupt: stopped at once.
    """
    flag = StopFlag(at_once)
    at_terminal = sys.stdin is not None and sys.stdin.isatty()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        asked = number == signal.SIGINT and at_terminal
        if asked and flag.reason:
            os.write(2, AT_ONCE)
            os._exit(early.EXIT_INTERRUPTED)
        flag.set(number)
        if asked:
            os.write(2, AT_A_BOUNDARY)

    # A shell starts its background jobs with Ctrl-C ignored: it is meant for someone else.
    numbers = [number for number in early.STOPPING if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        for number in early.arrived:
            flag.set(number)
        yield flag
    except _StopNowError:
        raise InterruptedRunError(
            f"stopped by {flag.reason} before training began; nothing was written. The same "
            "command starts again from what there was."
        ) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopped_in_a_line(left: str) -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does: files and processes are cleared away.

    Args:
        left: what the user is told that a stop leaves behind.

    Raises:
        StoppedError: SIGTERM or Ctrl-C came.
    """
    came = False

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal came
        if not came:  # a second one would interrupt the clearing away
            came = True
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGTERM)
    if before != signal.SIG_IGN:
        signal.signal(signal.SIGTERM, handle)
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(f"stopped by {'SIGTERM' if came else 'Ctrl-C'}; {left}") from None
    finally:
        signal.signal(signal.SIGTERM, before)
