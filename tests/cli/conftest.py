"""A small data file of real images for the tests of the commands."""

import gzip

import numpy as np
import pytest

from nnlab.datasets import write_data

CLASSES = [
    "top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
]


@pytest.fixture(scope="session")
def fashion_file(fashion_dir, tmp_path_factory):
    """A data file with 2,000 training and 500 test images of Fashion-MNIST."""
    splits = {}
    for split, prefix, count in (("train", "train", 2000), ("test", "t10k", 500)):
        images = gzip.decompress((fashion_dir / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((fashion_dir / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
        splits[split] = (
            np.frombuffer(images, np.uint8, count * 784, 16).reshape(count, 28, 28, 1),
            np.frombuffer(labels, np.uint8, count, 8).astype(np.int64),
        )
    path = tmp_path_factory.mktemp("data") / "fashion.h5"
    write_data(
        path, name="fashion-small", source="Fashion-MNIST", options={}, classes=CLASSES,
        splits=splits,
    )  # fmt: skip
    return path


@pytest.fixture(scope="session")
def softmax_run(nnlab, fashion_file, tmp_path_factory):
    """The run file of a softmax classifier of two epochs."""
    path = tmp_path_factory.mktemp("runs") / "softmax.h5"
    done = nnlab("train", fashion_file, "-o", path, "--epochs", 2)
    assert done.code == 0, done.stderr
    return path
