"""The real command as a process that can be killed, traced and limited."""

import fcntl
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "nnlab.cli"]
# What strace is asked to show: every call that changes a file or decides when it is durable.
FILE_CALLS = (
    "openat", "write", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "renameat",
    "link", "unlink", "utimensat", "close",
)  # fmt: skip


@dataclass
class Ended:
    """How a process ended.

    Attributes:
        code: the exit code; minus the signal's number if a signal ended it.
        stdout: what it wrote.
        stderr: what it wrote.
        seconds: how long it ran.
        memory: the most bytes it held at a time.
    """

    code: int
    stdout: str
    stderr: str
    seconds: float
    memory: int

    @property
    def complaints(self) -> list[str]:
        """The lines that say why a command ended."""
        return [line for line in self.stderr.splitlines() if line.startswith("nnlab: ")]


class Process:
    """A running `nnlab`, with its streams in files, so that it never waits for a reader."""

    def __init__(self, *arguments, prefix=(), env=None, cwd=None, limits=None, stdin=None):
        self.out = tempfile.TemporaryFile()  # noqa: SIM115  (`end` closes them)
        self.err = tempfile.TemporaryFile()  # noqa: SIM115

        def prepare():
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # background jobs have it ignored
            if stdin is not None and os.isatty(0):  # whose Ctrl-C is for this process alone
                os.setsid()
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            for what, value in (limits or {}).items():
                resource.setrlimit(what, (value, value))

        self.began = time.monotonic()
        self.popen = subprocess.Popen(
            [*map(str, prefix), *COMMAND, *map(str, arguments)],
            stdin=stdin or subprocess.DEVNULL,
            stdout=self.out,
            stderr=self.err,
            cwd=cwd,
            # One thread for the same sums; no bytecode, so that two runs make the same calls.
            env={
                **os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
                "NNLAB_COMPILED": "0", **(env or {}),
            },
            preexec_fn=prepare,  # noqa: PLW1509  (the tests have no threads of their own)
        )  # fmt: skip

    def has_ended(self):
        """Whether it has; its exit code and memory are left to `end`."""
        found = os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found is not None

    def send(self, number):
        """Send a signal, if the process is still there."""
        if not self.has_ended():
            os.kill(self.popen.pid, number)

    def written(self):
        """What stderr holds so far."""
        return Path(f"/proc/self/fd/{self.err.fileno()}").read_text(errors="replace")

    def wait_for(self, text, timeout=60):
        """Wait until stderr matches; False if the process ended before."""
        deadline = time.monotonic() + timeout
        while not re.search(text, self.written(), re.MULTILINE):
            if self.has_ended():
                return False
            assert time.monotonic() < deadline, f"no {text!r} in {timeout} s: {self.written()}"
            time.sleep(0.002)
        return True

    def end(self, timeout=60):
        """Wait for the end; a process that takes longer fails the test."""
        deadline = time.monotonic() + timeout
        while True:
            pid, status, usage = os.wait4(self.popen.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                self.popen.kill()
                os.wait4(self.popen.pid, 0)
                self.popen.returncode = -signal.SIGKILL
                pytest.fail(f"{self.popen.args} did not end in {timeout} s: {self.written()}")
            time.sleep(0.002)
        self.popen.returncode = code = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (self.out, self.err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
            stream.close()
        for sign in ("Traceback", "Exception ignored", "RuntimeWarning", "this is a bug"):
            assert sign not in texts[1], f"{self.popen.args}: {texts[1]}"
        seconds = time.monotonic() - self.began
        return Ended(code, *texts, seconds, usage.ru_maxrss * 1024)


def run(*arguments, timeout=60, **options):
    """Run the command to its end."""
    return Process(*arguments, **options).end(timeout)


def need_strace():
    """Skip the test where processes cannot be traced."""
    if shutil.which("strace") is None:
        pytest.skip("strace is missing: apt-get install strace")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode:
        pytest.skip("strace may not trace here")


@dataclass(frozen=True)
class Call:
    """One call of a process's first thread.

    Attributes:
        name: the system call.
        number: the how-many-th call of that name it is, from 1.
        text: the line that strace wrote.
    """

    name: str
    number: int
    text: str


def tracing(log, calls=FILE_CALLS, fault=None):
    """The beginning of a command line that traces what follows.

    Args:
        log: where strace writes.
        calls: what it shows.
        fault: (call, what, number): `signal=KILL` or `error=EIO` at the call of that number.
    """
    # Not with --seccomp-bpf, which is quicker: strace 6.1 does not inject signals then.
    words = ["strace", "-f", "-y", "-o", log, "-e", "trace=" + ",".join(calls)]
    if fault is not None:
        call, what, number = fault
        words += ["-e", f"inject={call}:{what}:when={number}"]
    return words


def calls_of(log):
    """The calls of the first thread in a log of strace, numbered by name."""
    counts, first, found = {}, None, []
    for line in Path(log).read_text(errors="replace").splitlines():
        thread, _, text = line.partition(" ")
        first = first or thread
        if thread != first:
            continue
        begun, resumed = re.match(r" *(\w+)\(", text), re.match(r" *<\.\.\. \w+ resumed>", text)
        if begun:
            counts[begun[1]] = counts.get(begun[1], 0) + 1
            found.append(Call(begun[1], counts[begun[1]], line))
        elif resumed:  # another thread came between its beginning and its end
            found[-1] = replace(found[-1], text=found[-1].text + text)
    return found


def calls_on(log, folder):
    """Those calls that have to do with what lies in a folder, not with what is said of it."""
    return [
        call
        for call in calls_of(log)
        if str(folder) in call.text and not re.search(r"write\([12]<", call.text)
    ]


def hit(log):
    """The call that a fault was injected into; None if it never came so far."""
    calls = calls_of(log)
    injected = [call for call in calls if "(INJECTED)" in call.text]
    # A process that is killed leaves the call of its death without an answer.
    died = [call for call in calls[-1:] if re.search(r"(= \?|<unfinished \.\.\.>)$", call.text)]
    return next(iter(injected + died), None)
