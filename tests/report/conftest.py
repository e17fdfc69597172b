"""Runs on real images, trained once for all tests of the report."""

import gzip

import numpy as np
import pytest

from nnlab.cli.main import main
from nnlab.datasets import write_data

CLASSES = [
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot",
]  # fmt: skip


@pytest.fixture(scope="session")
def clothes(fashion_dir, tmp_path_factory):
    """A data file with 1,500 training and 300 test images of Fashion-MNIST."""
    splits = {}
    for split, prefix, count in (("train", "train", 1500), ("test", "t10k", 300)):
        images = gzip.decompress((fashion_dir / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((fashion_dir / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
        splits[split] = (
            np.frombuffer(images, np.uint8, count * 784, 16).reshape(count, 28, 28, 1),
            np.frombuffer(labels, np.uint8, count, 8).astype(np.int64),
        )
    path = tmp_path_factory.mktemp("data") / "clothes.h5"
    write_data(path, name="clothes", source="Fashion-MNIST", options={}, classes=CLASSES,
               splits=splits)  # fmt: skip
    return path


@pytest.fixture(scope="session")
def run_files(clothes, tmp_path_factory):
    """A linear model, two six-layer MLPs that differ in their activation, and neighbours."""
    folder = tmp_path_factory.mktemp("runs")

    def run(command, *words):
        assert main([command, *map(str, words)]) == 0

    deep = ("--model", "mlp", "--hidden", "32,32,32,32,32", "--epochs", 3)
    for name, options in {
        "softmax": ("--epochs", 3, "--l2", 1e-3),
        "sigmoid": (*deep, "--activation", "sigmoid"),
        "relu": (*deep, "--activation", "relu"),
    }.items():
        run("train", clothes, "-o", folder / f"{name}.h5", *options)
        if name != "sigmoid":
            run("eval", folder / f"{name}.h5")
    run("knn-baseline", clothes, "-o", folder / "knn.h5", "--k", "1,3,5", "--limit-test", 100)
    return folder
