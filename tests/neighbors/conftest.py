"""Real images for the tests of the nearest neighbours."""

import gzip

import numpy as np
import pytest


def read_idx(path):
    """Decode one of Fashion-MNIST's gzipped IDX files."""
    content = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(content[4 * i + 4 : 4 * i + 8], "big") for i in range(content[3])]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


@pytest.fixture(scope="session")
def fashion(fashion_dir):
    """Fashion-MNIST whole: train and test as (images (N, 28, 28, 1), labels)."""
    return [
        (
            read_idx(fashion_dir / f"{name}-images-idx3-ubyte.gz")[..., None],
            read_idx(fashion_dir / f"{name}-labels-idx1-ubyte.gz").astype(np.int64),
        )
        for name in ("train", "t10k")
    ]


@pytest.fixture(scope="session")
def small_fashion(fashion):
    """A part that brute force can take: 1,500 training and 200 test images."""
    (x, y), (q, z) = fashion
    return (x[:1500], y[:1500]), (q[:200], z[:200])
