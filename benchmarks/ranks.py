"""Two MPI ranks beside one, a thread each: the 3072-1024-512-10 network on batches of 512.

The two take turns, so that a busy machine is as busy for both. The share of the Allreduce is what a
rank spends in it, waiting for the other included.

usage: python benchmarks/ranks.py [--turns 5] [--steps 30] [--batch-size 512]
"""

import argparse
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

PARAMETERS = 3072 * 1024 + 1024 + 1024 * 512 + 512 + 512 * 10 + 10


def be_rank(steps: int, batch_size: int) -> None:
    """Train a few steps and print the seconds of a step, and of its Allreduce."""
    import numpy as np

    from nnlab import machine
    from nnlab.ranks import join_ranks
    from nnlab.training.assembly import divide, make_trainer
    from nnlab.training.images import ImageSet
    from nnlab.training.settings import Settings

    machine.limit_blas_threads(1)
    ranks = join_ranks()
    spent = [0.0]
    add = ranks.add

    def timed(vector: object) -> None:
        began = time.perf_counter()
        add(vector)
        spent[0] += time.perf_counter() - began

    ranks.add = timed
    rng = np.random.default_rng(0)
    images = ImageSet.of(
        rng.integers(0, 256, (4096, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 4096)
    )
    settings = Settings.of(
        {"model": "mlp", "hidden": "1024,512", "batch_size": batch_size, "val": 0, "epochs": 10**6}
    )
    trainer, _ = make_trainer(settings, divide(settings, images, None), 10, ranks=ranks)
    walk = trainer.run()
    for _ in range(3):
        next(walk)
    before, spent[0] = trainer.counters.seconds, 0.0
    for _ in range(steps):
        next(walk)
    if ranks.speaks:
        seconds = (trainer.counters.seconds - before) / steps
        print(json.dumps({"step": seconds, "allreduce": spent[0] / steps}))


def launcher() -> tuple[str, dict[str, str]]:
    """Return mpiexec and the environment in which MPI's library is found."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for file in importlib.metadata.files("mpich") or ():
        place = Path(str(file.locate())).resolve()
        if place.name == "mpiexec":
            environment["LD_LIBRARY_PATH"] = str(place.parents[1] / "lib")
            return str(place), environment
    return shutil.which("mpiexec") or sys.exit(
        "there is no mpiexec: pip install mpich"
    ), environment


def main() -> None:
    """Run the turns and print the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--be-rank", action="store_true")
    given = parser.parse_args()
    if given.be_rank:
        be_rank(given.steps, given.batch_size)
        return
    mpiexec, environment = launcher()
    found: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for _ in range(given.turns):
        for count, records in found.items():
            own = ["--be-rank", "--steps", given.steps, "--batch-size", given.batch_size]
            command = [mpiexec, "-n", count, sys.executable, __file__, *own]
            done = subprocess.run(
                [str(part) for part in command],
                check=True, stdout=subprocess.PIPE, text=True, env=environment,
            )  # fmt: skip
            records.append(json.loads(done.stdout))
    one, two = (median(record["step"] for record in found[count]) for count in (1, 2))
    ratios = [a["step"] / b["step"] for a, b in zip(found[1], found[2], strict=True)]
    share = median(record["allreduce"] / record["step"] for record in found[2])
    print(
        f"{PARAMETERS:,} parameters, batches of {given.batch_size}: one rank {1000 * one:.1f} ms a "
        f"step, two ranks {1000 * two:.1f} ms: {median(ratios):.2f} times as fast (turn by turn); "
        f"Allreduce of {4 * PARAMETERS / 2**20:.1f} MiB: {share:.0%} of a step"
    )


if __name__ == "__main__":
    main()
