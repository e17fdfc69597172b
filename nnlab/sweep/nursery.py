"""Trials that begin at once: forked from a process that has loaded everything they need.

To start Python, load NumPy and Numba and have the compiled code ready takes longer than all else
that surrounds a trial. A nursery (`nnlab.cli.nursery`) does it once, for all trials of a worker. It
is a process with one thread that holds nothing, and forks twice for a trial: the process between
the two ends at once, and the trial becomes the child of the worker, which adopts the orphans among
its descendants (prctl(2), PR_SET_CHILD_SUBREAPER). So a trial is what one is that was started
plainly: the worker's own child, in its session and process group, whose exit code the system tells
the worker; and the nursery may die at any time.

A trial is asked for with its arguments, its standard output and error, and one end of a pair of
sockets. It sends its number there and begins when it is answered; whoever hears the end of the
connection instead knows that the other one is gone, and that nothing has begun.

Where a system has no prctl, and with NNLAB_NURSERY=0, trials are started plainly.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import IO, Any

# Set to 0 to start every trial plainly.
SWITCH = "NNLAB_NURSERY"
GO = b"+"
# On a machine that has nothing in its caches yet a nursery compiles first, as any trial would.
PATIENCE_SECONDS = 300.0
# Where nurseries die again and again, trials had better do without.
MOST_DEATHS = 3
PR_SET_CHILD_SUBREAPER = 36


class Nursery:
    """Begins trials that all have the same environment and working folder.

    Its process starts with the first trial, for whose settings it gets ready.

    Args:
        environment: of the trials.

    Attributes:
        notices: what a user should know, one line each; whoever shows them takes them out.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._folder = os.getcwd()
        self._process: _Process | None = None
        self._deaths = 0
        self._is_open = environment.get(SWITCH) != "0"
        self.notices: list[str] = []

    def ask(
        self, arguments: list[str], settings: Mapping[str, Any], out: int, said: int
    ) -> "Birth | None":
        """Ask for a trial.

        Args:
            arguments: of `nnlab`.
            settings: of the training; a new process gets ready for such ones.
            out: descriptor, to become the trial's standard output.
            said: descriptor, to become its standard error.

        Returns:
            Where to hear of it; None if it has to be started plainly.
        """
        # In another folder the same names mean other files.
        while self._is_open and os.getcwd() == self._folder:
            if self._process is None:
                self._process = _start(self._environment, settings)
                if self._process is None:
                    self._is_open = False
                    break
            asked = {"arguments": arguments, "mask": self._process.mask}
            ours, its = socket.socketpair()
            with its:
                try:
                    descriptors = [out, said, its.fileno()]
                    socket.send_fds(self._process.asks, [json.dumps(asked).encode()], descriptors)
                    return Birth(self, ours)
                except OSError as error:
                    ours.close()
                    if error.errno == errno.EMSGSIZE:  # more than one message can hold
                        break
                    self._bury(self._process)
        return None

    def look(self) -> None:
        """Notice if the process has died."""
        if self._process is not None and self._process.popen.poll() is not None:
            self._bury(self._process)

    def kill(self) -> None:
        """End the process at once; there is nothing that it could lose."""
        if self._process is not None:
            self._process.popen.kill()

    def close(self) -> None:
        """End the process for good; trials live on."""
        self._is_open = False
        if self._process is not None:
            self._process.end()
            self._process = None
        _adopt_orphans(False)

    def _bury(self, process: "_Process") -> None:
        """Take note of a death."""
        self._process = None
        self._deaths += 1
        self._is_open = self._deaths < MOST_DEATHS
        what = "another one takes its place" if self._is_open else "trials are started plainly"
        self.notices.append(
            f"the process that trials are forked from has ended ({process.end()}); {what}"
        )


@dataclass
class _Process:
    """A running nursery.

    Attributes:
        popen: its process.
        asks: the socket on which it is asked for trials.
        said: what it has written to its standard error.
        mask: the signals that are blocked in the worker, and shall be in a trial.
    """

    popen: subprocess.Popen[bytes]
    asks: socket.socket
    said: IO[bytes]
    mask: list[int]

    def end(self) -> str:
        """End the process and let go of it; return why it ended, if it has done so by itself."""
        self.popen.kill()
        code = self.popen.wait()
        with self.asks, self.said:
            self.said.seek(0)
            lines = self.said.read().decode("utf-8", errors="replace").strip().splitlines()
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return lines[-1] if lines else f"exit code {code}"


def _start(environment: Mapping[str, str], settings: Mapping[str, Any]) -> _Process | None:
    """Start a nursery; return None where the system does not allow it."""
    if not _adopt_orphans(True):
        return None
    asks, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    said = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `end`)
    # The nursery hears no signal: it ends with the worker. A signal for a trial that is just being
    # forked waits until the trial can answer it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        with its:
            popen = subprocess.Popen(
                [
                    sys.executable, "-m", "nnlab.cli.nursery", str(its.fileno()),
                    json.dumps(dict(settings)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=environment,
                pass_fds=[its.fileno()],
            )  # fmt: skip
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return _Process(popen, asks, said, sorted(mask))


class Birth:
    """A trial that has been asked for."""

    def __init__(self, nursery: Nursery, connection: socket.socket) -> None:
        self._nursery = nursery
        self._connection = connection
        self._connection.setblocking(False)
        self._deadline = monotonic() + PATIENCE_SECONDS

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._connection.fileno()

    def hear(self) -> "Forked | None":
        """Return the trial, which begins now; None if there is no news of it yet.

        Raises:
            EOFError: there will be none.
        """
        try:
            heard = self._connection.recv(32)
            if heard:
                self._connection.send(GO)
                return Forked(int(heard))
        except BlockingIOError:
            if monotonic() < self._deadline:
                return None
            self._nursery.kill()
        except OSError:  # it died between the two words
            pass
        self._nursery.look()
        raise EOFError

    def close(self) -> None:
        """Take the request back, if the trial has not begun."""
        self._connection.close()


class Forked:
    """A child of this process that something else has forked; used like a `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._code = os.waitstatus_to_exitcode(status)
            except ChildProcessError:  # somebody has made the system forget its children
                self._code = 0
        return self._code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _adopt_orphans(wanted: bool) -> bool:
    """Become the parent of descendants without one, or no longer; return whether that works."""
    try:
        return ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0) == 0
    except (OSError, AttributeError):
        return False
