"""Training takes as much memory at the ten thousandth step as at the first."""

import json
import subprocess
import sys

import pytest

# Trains in a process of its own, so that the peak is that of training alone.
PROGRAM = """
import json, resource
import nnlab
import numpy as np
from nnlab.training.assembly import Division, make_trainer
from nnlab.training.images import ImageSet
from nnlab.training.settings import Settings

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def peak():
    # Not getrusage, whose figure starts at what the process that started this one held.
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))

rng = np.random.default_rng(0)
images = rng.integers(0, 256, (20_000, 28, 28, 1), dtype=np.uint8)
labels = rng.integers(0, 10, 20_000)
settings = Settings(
    model="mlp", hidden="256", dropout=0.2, optimizer="adam", ema=0.99, batch_size=32, epochs=16,
    val=0, augment="shift=1", l2=1e-4,
)
trainer, _ = make_trainer(settings, Division(ImageSet.of(images, labels), None, ""), 10)
events, sizes = trainer.run(), []
for step in range(10_000):
    next(events)
    if step in (1_000, 9_999):
        sizes.append(resident())
print(json.dumps({
    "early": sizes[0], "late": sizes[1],
    "peak": peak(),
    "data": images.nbytes, "parameters": trainer.network.theta.nbytes,
}))
"""


@pytest.mark.slow
def test_ten_thousand_steps_do_not_grow():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    # The history of steps has 8 bytes a number and is as long as the run.
    assert found["late"] - found["early"] < 2**20
    assert found["peak"] <= found["data"] + 12 * found["parameters"] + 300 * 2**20
