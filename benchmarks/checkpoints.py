"""What checkpoints cost: the share of training time that goes into writing them.

    python benchmarks/checkpoints.py [PHOTOS.h5] [--folder DIR] [--rounds 12] [--output FILE.json]

The MLP for photographs (3,072 inputs, 512-256 hidden units, dropout, Adam) trains on PHOTOS.h5, or
on as many random images of that size; the weights of a checkpoint do not depend on them. After
every few steps one checkpoint is written by the code of `nnlab train`: into the run file, under its
claim, synced to the disk of DIR. Printed are the medians and the share at the default interval.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from nnlab.claims import claim
from nnlab.datasets import open_data
from nnlab.runs import Run
from nnlab.training.assembly import divide, make_trainer
from nnlab.training.images import ImageSet
from nnlab.training.keeping import Keeper
from nnlab.training.runstate import store_model
from nnlab.training.session import Plan
from nnlab.training.settings import Settings

TARGET = 0.02
STEPS = 20
RESULTS = Path(__file__).parent / "results" / "checkpoints.json"
SETTINGS = Settings(model="mlp", hidden="512,256", dropout=0.3, epochs=20)


def images(path: Path | None) -> ImageSet:
    if path is not None:
        with open_data(path) as data:
            part = data.split("train")
            return ImageSet.of(np.array(part.images), part.labels)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50_000, 32, 32, 3), np.uint8)
    return ImageSet.of(pixels, rng.integers(0, 10, 50_000))


def measure(data: ImageSet, folder: Path, rounds: int) -> dict[str, Any]:
    division = divide(SETTINGS, data, None)
    trainer, standardization = make_trainer(SETTINGS, division, 10)
    run = Run("network", ["nnlab", "train"], {}, [str(number) for number in range(10)])
    store_model(trainer, standardization, run)
    path = folder / "run.h5"
    steps, saves = [], []
    with claim(path, "benchmark") as held:
        keeper = Keeper(trainer, run, held)
        walk = trainer.run()
        for _ in range(rounds + 1):
            start = time.perf_counter()
            for _ in range(STEPS):
                next(walk)
            trained = time.perf_counter()
            warning = keeper.checkpoint()
            assert not warning, warning
            steps.append((trained - start) / STEPS)
            saves.append(time.perf_counter() - trained)
    return {"bytes": path.stat().st_size, "steps": steps[1:], "saves": saves[1:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("photos", type=Path, nargs="?", help="a data file of photographs")
    parser.add_argument("--folder", type=Path, help="where the run file is written")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the JSON goes")
    arguments = parser.parse_args()
    interval = Plan(Path("run.h5"), []).checkpoint_seconds
    assert interval is not None
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        found = measure(images(arguments.photos), Path(folder), arguments.rounds)
    step, save = statistics.median(found["steps"]), statistics.median(found["saves"])
    share, shortest = save / (interval + save), save * (1 - TARGET) / TARGET
    print(f"{'a step':34}{1000 * step:9.1f} ms")
    print(f"{'a checkpoint':34}{1000 * save:9.1f} ms  {found['bytes'] / 1e6:.1f} MB, synced")
    print(
        f"{'share, one every ' + format(interval, 'g') + ' s (default)':34}{100 * share:9.3f} %",
        end="",
    )
    print(f"   target below {100 * TARGET:g} %: {'ok' if share < TARGET else 'missed'}")
    print(f"{'interval with a share of 2 %':34}{shortest:9.1f} s")
    found |= {"step": step, "save": save, "share": share, "target": TARGET, "interval": interval}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
