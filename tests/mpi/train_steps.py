"""Trains a few steps in float64 for the tests and saves what has come out; run by every rank.

`--apart`: as if the ranks had no memory in common.

usage: train_steps.py OUT.npz STEPS SETTINGS(JSON) [--mpi] [--apart]
"""

import json
import sys
import traceback
from typing import Any

import numpy as np

from nnlab.core import joint_update
from nnlab.ranks import Alone, join_ranks
from nnlab.training.assembly import divide, make_trainer
from nnlab.training.images import ImageSet
from nnlab.training.settings import Settings


def images(count: int) -> ImageSet:
    """Images that can be learned: each class has its own bright corner."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 4, count)
    pixels = rng.integers(0, 120, (count, 6, 6, 1), dtype=np.uint8)
    for index, label in enumerate(labels):
        top, left = 3 * (label // 2), 3 * (label % 2)
        pixels[index, top : top + 3, left : left + 3] += 100
    return ImageSet.of(pixels, labels)


out, steps, text = sys.argv[1:4]
if "--apart" in sys.argv:
    joint_update.common_memory = lambda *_: None
ranks = join_ranks() if "--mpi" in sys.argv else Alone()


def end_all(*error: Any) -> None:
    """Say what has happened, and leave no other rank waiting."""
    traceback.print_exception(*error)
    ranks.abort(1)


if "--mpi" in sys.argv:
    sys.excepthook = end_all
settings = Settings.of(
    {
        "model": "mlp",
        "hidden": "12,9",
        "dtype": "float64",
        "val": 53,
        "batch_size": 32,
        "epochs": 1000,
        **json.loads(text),
    }
)
division = divide(settings, images(320 + 53), None)
trainer, _ = make_trainer(settings, division, 4, ranks=ranks)
for _ in trainer.run():
    if trainer.steps_done >= int(steps):
        break
update = trainer.update
with open("/proc/self/maps") as maps:
    together = "memfd:nnlab" in maps.read()
assert together == (ranks.size > 1 and settings.max_norm is None and "--apart" not in sys.argv)
if ranks.speaks:
    np.savez(
        out,
        **update.optimizer.state,
        **({} if update.average is None else {"average": update.average}),
        **{
            name: np.array(values)
            for name, values in trainer.watch.history.items()
            if name.startswith(("gradient_norm", "update_ratio"))  # units are those of its rows
        },
        norm=trainer.step_history["gradient_norm"][: int(steps)],
        theta=trainer.network.theta,
        running=trainer.network.running,
        loss=trainer.step_history["loss"][: int(steps)],
        val=np.array(trainer.epoch_history["val_loss"]),
        accuracy=np.array(trainer.epoch_history["val_accuracy"]),
        train=np.array(trainer.epoch_history["train_accuracy"]),
    )
