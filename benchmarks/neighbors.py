"""Exact nearest-neighbour search on photographs: nnlab beside FAISS, OpenCV and scikit-learn.

    python benchmarks/neighbors.py photos.h5 [--output results.json] [--repeats 5] [--threads 2]

photos.h5 is a data file of nnlab's (`nnlab preprocess cifar10-jpeg.tar.xz -o photos.h5`). Without
it NNLAB_TEST_PHOTOS may name an archive of photographs to make one from.

Each library runs in a process of its own, so that the threads of one do not wait on the cores of
another, and keeps its data in the form it likes best, prepared before the clock starts. The
processes take turns; every figure is a median, every ratio the median of the ratios within a turn.
A rate is queries x training images x pixel values
a second. Whole commands, from start of the process to exit, are timed in turns too.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "neighbors.json"
QUERIES = 500
NEIGHBORS = 5
# scikit-learn's L1 would take most of an hour with all queries; its rate does not depend on them.
FEWER = {"scikit-learn l1": 100}
TARGETS = {
    ("nnlab l1", "FAISS l1"): 10.0,
    ("nnlab l1", "OpenCV l1"): 3.5,
    ("nnlab l1", "scikit-learn l1"): 100.0,
    ("nnlab l2", "FAISS l2"): 1.5,
    ("nnlab cosine", "FAISS inner product"): 1.0,
}


def load(path: Path) -> tuple[Any, Any, Any, Any]:
    """Read the images, (N, D) uint8, and the labels of the splits train and test."""
    import h5py
    import numpy as np

    with h5py.File(path, "r") as file:
        train, test = file["train/images"][()], file["test/images"][()]
        labels = np.asarray(file["train/labels"]), np.asarray(file["test/labels"])
    return train.reshape(len(train), -1), labels[0], test.reshape(len(test), -1), labels[1]


def nnlab_search(metric: str) -> Callable[..., Any]:
    def prepare(train: Any, queries: Any, threads: int) -> Callable[[], Any]:
        from nnlab.neighbors import search

        return lambda: search(queries, train, NEIGHBORS, metric, threads=threads).indices

    return prepare


def faiss_search(metric: str) -> Callable[..., Any]:
    def prepare(train: Any, queries: Any, threads: int) -> Callable[[], Any]:
        import faiss
        import numpy as np

        faiss.omp_set_num_threads(threads)
        kinds = {"l1": faiss.METRIC_L1, "l2": faiss.METRIC_L2, "ip": faiss.METRIC_INNER_PRODUCT}
        train, queries = train.astype(np.float32), queries.astype(np.float32)
        if metric == "ip":
            faiss.normalize_L2(train)
            faiss.normalize_L2(queries)
        index = faiss.IndexFlat(train.shape[1], kinds[metric])
        index.add(train)
        return lambda: index.search(queries, NEIGHBORS)[1]

    return prepare


def opencv_search(train: Any, queries: Any, threads: int) -> Callable[[], Any]:
    import cv2

    cv2.setNumThreads(threads)
    return lambda: cv2.batchDistance(
        queries, train, cv2.CV_32S, normType=cv2.NORM_L1, K=NEIGHBORS
    )[1]  # fmt: skip


def sklearn_search(metric: str) -> Callable[..., Any]:
    def prepare(train: Any, queries: Any, threads: int) -> Callable[[], Any]:
        import numpy as np
        from sklearn.neighbors import NearestNeighbors

        model = NearestNeighbors(
            n_neighbors=NEIGHBORS, algorithm="brute", metric=metric, n_jobs=threads
        ).fit(train.astype(np.float32))
        queries = queries.astype(np.float32)
        return lambda: model.kneighbors(queries, return_distance=False)

    return prepare


SEARCHES: dict[str, Callable[..., Any]] = {
    "nnlab l1": nnlab_search("l1"),
    "FAISS l1": faiss_search("l1"),
    "OpenCV l1": opencv_search,
    "scikit-learn l1": sklearn_search("manhattan"),
    "nnlab l2": nnlab_search("l2"),
    "FAISS l2": faiss_search("l2"),
    "scikit-learn l2": sklearn_search("euclidean"),
    "nnlab cosine": nnlab_search("cosine"),
    "FAISS inner product": faiss_search("ip"),
    "nnlab linf": nnlab_search("linf"),
}


def work(name: str, path: Path, threads: int) -> None:
    """Prepare one search, then run it once for every line that arrives."""
    train, _, queries, _ = load(path)
    run = SEARCHES[name](train, queries[: FEWER.get(name, QUERIES)], threads)
    if name not in FEWER:
        run()  # compiled code and thread pools are warm from here on
    print(json.dumps({"dimensions": FEWER.get(name, QUERIES) * train.size}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        found = run()
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "first": found[0].tolist()}), flush=True)


def faiss_command(path: Path, metric: str, threads: int) -> None:
    """Do what `nnlab knn-baseline --k 5` does, with FAISS: read, search, vote, print."""
    import numpy as np

    train, train_labels, test, test_labels = load(path)
    found = faiss_search(metric)(train, test, threads)()
    votes = [np.bincount(labels, minlength=10).argmax() for labels in train_labels[found]]
    print(json.dumps({"accuracy": float(np.mean(np.array(votes) == test_labels))}))


class Worker:
    """A process that holds one library's prepared search."""

    def __init__(self, name: str, path: Path, threads: int) -> None:
        command = [sys.executable, __file__, str(path), "--worker", name]
        self.process = subprocess.Popen(
            [*command, "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.dimensions = self.answer()["dimensions"]

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        record = json.loads(self.process.stdout.readline())
        assert isinstance(record, dict)
        return record

    def measure(self) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.answer()["seconds"])

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure_searches(path: Path, threads: int, repeats: int) -> dict[str, dict[str, Any]]:
    """Let the libraries of one metric take turns; memory holds one metric's data at a time."""
    results: dict[str, dict[str, Any]] = {}
    for metric in ("l1", "l2", "cosine", "linf"):
        names = [name for name in SEARCHES if name.endswith(metric)]
        names += ["FAISS inner product"] * (metric == "cosine")
        workers = {name: Worker(name, path, threads) for name in names}
        times: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(repeats):
            for name, worker in workers.items():
                if name not in FEWER or turn < 3:
                    times[name].append(worker.measure())
        for name, worker in workers.items():
            median = statistics.median(times[name])
            rate = worker.dimensions / median
            results[name] = {
                "seconds": times[name],
                "median": median,
                "rate": rate,
                "dimensions": worker.dimensions,
            }
            print(f"  {name:22} {rate / 1e9:8.1f} G/s   median {median:8.3f} s", flush=True)
            worker.close()
    return results


def measure_commands(path: Path, threads: int, repeats: int) -> dict[str, dict[str, Any]]:
    """Time whole commands on the whole test split, from start to exit."""
    this = [sys.executable, __file__, str(path), "--threads", str(threads)]
    nnlab = [sys.executable, "-m", "nnlab.cli", "knn-baseline", str(path), "--json"]
    nnlab += ["--k", str(NEIGHBORS), "--threads", str(threads)]
    commands = {
        "nnlab knn-baseline l1": [*nnlab, "--metric", "l1"],
        "FAISS script l1": [*this, "--faiss-command", "l1"],
        "nnlab knn-baseline l2": [*nnlab, "--metric", "l2"],
        "FAISS script l2": [*this, "--faiss-command", "l2"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    accuracy: dict[str, float] = {}
    for _ in range(repeats):
        for name, command in commands.items():
            started = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            times[name].append(time.perf_counter() - started)
            accuracy[name] = json.loads(done.stdout)["accuracy"]
    results = {}
    for name, seconds in times.items():
        median = statistics.median(seconds)
        results[name] = {"seconds": seconds, "median": median, "accuracy": accuracy[name]}
        print(f"  {name:22} median {median:8.3f} s   accuracy {accuracy[name]:.4f}", flush=True)
    return results


def check_targets(searches: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for (ours, theirs), target in TARGETS.items():
        scale = searches[ours]["dimensions"] / searches[theirs]["dimensions"]
        turns = zip(searches[ours]["seconds"], searches[theirs]["seconds"], strict=False)
        ratio = statistics.median(scale * slower / faster for faster, slower in turns)
        verdict = "met" if ratio >= target else "MISSED"
        rows.append({"ours": ours, "theirs": theirs, "ratio": ratio, "target": target})
        print(f"  {ours:14} / {theirs:20} {ratio:7.1f}x   target {target:5.1f}x   {verdict}")
    return rows


def data_file(folder: Path) -> Path:
    archive = os.environ.get("NNLAB_TEST_PHOTOS")
    if archive is None:
        sys.exit("name a data file of photographs, or set NNLAB_TEST_PHOTOS to an archive of them")
    path = folder / "photos.h5"
    command = [sys.executable, "-m", "nnlab.cli", "preprocess", archive, "-o", str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?", help="a data file of photographs")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the figures, as JSON")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--faiss-command", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options.worker, options.data, options.threads)
    if options.faiss_command:
        return faiss_command(options.data, options.faiss_command, options.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = options.data or data_file(Path(folder))
        train, _, test, _ = load(path)
        print(f"{min(QUERIES, len(test))} queries x {len(train)} images x {train.shape[1]} values, "
              f"{NEIGHBORS} neighbours, {options.threads} threads")  # fmt: skip
        del train, test
        searches = measure_searches(path, options.threads, options.repeats)
        print("targets")
        targets = check_targets(searches)
        print("whole commands, the whole test split")
        commands = measure_commands(path, options.threads, max(3, options.repeats // 2))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "machine": platform.processor() or platform.machine(),
        "threads": options.threads,
        "searches": searches,
        "targets": targets,
        "commands": commands,
    }
    options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return None


if __name__ == "__main__":
    main()
