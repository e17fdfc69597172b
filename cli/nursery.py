"""The process that the trials of a sweep are forked from: see `nnlab.sweep.nursery`.

    python -m nnlab.cli.nursery DESCRIPTOR SETTINGS

DESCRIPTOR is a socket on which trials are asked for, SETTINGS those to get ready for, as JSON.
"""

import gc
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from time import sleep
from typing import Any

from nnlab.cli import early, entry

# OpenBLAS starts its threads when it is loaded, unless it is to have none; a trial is told later
# how many it has, by `--threads`.
THREADS_OF_OPENBLAS = "OPENBLAS_NUM_THREADS"
TASKS = "/proc/self/task"
# For the process between two forks to end.
LOOK_SECONDS = 0.0005


def main() -> int:
    """Fork trials as long as somebody may ask for them; in a trial, return its exit code."""
    asked = socket.socket(fileno=int(sys.argv[1]))
    _call_oneself("nnlab nursery")
    _load(json.loads(sys.argv[2]))
    gc.collect()
    gc.freeze()  # what is not looked at is not copied
    while True:
        content, descriptors, _, _ = socket.recv_fds(asked, 2**20, 3)
        if not content:
            return 0
        if (threads := len(os.listdir(TASKS))) > 1:
            # A fork would take one of them along, and the locks that the others hold.
            print(f"{threads} threads where there should be one", file=sys.stderr)  # noqa: T201
            return 1
        if _is_trial():
            asked.close()
            return _train(json.loads(content), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _load(settings: dict[str, Any]) -> None:
    """Import whatever `nnlab train` may need, and have the compiled code ready."""
    from nnlab import machine

    machine.choose_blas_kernel()
    kept = os.environ.get(THREADS_OF_OPENBLAS)
    os.environ[THREADS_OF_OPENBLAS] = "1"
    import_module("numpy")

    if kept is None:
        del os.environ[THREADS_OF_OPENBLAS]
    else:
        os.environ[THREADS_OF_OPENBLAS] = kept
    machine.limit_blas_threads(1)
    # Whatever is wrong here, a trial says it better.
    with suppress(Exception):
        import_module("nnlab.cli.main").app(["train"], standalone_mode=False)  # until it wants DATA
    with suppress(Exception):
        import_module("nnlab.cli.progress")
        from nnlab.training.rehearsal import rehearse_unseen
        from nnlab.training.settings import Settings

        rehearse_unseen(Settings.of(settings))


def _is_trial() -> bool:
    """Fork a process whose parent is gone; return True in it, False in this one."""
    try:
        between = os.fork()
    except OSError:  # no more processes: whoever has asked hears the end of the connection
        return False
    if between:
        os.waitpid(between, 0)
        return False
    try:
        between = os.getpid()
        if os.fork():
            os._exit(0)
    except OSError:
        os._exit(1)
    while os.getppid() == between:
        sleep(LOOK_SECONDS)
    return True


def _train(asked: dict[str, Any], out: int, said: int, connection: int) -> int:
    """Be `nnlab` with the arguments that somebody has asked for."""
    for descriptor, place in ((out, 1), (said, 2)):
        os.dup2(descriptor, place)
        os.close(descriptor)
    with socket.socket(fileno=connection) as worker:
        answer = b""
        with suppress(OSError):
            worker.sendall(str(os.getpid()).encode())
            answer = worker.recv(1)
        if not answer:  # nobody waits for this trial any more
            os._exit(0)
    _call_oneself("nnlab train")
    sys.argv[1:] = asked["arguments"]
    early.listen(sys.argv[1:])
    signal.pthread_sigmask(signal.SIG_SETMASK, asked["mask"])
    return entry.main()


def _call_oneself(name: str) -> None:
    """Tell the nursery and its trials, which share their command line, apart in `top`."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name, encoding="ascii")


if __name__ == "__main__":
    sys.exit(main())
