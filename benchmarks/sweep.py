"""How many trials a second many workers get out of one storage, and what a trial costs.

Thirty-two processes ask for trials and tell their ends at once, without training anything:
the worst case, and more than a cluster ever does. Then one sweep of softmax runs is timed, forked
from a nursery and started plainly.

usage: python benchmarks/sweep.py [--workers 32] [--trials 320] [--storage URL] [--data DATA.h5]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = """
data = "none.h5"
sampler = "{sampler}"
trials = {trials}
search.lr = {{ low = 1e-4, high = 1e-1, log = true }}
search.l2 = {{ low = 1e-6, high = 1e-2, log = true }}
"""


def ask_and_tell(path: Path, storage: str | None) -> None:
    """Be one worker that trains nothing; print the numbers of its trials."""
    from dataclasses import replace

    from nnlab.sweep.folder import DataSource
    from nnlab.sweep.opening import open_source
    from nnlab.sweep.study import read_study
    from nnlab.sweep.trials import PRUNED, read_standing, record_end

    study = replace(read_study(path, storage), checkpoint_every="0")
    source = open_source(study, DataSource(Path("none.h5"), "none"))
    idle = 0
    while idle < 50:
        held = source.take()
        if held is None:
            idle = idle + 1 if source.others else 50
            time.sleep(0.02)
            continue
        record_end(held.task, 0, "measured", PRUNED)
        source.ended(held, read_standing(held.task, look_for_worker=False))
        print(held.task.trial, flush=True)


def contention(sampler: str, workers: int, trials: int, storage: str | None) -> None:
    """Time many workers on one study, and check that no trial was lost or doubled."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"bench{time.time_ns()}.toml")
        path.write_text(STUDY.format(sampler=sampler, trials=trials))
        began = time.perf_counter()
        command = [
            sys.executable,
            __file__,
            "--be-one",
            path,
            *(["--storage", storage] if storage else []),
        ]
        processes = [
            subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
            for _ in range(workers)
        ]
        numbers = [int(line) for process in processes for line in process.communicate()[0].split()]
        seconds = time.perf_counter() - began
    exact = (
        "none lost, none twice"
        if sorted(numbers) == list(range(trials))
        else (f"WRONG: {len(numbers)} ends, {len(set(numbers))} trials of {trials}")
    )
    where = "the folder alone" if sampler == "random" else (storage or "journal").split(":")[0]
    print(
        f"{workers} workers, {trials} trials of a {sampler} search through {where}: "
        f"{trials / seconds:.0f} trials/s with the start of all processes; {exact}"
    )


def overhead(data: Path, nursery: str) -> None:
    """Time a trial from one end to the next against what its run says it trained."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "one.toml")
        path.write_text(
            f'data = "{data.resolve()}"\nsampler = "grid"\n'
            "fixed = { epochs = 1, limit-train = 500, val = 100 }\n"
            "search.lr = [1e-3, 2e-3, 3e-3, 4e-3]\n"
        )
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "nnlab.cli", "sweep", "work", path, "--threads", "1"],
            check=True, capture_output=True, env={**os.environ, "NNLAB_NURSERY": nursery},
        )  # fmt: skip
        seconds = time.perf_counter() - began
        from nnlab.sweep.results import overview
        from nnlab.sweep.study import read_study
        from nnlab.sweep.trials import Trials

        trained = overview(Trials(read_study(path))).seconds
        each = (seconds - trained) / 4
    how = "started plainly" if nursery == "0" else "forked from the nursery"
    print(
        f"a trial {how}, beyond its training steps: {each:.2f} s (its process, opening the data, "
        f"saving, claims, its share of the worker's start): {each / (20 + each):.1%} of a trial "
        "of 20 s"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--trials", type=int, default=320)
    parser.add_argument("--storage")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--be-one", type=Path)
    given = parser.parse_args()
    if given.be_one:
        ask_and_tell(given.be_one, given.storage)
    else:
        if given.data:
            for nursery in ("1", "0"):
                overhead(given.data, nursery)
        if not given.storage:
            contention("random", given.workers, given.trials, None)
        contention("tpe", given.workers, given.trials, given.storage)
