"""Signals before the command is ready: heeded from the first line, without loading anything slow.

Loading takes some tenths of a second, in which a Ctrl-C would show a traceback of Python's, and
a SIGUSR1 or SIGUSR2 of a batch system, or the SIGHUP of a terminal that closes, would end the
process without a word.
"""

import os
import signal
import sys

TYPE_CHECKING = False  # typing takes milliseconds
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, TextIO

EXIT_INTERRUPTED = 130
# What `train` answers with a checkpoint; see `nnlab.cli.signals`.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)

SWEEPING = (("sweep", "run"), ("sweep", "work"))

# What arrived before the command was ready to answer; `nnlab.cli.signals` looks here first.
arrived: list[int] = []


def listen(arguments: list[str]) -> None:
    """Answer signals until the command itself does.

    Args:
        arguments: of the command line; what trains answers all of its signals, the others Ctrl-C.
    """
    training = "train" in arguments[:2] or tuple(arguments[:2]) in SWEEPING
    for number in STOPPING if training else (signal.SIGINT,):
        # A shell starts its background jobs with Ctrl-C ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _note if training else _stop)


def open_streams() -> None:
    """Put /dev/null in the place of streams that were closed before the program began.

    Python has no `sys.stdout` then; and the first file that is opened would get its number, and
    whatever a library prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115  (for good)
            if stream.fileno() != number:
                os.dup2(stream.fileno(), number)
            setattr(sys, name, stream)
    sys.stderr = Messages(sys.stderr)


class Messages:
    """Standard error that may end, as when its terminal is closed: then nobody is told any more.

    What a command is there for does not depend on that. A training whose messages went through
    `| head` or to a terminal that is gone would otherwise end without a checkpoint.

    Args:
        stream: whose messages they are.
    """

    def __init__(self, stream: "TextIO") -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text if somebody may read it."""
        try:
            return self._stream.write(text)
        except OSError:
            self._forget()
            return len(text)

    def flush(self) -> None:
        """Hand over what was written, if there is somebody to take it."""
        try:
            self._stream.flush()
        except OSError:
            self._forget()

    def _forget(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> "Any":
        """Be the stream in everything else."""
        return getattr(self._stream, name)


def ready() -> None:
    """Let a Ctrl-C be an exception again, which the command line turns into its line."""
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _note(number: int, frame: "FrameType | None") -> None:  # noqa: ARG001
    arrived.append(number)


def _stop(number: int, frame: "FrameType | None") -> None:  # noqa: ARG001
    line = "stopped by Ctrl-C; nothing was kept."
    if "--json" in sys.argv:
        os.write(1, f'{{"error": {{"code": {EXIT_INTERRUPTED}, "message": "{line}"}}}}\n'.encode())
    os.write(2, f"nnlab: {line}\n".encode())
    os._exit(EXIT_INTERRUPTED)
