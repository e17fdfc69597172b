"""Two MPI ranks beside one, a thread each: the 3072-1024-512-10 network on batches of both ranks.

The two take turns, so that a busy machine is as busy for both; of a turn the median step counts.
What follows the backward pass, the sums over the ranks and the update, is shown as a share of a
step, waiting for the other rank included. It does not grow with the batch: of several sizes the
largest shows least of it.

usage: python benchmarks/ranks.py [--turns 5] [--images 15000] [--batch-size 256 512 1024]
                                  [--optimizer momentum adam]
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


def be_rank(steps: int, batch_size: int, optimizer: str) -> None:
    """Train a few steps; print the seconds of a step and of what follows its backward pass."""
    import numpy as np

    from nnlab import machine
    from nnlab.ranks import join_ranks
    from nnlab.training.assembly import divide, make_trainer
    from nnlab.training.images import ImageSet
    from nnlab.training.settings import Settings

    machine.limit_blas_threads(1)
    ranks = join_ranks()
    ended = [0.0]
    rng = np.random.default_rng(0)
    images = ImageSet.of(
        rng.integers(0, 256, (4096, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 4096)
    )
    settings = Settings.of(
        {
            "model": "mlp", "hidden": "1024,512", "batch_size": batch_size, "val": 0,
            "epochs": 10**6, "optimizer": optimizer,
        }
    )  # fmt: skip
    trainer, _ = make_trainer(settings, divide(settings, images, None), 10, ranks=ranks)
    backward = trainer.network.backward

    def noted(dscores: object) -> object:
        found = backward(dscores)
        ended[0] = time.perf_counter()
        return found

    trainer.network.backward = noted
    walk = trainer.run()
    for _ in range(3):
        next(walk)
    times, behind = [], []
    for _ in range(steps):
        began = time.perf_counter()
        next(walk)
        times.append(time.perf_counter() - began)
        behind.append(time.perf_counter() - ended[0])
    if ranks.speaks:
        print(json.dumps({"step": median(times), "behind": median(behind)}))


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
    """Run the turns and print the medians, a line for each size of batch and optimizer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--images", type=int, default=15_000, help="that a turn trains on")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--optimizer", nargs="+", default=["momentum"])
    parser.add_argument("--be-rank", action="store_true")
    given = parser.parse_args()
    for batch_size in given.batch_size:
        steps = max(1, given.images // batch_size)
        for optimizer in given.optimizer:
            if given.be_rank:
                be_rank(steps, batch_size, optimizer)
            else:
                compare(given.turns, given.images, batch_size, optimizer)


def compare(turns: int, images: int, batch_size: int, optimizer: str) -> None:
    """Run the turns of one size of batch and one optimizer, and print the medians."""
    mpiexec, environment = launcher()

    def start(count: int, batch_size: int) -> subprocess.Popen[str]:
        own = ["--be-rank", "--images", images, "--batch-size", batch_size]
        own += ["--optimizer", optimizer]
        command = [mpiexec, "-n", count, sys.executable, __file__, *own]
        return subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, text=True, env=environment
        )

    def ended(process: subprocess.Popen[str]) -> dict[str, float]:
        record: dict[str, float] = json.loads(process.communicate()[0])
        return record

    one, two, apart = [], [], []
    for _ in range(turns):
        one.append(ended(start(1, batch_size)))
        two.append(ended(start(2, batch_size)))
        pair = [start(1, batch_size // 2) for _ in range(2)]
        apart.append(max((ended(process) for process in pair), key=lambda found: found["step"]))
    ratio, ceiling = (
        median(a["step"] / b["step"] for a, b in zip(one, others, strict=True))
        for others in (two, apart)
    )
    share = median(record["behind"] / record["step"] for record in two)
    print(
        f"{PARAMETERS:,} parameters, {optimizer}, batches of {batch_size}: one rank "
        f"{1000 * median(found['step'] for found in one):.1f} ms a step, two ranks "
        f"{1000 * median(found['step'] for found in two):.1f} ms: {ratio:.2f} times as fast (turn "
        f"by turn); two processes that share nothing, with half a batch each: {ceiling:.2f} times "
        f"as fast, which is what this machine has to give; sums and update behind the backward "
        f"pass, waiting included: {share:.0%} of a step of two ranks",
        flush=True,
    )


if __name__ == "__main__":
    main()
