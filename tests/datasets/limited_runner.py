"""Runs commands, each in a process of its own that may not use more than so much memory.

Reads one JSON object a line, {"arguments": [...], "memory": bytes}, and answers with one:
exit code, what was written, the most memory used. Everything is loaded once, before the first
fork, so that a command costs milliseconds.
"""

import json
import os
import resource
import sys
import tempfile
from pathlib import Path

import h5py  # noqa: F401
import numpy as np  # noqa: F401
import scipy.io  # noqa: F401

import nnlab.datasets.preprocess  # noqa: F401
from nnlab.cli import preprocess  # noqa: F401
from nnlab.cli.main import main

CPU_SECONDS = 60


def virtual_bytes() -> int:
    """What this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def child(request: dict, output: list[int]) -> int:
    """Run a command under its limits."""
    most = virtual_bytes() + request["memory"]
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    for number, descriptor in enumerate(output, start=1):
        os.dup2(descriptor, number)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    code = main(request["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def serve() -> None:
    """Answer requests until there are no more."""
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = os.fork()
            if process == 0:
                code = 99
                try:
                    code = child(request, [out.fileno(), err.fileno()])
                finally:
                    os._exit(code)
            _, status, usage = os.wait4(process, 0)
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode(errors="replace"))
        answer = {
            "code": os.waitstatus_to_exitcode(status),
            "stdout": texts[0],
            "stderr": texts[1],
            "megabytes": usage.ru_maxrss / 1024,
            "seconds": usage.ru_utime + usage.ru_stime,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
