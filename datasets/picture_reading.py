"""Image files to one array, on several processors, in a file of no name.

The array may be larger than memory: it lies in a temporary file that has no name and vanishes
with the process, whatever ends it.
"""

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.decode_pool import REQUEST_IMAGES, decode_all
from nnlab.datasets.decode_worker import Job, Target
from nnlab.datasets.images import render
from nnlab.datasets.rendering import BadImageError, Rendering
from nnlab.errors import InputError


@dataclass(frozen=True)
class PictureOptions:
    """How images are read.

    Attributes:
        rendering: what to make of them.
        workers: processes to decode with.
        skip_bad: go on without unreadable images, instead of stopping at the first.
        folder: where the temporary file lies; None for the system's place.
        progress: called with (images done, images in all).
    """

    rendering: Rendering = field(default_factory=Rendering)
    workers: int = 1
    skip_bad: bool = False
    folder: Path | None = None
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class Pictures:
    """What was read.

    Attributes:
        images: (N, H, W, C) uint8; rows of unreadable images are 0.
        bad: row -> why the image is unreadable.
        remarks: kind of remark -> rows; see `nnlab.datasets.rendering.REMARKS`.
    """

    images: NDArray[np.uint8]
    bad: dict[int, str]
    remarks: dict[str, list[int]]


def read_pictures(jobs: Iterable[Job], count: int, source: Path, how: PictureOptions) -> Pictures:
    """Decode images into the rows of one array.

    The result, and of several bad images the one that is named, does not depend on the number of
    workers.

    Args:
        jobs: the images, each with a row of its own.
        count: N, how many there are.
        source: where they come from, for messages.
        how: what to do.

    Raises:
        InputError: an unreadable image without `skip_bad`, images of differing sizes without a
            size, none that is readable, or no room for the temporary file.
    """
    shape, first, jobs = _shape(jobs, source, how)
    size = count * int(np.prod(shape))
    try:
        # The data file that is made of this one lies in the same folder.
        _check_room(how.folder, 2 * size)
        with tempfile.TemporaryFile(dir=how.folder) as file:
            os.ftruncate(file.fileno(), size)
            target = Target(how.rendering, shape, file.fileno())
            bad, remarks = _decode(jobs, count, source, how, target, first)
            images = np.memmap(file, np.uint8, "r", shape=(count, *shape)).view(np.ndarray)
    except OSError as error:
        raise InputError(
            f"cannot write to {how.folder or tempfile.gettempdir()}: {error.strerror or error}."
        ) from error
    return Pictures(images, bad, remarks)


def _shape(
    jobs: Iterable[Job], source: Path, how: PictureOptions
) -> tuple[tuple[int, int, int], str, Iterable[Job]]:
    """Find the shape that all images must have, and the first image that has it."""
    channels = how.rendering.channels
    if how.rendering.size is not None:
        return (*how.rendering.size, channels), "", jobs
    jobs, seen = iter(jobs), []
    for job in jobs:
        seen.append(job)
        try:
            height, width = render(job.read(), how.rendering)[0].shape[:2]
        except BadImageError as error:
            if not how.skip_bad:
                raise _unreadable(source, job, str(error)) from error
        else:
            return (height, width, channels), job.name, itertools.chain(seen, jobs)
    raise InputError(f"{source} holds no readable images: {seen[0].name} and all others fail.")


def _decode(
    jobs: Iterable[Job], count: int, source: Path, how: PictureOptions, target: Target, first: str
) -> tuple[dict[int, str], dict[str, list[int]]]:
    workers = min(how.workers, -(-count // REQUEST_IMAGES))
    bad: dict[int, str] = {}
    remarks: dict[str, list[int]] = {}
    # Of several faults the first is told: the one that a single worker would have met.
    faults: list[tuple[int, int, InputError]] = []
    done = 0
    until_fault = itertools.takewhile(lambda _: not faults, jobs)
    with contextlib.closing(decode_all(until_fault, target, workers)) as answers:
        for number, request, answer in answers:
            if answer.failure:
                raise OSError(None, answer.failure)
            if not how.skip_bad:
                faults += [
                    (number, place, _unreadable(source, request[place], reason))
                    for place, reason in answer.bad
                ]
            faults += [
                (number, place, _differing(source, first, target.shape, request[place], *sides))
                for place, *sides in answer.differing
            ]
            bad |= {request[place].row: reason for place, reason in answer.bad}
            for kind, places in answer.remarks.items():
                remarks.setdefault(kind, []).extend(request[place].row for place in places)
            done += len(request)
            if how.progress is not None:
                how.progress(done, count)
    if faults:
        raise min(faults, key=lambda fault: fault[:2])[2]
    if len(bad) == count:
        raise InputError(f"{source} holds no readable images; the first: {bad[min(bad)]}.")
    return bad, {kind: sorted(rows) for kind, rows in remarks.items()}


def _check_room(folder: Path | None, needed: int) -> None:
    where = folder or Path(tempfile.gettempdir())
    free = shutil.disk_usage(where).free
    if needed > free:
        raise InputError(
            f"the images take {needed / 1e6:,.0f} MB while they are prepared; {where} has "
            f"{free / 1e6:,.0f} MB left. Free some space or choose another place with -o."
        )


def _unreadable(source: Path, job: Job, reason: str) -> InputError:
    return InputError(
        f"{source}: {job.name} cannot be read as an image ({reason}); repair or remove it, or "
        "leave out all such images with --skip-bad."
    )


def _differing(
    source: Path, first: str, shape: tuple[int, int, int], job: Job, height: int, width: int
) -> InputError:
    h, w = shape[:2]
    return InputError(
        f"{source}: the images differ in size ({first} is {h}x{w}, {job.name} is {height}x{width})"
        f"; bring them to one size with --size, for example --size {h}x{w}."
    )
