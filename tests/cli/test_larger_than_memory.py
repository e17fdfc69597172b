"""Training, evaluation and neighbours on a file larger than the memory that they may have.

The limit is RLIMIT_DATA: the heap and every private mapping that can be written, threads' stacks
included. Pages of a mapped file are not counted, because the system takes them back at will; a
command that loaded the file would pass the limit at once.
"""

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from nnlab.datasets import write_data

COUNT, SIDE = 280_000, 32
LIMIT = 640 * 2**20

pytestmark = pytest.mark.slow


class Generated:
    """Images made when they are asked for: noise around a shade for each class, sorted by class."""

    shape = (COUNT, SIDE, SIDE, 3)

    def __init__(self, labels):
        self.labels = labels
        self.noise = np.random.default_rng(0).integers(0, 80, (4096, SIDE, SIDE, 3), np.uint8)

    def __getitem__(self, rows):
        labels = self.labels[rows].astype(np.uint8)
        return self.noise[: len(labels)] + (40 * labels)[:, None, None, None]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A data file of 860 MB."""
    labels = np.sort(np.arange(COUNT) % 4)
    path = tmp_path_factory.mktemp("large") / "large.h5"
    few = Generated(labels)[np.arange(0, COUNT, 1000)]
    splits = {"train": (Generated(labels), labels), "test": (few, labels[::1000])}
    write_data(path, "large", "generated", {}, list("abcd"), splits)
    assert path.stat().st_size > 1.2 * LIMIT
    yield path
    path.unlink()


def limited(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "nnlab.cli", *map(str, arguments), "--json"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_training_evaluation_and_neighbours_stay_below_the_limit(large, tmp_path):
    run = tmp_path / "run.h5"
    shuffle = ("--shuffle", "blocks", "--shuffle-window", 32)
    record = limited("train", large, "-o", run, "--epochs", 1, "--val", 0, *shuffle)
    assert record["train"]["accuracy"] > 0.95
    assert limited("eval", run, large, "--split", "train")["n"] == COUNT
    found = limited("knn-baseline", large, "--k", 1, "--limit-test", 40)
    assert found["accuracy"] == 1.0
