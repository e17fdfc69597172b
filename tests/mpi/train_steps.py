"""Trains a few steps in float64 for the tests and saves what has come out; run by every rank.

usage: train_steps.py OUT.npz STEPS SETTINGS(JSON) [--mpi]
"""

import json
import sys

import numpy as np

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
ranks = join_ranks() if "--mpi" in sys.argv else Alone()
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
if ranks.speaks:
    np.savez(
        out,
        theta=trainer.network.theta,
        running=trainer.network.running,
        loss=trainer.step_history["loss"][: int(steps)],
        val=np.array(trainer.epoch_history["val_loss"]),
        accuracy=np.array(trainer.epoch_history["val_accuracy"]),
        train=np.array(trainer.epoch_history["train_accuracy"]),
    )
