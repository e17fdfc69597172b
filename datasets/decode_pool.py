"""Many images decoded by several processes.

Each process is served by a thread, which keeps two requests under way so that the process never
waits. Pixels do not travel: the processes write them to the rows of one file.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import asdict

from nnlab.datasets.decode_worker import (
    Answer,
    Job,
    Target,
    decode_jobs,
    receive_answer,
    send_jobs,
    send_line,
)
from nnlab.errors import InputError

# A request has so many images, or so many bytes of them.
REQUEST_IMAGES = 64
REQUEST_BYTES = 4 * 2**20
UNDER_WAY = 2
# The worker finds the package where its parent did.
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from nnlab.datasets.decode_worker import main; main()"
)

Numbered = tuple[int, list[Job]]
# The number of a request, its jobs, and what became of them.
Answered = tuple[int, Sequence[Job], Answer]


def decode_all(
    jobs: Iterable[Job], target: Target, workers: int
) -> Generator[Answered, None, None]:
    """Decode images in requests.

    Args:
        jobs: the images. They are asked for in their order, from several threads, one at a time.
        target: what becomes of them.
        workers: so many processes; 1 for this one.

    Yields:
        The number of a request, its jobs and what became of them. Requests are begun in the
        order of their numbers, which is that of the jobs, but may end in another one. Whoever
        closes the iterator early finds all processes ended.

    Raises:
        InputError: a process was killed.
    """
    requests = enumerate(_requests(jobs))
    if workers <= 1 or not sys.executable:
        for number, request in requests:
            yield number, request, decode_jobs(request, target)
        return
    with _Pool(requests, target, workers) as pool:
        yield from pool.answers()


def _requests(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    request: list[Job] = []
    size = 0
    for job in jobs:
        request.append(job)
        size += len(job.content)
        if len(request) == REQUEST_IMAGES or size >= REQUEST_BYTES:
            yield request
            request, size = [], 0
    if request:
        yield request


class _Pool:
    """The processes, their threads, and what they have answered; used as a context."""

    def __init__(self, requests: Iterator[Numbered], target: Target, workers: int) -> None:
        self._requests, self._target, self._count = requests, target, workers
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        # Answers, errors, and for each thread that is done None.
        self._answers: queue.SimpleQueue[Answered | BaseException | None] = queue.SimpleQueue()

    def __enter__(self) -> "_Pool":
        try:
            for _ in range(self._count):
                process = _start(self._target)
                self._processes.append(process)
                thread = threading.Thread(target=self._serve, args=(process,), daemon=True)
                self._threads.append(thread)
                thread.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        for thread in self._threads:
            thread.join()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):  # what was still to be sent finds nobody
                        pipe.close()

    def answers(self) -> Iterator[Answered]:
        """Yield answers as they come."""
        working = len(self._threads)
        while working:
            answer = self._answers.get()
            if answer is None:
                working -= 1
            elif isinstance(answer, BaseException):
                raise answer
            else:
                yield answer

    def _serve(self, process: subprocess.Popen[bytes]) -> None:
        try:
            self._talk(process)
        except BaseException as error:  # raised again by `answers`
            self._answers.put(error)
        finally:
            self._answers.put(None)

    def _talk(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        asked: deque[Numbered] = deque()
        while True:
            with self._lock:
                request = next(self._requests, None)
            if request is not None:
                try:
                    send_jobs(process.stdin, request[1])
                except BrokenPipeError:
                    raise _ended(process) from None
                asked.append(request)
            if not asked:
                return
            if request is None or len(asked) == UNDER_WAY:
                answer = receive_answer(process.stdout)
                if answer is None:
                    raise _ended(process)
                self._answers.put((*asked.popleft(), answer))


def _start(target: Target) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", START, json.dumps([str(place) for place in sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where the C libraries of some formats would complain
            pass_fds=(target.descriptor,),
            start_new_session=True,  # a Ctrl-C at the terminal is for the parent alone
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
    except OSError as error:
        raise InputError(
            f"no process to decode images could be started ({error.strerror or error}); --workers "
            "1 does without."
        ) from error
    assert process.stdin is not None
    send_line(process.stdin, asdict(target))
    return process


def _ended(process: subprocess.Popen[bytes]) -> InputError:
    code = process.wait()
    if code == -signal.SIGKILL:
        return InputError(
            "a process that decoded images was killed, most likely because the memory ran out; "
            "allow more memory or take fewer --workers."
        )
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return InputError(
        f"a process that decoded images ended {how}; --workers 1 does without such processes."
    )
