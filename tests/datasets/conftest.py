"""Real images in every shape that a data set comes in."""

import gzip

import numpy as np
import pytest
from idx_files import write_idx
from PIL import Image

CLASSES = ("boat", "cat", "dog")


@pytest.fixture(scope="session")
def fashion(fashion_dir):
    """The first 600 training and 100 test images of Fashion-MNIST with their labels."""
    parts = {}
    for split, prefix, count in (("train", "train", 600), ("test", "t10k", 100)):
        images = gzip.decompress((fashion_dir / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((fashion_dir / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
        parts[split] = (
            np.frombuffer(images, np.uint8, count * 784, 16).reshape(count, 28, 28),
            np.frombuffer(labels, np.uint8, count, 8),
        )
    return parts


@pytest.fixture
def idx_folder(fashion, tmp_path):
    """A folder with four small IDX files, plain and gzipped."""
    folder = tmp_path / "idx"
    folder.mkdir()
    for split, prefix, suffix in (("train", "train", ".gz"), ("test", "t10k", "")):
        images, labels = fashion[split]
        write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", labels)
    return folder


@pytest.fixture
def pictures(tmp_path):
    """A folder of class folders: 3 classes, 6 training and 2 test pictures each, 12 x 10."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for name in CLASSES:
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (12, 10, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "pictures"
