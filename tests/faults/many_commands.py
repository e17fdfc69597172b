"""Many commands in one process, which is quicker than one process each; a watchdog stands outside.

As a program it reads one JSON object a line from stdin, {"id": ..., "arguments": [...]}, runs the
command, and answers with one line: its exit code, what it wrote, how long it computed, how much
memory the process held at most. `Commands` starts it and begins a new one after every
hang and every death.
"""

import contextlib
import io
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
# What marks the beginning of a case in a trace of system calls.
MARK = "case-begins"


@dataclass
class Answer:
    """What became of one command.

    Attributes:
        code: the exit code; None if it hung, minus the signal's number if it died of one.
        stdout: what it wrote.
        stderr: what it wrote.
        seconds: how long it computed.
        memory: the most bytes that the process held meanwhile.
    """

    code: int | None
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    memory: int = 0


class Commands:
    """A process that runs one command after another.

    Args:
        patience: seconds after which a command counts as hanging.
        address_space: the most bytes that the process may ask for.
        prefix: words before the command line, such as those of strace.
        cwd: its working folder.
        env: more environment variables.
    """

    def __init__(self, patience=5.0, address_space=4 * GIB, prefix=(), cwd=None, env=None):
        self.patience, self.address_space, self.prefix = patience, address_space, prefix
        self.cwd, self.env = cwd, env or {}
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self):
        self.process = subprocess.Popen(
            [*map(str, self.prefix), sys.executable, __file__, str(self.address_space)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.cwd,
            start_new_session=True,  # so that a hanging one can be killed with its tracer
            env={
                **os.environ, "OMP_NUM_THREADS": "1", "NNLAB_COMPILED": "0",
                "PYTHONDONTWRITEBYTECODE": "1", **self.env,
            },
        )  # fmt: skip
        self._line(120)  # it says when it has imported everything

    def _line(self, seconds):
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return None
        return self.process.stdout.readline()

    def run(self, *arguments, name=""):
        """Run one command and return its `Answer`."""
        if self.process is None or self.process.poll() is not None:
            self._start()
        words = [os.fsencode(str(word)).decode("latin-1") for word in arguments]
        self.process.stdin.write(json.dumps({"id": name, "arguments": words}).encode() + b"\n")
        self.process.stdin.flush()
        line = self._line(self.patience)
        if line:
            return Answer(**json.loads(line))
        hung = line is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        _, last_words = self.process.communicate()
        code = None if hung else self.process.returncode
        self.process = None
        return Answer(code, stderr=last_words.decode(errors="replace"))

    def close(self):
        """End the process."""
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait(60)
            self.process.stdout.close()
            self.process.stderr.close()
            self.process = None


def _peak():
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _serve():
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    import h5py  # noqa: F401
    import numpy as np  # noqa: F401
    import PIL.Image  # noqa: F401

    from nnlab.cli.main import main

    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        words = [os.fsdecode(word.encode("latin-1")) for word in case["arguments"]]
        with contextlib.suppress(OSError):
            os.stat(f"/{MARK}/{case['id']}")
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak of memory
        began = time.process_time()
        out, err = io.StringIO(), io.StringIO()
        sys.argv = ["nnlab", *words]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(words)
            except BaseException as error:  # a bug, to be told
                code = 1
                print(f"Traceback: {type(error).__name__}: {error}", file=err)
        answer = {
            "code": code,
            "stdout": out.getvalue(),
            "stderr": err.getvalue(),
            "seconds": time.process_time() - began,
            "memory": _peak(),
        }
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
