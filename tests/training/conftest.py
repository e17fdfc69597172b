"""Small real images for the tests of training."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from nnlab.training.images import ImageSet


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes, the plain way."""
    content = gzip.decompress(path.read_bytes())
    rank = content[3]
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank))
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


@pytest.fixture(scope="session")
def fashion(fashion_dir):
    """3,000 training and 1,000 test images of Fashion-MNIST."""
    parts = []
    for prefix, count in (("train", 3000), ("t10k", 1000)):
        images = read_idx(fashion_dir / f"{prefix}-images-idx3-ubyte.gz")[:count]
        labels = read_idx(fashion_dir / f"{prefix}-labels-idx1-ubyte.gz")[:count]
        parts.append(ImageSet.of(images, labels.astype(np.int64)))
    return parts
