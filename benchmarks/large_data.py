"""Data larger than memory: training, evaluation and neighbours beside the same in memory.

    python benchmarks/large_data.py [--gigabytes 20] [--memory 2] [--folder DIR] [--only ROW]

A file of generated images of 32 x 32 x 3, sorted by class, is written to DIR and read once, so that
the system's cache of files holds it. Each command then runs in a control group with a hard limit of
`--memory` gigabytes, the pages of files that it brings in included; that needs root. Beside it runs
the same command without a limit on the part of such a file that fits into half of the memory, which
trains with a full shuffle. A ratio is the rate on the large file over the rate on the small one; a
rate is that of the work alone, without the start of the command.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets import write_data
from nnlab.runs import open_run

RESULTS = Path(__file__).parent / "results" / "large_data.json"
GROUPS = Path("/sys/fs/cgroup")
SHAPE = (32, 32, 3)
CLASSES = [str(number) for number in range(10)]
TARGET = 0.5
# Of training, with what is read of the file beforehand, for the standardization; an epoch of the
# larger network would take minutes.
SECONDS, SECONDS_IN_MEMORY = 45, 15
QUERIES = 60


class Generated:
    """Images made when they are asked for: noise around a shade for each class."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self.labels, self.shape = labels, (len(labels), *SHAPE)
        self.noise = np.random.default_rng(0).integers(0, 120, (4096, *SHAPE), np.uint8)

    def __getitem__(self, rows: slice) -> NDArray[np.uint8]:
        labels = self.labels[rows].astype(np.uint8)
        return self.noise[: len(labels)] + (12 * labels)[:, None, None, None]


def make(path: Path, size: float) -> int:
    """Write a data file of so many bytes, unless it is there; return its training images."""
    count = int(size / np.prod(SHAPE))
    if not path.exists():
        labels, few = np.arange(count) * len(CLASSES) // count, np.arange(1000) % len(CLASSES)
        splits = {"train": (Generated(labels), labels), "test": (Generated(few), few)}
        write_data(path, path.stem, "generated", {}, CLASSES, splits)
    return count


def warm(path: Path) -> None:
    """Read a file once."""
    with open(path, "rb", buffering=0) as file:
        while file.read(2**24):
            pass


def cached(path: Path) -> str:
    """Return which share of a file the cache holds: a file that does not fit pushes itself out."""
    words = ["fincore", "--bytes", "--noheadings", "--output", "RES", str(path)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "?"
    return f"{int(done.stdout) / path.stat().st_size:.0%}"


@contextlib.contextmanager
def control_group(size: int) -> Iterator[Path]:
    """Make a control group that may use so many bytes of memory, without swapping; needs root."""
    unified = not (GROUPS / "memory").is_dir()
    group = (GROUPS if unified else GROUPS / "memory") / f"nnlab-{os.getpid()}"
    group.mkdir()
    try:
        limit = group / ("memory.max" if unified else "memory.limit_in_bytes")
        limit.write_text(str(size))
        yield group
    finally:
        group.rmdir()


def run(group: Path | None, *arguments: Any) -> dict[str, Any]:
    """Run a command to its end, or to its time limit; return its result."""

    def enter() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "nnlab.cli", *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        preexec_fn=enter,
        check=False,
    )
    if done.returncode not in {0, 75}:
        sys.exit(f"{arguments[0]}: exit code {done.returncode}: {done.stderr[-300:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result | {"whole": time.perf_counter() - began}


def training(*words: str) -> Any:
    def rate(group: Path | None, data: Path, _: int, folder: Path) -> float:
        path = folder / "run.h5"
        seconds = SECONDS_IN_MEMORY if group is None else SECONDS
        limits = ("--val", 0, "--epochs", 1000, "--time-limit", f"{seconds}s", "--force")
        run(group, "train", data, "-o", path, *limits, *words)
        progress = open_run(path).attributes["progress"]
        return float(progress["images"]) / float(progress["seconds"])

    return rate


def evaluation(group: Path | None, data: Path, count: int, folder: Path) -> float:
    path = folder / "softmax.h5"
    if not path.exists():
        run(None, "train", data, "-o", path, "--limit-train", 1000, "--epochs", 1)
    start = run(group, "eval", path, data, "--split", "test", "--no-save")
    whole = run(group, "eval", path, data, "--split", "train", "--no-save")
    return count / float(whole["whole"] - start["whole"])


def neighbours(group: Path | None, data: Path, count: int, _: Path) -> float:
    result = run(group, "knn-baseline", data, "--k", 5, "--limit-test", QUERIES)
    return count / float(result["seconds"])


ROWS = {
    "train --model softmax": training("--model", "softmax"),
    "train --model mlp --hidden 512,256": training("--model", "mlp", "--hidden", "512,256"),
    "eval --split train": evaluation,
    f"knn-baseline --k 5 --limit-test {QUERIES}": neighbours,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--gigabytes", type=float, default=20.0, help="of the large file")
    parser.add_argument("--memory", type=float, default=2.0, help="gigabytes that are allowed")
    parser.add_argument("--folder", type=Path, help="where the files are written, and kept")
    parser.add_argument("--only", default="", help="measure the rows that begin so")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the JSON goes")
    arguments = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with contextlib.ExitStack() as stack:
        folder = arguments.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            group = stack.enter_context(control_group(int(1e9 * arguments.memory)))
        except OSError as error:
            print(f"large_data: no control group can be made here ({error.strerror}); left out")
            return
        large, small = folder / "large.h5", folder / "small.h5"
        images = make(large, 1e9 * arguments.gigabytes)
        few = make(small, 0.45e9 * arguments.memory)
        print(f"{images:,} images in {arguments.memory:g} GB of memory; {few:,} in memory")
        print(f"{'images a second':44}{'larger':>10}{'in memory':>12}{'ratio':>8}  cached")
        for name, rate in ROWS.items():
            if not name.startswith(arguments.only):
                continue
            warm(small)
            inside = rate(None, small, few, folder)
            warm(large)
            held = cached(large)
            outside = rate(group, large, images, folder)
            ratio = outside / inside
            found[name] = {"larger": outside, "in_memory": inside, "ratio": ratio}
            mark = "ok" if ratio >= TARGET else f"<{TARGET}"
            print(
                f"{name:44}{outside:10,.0f}{inside:12,.0f}{ratio:8.2f}  {held:>6} {mark}",
                flush=True,
            )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
