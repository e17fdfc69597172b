"""Decodes image files, in this process or in one of its own that a parent talks to over pipes.

A worker reads requests from stdin: a line of JSON, then the content of the images that have no
path. It writes the pixels to their rows of the file that it was given, and answers with a line of
JSON. When the parent is gone, stdin ends, and with it the worker: none is ever left behind.
"""

import contextlib
import ctypes
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import IO, Any

from nnlab.datasets.rendering import BadImageError, Rendering, render_bytes, silent

PR_SET_PDEATHSIG = 1
READ_BYTES = 2**16


@dataclass(frozen=True)
class Job:
    """One image to decode.

    Attributes:
        row: where its pixels go.
        name: by which it is known to the user.
        path: the file, or None: its bytes are here.
        content: the bytes.
    """

    row: int
    name: str
    path: str | None = None
    content: bytes = b""

    def read(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            BadImageError: it cannot be read.
        """
        if self.path is None:
            return self.content
        try:
            return _content(self.path)
        except OSError as error:
            raise BadImageError(error.strerror or str(error)) from error


def _content(path: str) -> bytes:
    """Read a file; of small ones `open` would take a twentieth of the time to decode them."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        blocks = []
        while block := os.read(descriptor, READ_BYTES):
            blocks.append(block)
        return b"".join(blocks)
    finally:
        os.close(descriptor)


@dataclass
class Answer:
    """What became of some jobs; they are named by their places in the request.

    Attributes:
        bad: (place, reason) of images that cannot be read.
        differing: (place, height, width) of images of another size.
        remarks: kind -> places.
        failure: why the pixels could not be written; empty if they were.
    """

    bad: list[tuple[int, str]] = field(default_factory=list)
    differing: list[tuple[int, int, int]] = field(default_factory=list)
    remarks: dict[str, list[int]] = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True)
class Target:
    """What is decoded, and where to.

    Attributes:
        rendering: what to make of the pictures.
        shape: (H, W, C) that they must have then.
        descriptor: of the file that takes the pixels, row after row.
    """

    rendering: Rendering
    shape: tuple[int, int, int]
    descriptor: int


def decode_jobs(jobs: Sequence[Job], target: Target) -> Answer:
    """Decode some images and write their pixels."""
    answer = Answer()
    done: list[tuple[int, bytes]] = []
    with silent():
        for place, job in enumerate(jobs):
            try:
                pixels, shape, remarks = render_bytes(job.read(), target.rendering, job.name)
            except BadImageError as error:
                answer.bad.append((place, str(error)))
                continue
            if shape != target.shape:
                answer.differing.append((place, *shape[:2]))
                continue
            done.append((job.row, pixels))
            for remark in remarks:
                answer.remarks.setdefault(remark, []).append(place)
    try:
        _write(done, target)
    except OSError as error:
        answer.failure = error.strerror or str(error)
    return answer


def _write(done: Sequence[tuple[int, bytes]], target: Target) -> None:
    """Write the pixels, those of neighbouring rows together."""
    height, width, channels = target.shape
    size = height * width * channels
    rows = [row for row, _ in done]
    cuts = [0, *(i for i in range(1, len(rows)) if rows[i] != rows[i - 1] + 1), len(rows)]
    for begin, end in pairwise(cuts):
        view = memoryview(b"".join(content for _, content in done[begin:end]))
        offset = size * rows[begin] if view else 0
        while view:
            written = os.pwrite(target.descriptor, view, offset)
            view, offset = view[written:], offset + written


def send_line(stream: IO[bytes], value: Any) -> None:
    """Write one line of JSON."""
    stream.write(json.dumps(value).encode() + b"\n")


def send_jobs(stream: IO[bytes], jobs: Sequence[Job]) -> None:
    """Ask a worker to decode some images."""
    send_line(stream, [[job.row, job.name, job.path, len(job.content)] for job in jobs])
    for job in jobs:
        stream.write(job.content)
    stream.flush()


def receive_answer(stream: IO[bytes]) -> Answer | None:
    """Read what a worker answers; None if it has ended."""
    line = stream.readline()
    return Answer(**json.loads(line)) if line.endswith(b"\n") else None


def main() -> None:
    """Serve until stdin ends."""
    _die_with_parent()
    # Ctrl-C and the like are the parent's to answer: it ends its workers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    requests, answers = open(0, "rb"), open(1, "wb")  # noqa: SIM115  (until the process ends)
    first = json.loads(requests.readline())
    target = Target(
        Rendering(**{**first["rendering"], "size": _pair(first["rendering"]["size"])}),
        tuple(first["shape"]),
        first["descriptor"],
    )
    while line := requests.readline():
        jobs = [
            Job(row, name, path, b"" if path is not None else requests.read(size))
            for row, name, path, size in json.loads(line)
        ]
        send_line(answers, asdict(decode_jobs(jobs, target)))
        answers.flush()


def _die_with_parent() -> None:
    """Let the kernel end this process when its parent is gone, not only when its work is."""
    with contextlib.suppress(OSError, AttributeError):  # other systems than Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _pair(size: list[int] | None) -> tuple[int, int] | None:
    return None if size is None else (size[0], size[1])
