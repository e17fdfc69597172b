"""Small models of real images, and their explanations."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from nnlab.explanation import explain_network
from nnlab.runs import open_run
from nnlab.training.classifier import Classifier
from nnlab.training.trained import TrainedNetwork

CLASSES = ["top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
           "boot"]  # fmt: skip


def read_idx(path: Path, count: int, shape: tuple[int, ...], start: int) -> np.ndarray:
    content = gzip.decompress(path.read_bytes())
    size = int(np.prod(shape))
    return np.frombuffer(content, np.uint8, count * size, start).reshape(count, *shape)


@pytest.fixture(scope="session")
def fashion(fashion_dir):
    """600 images of Fashion-MNIST, (N, 28, 28, 1), and their labels."""
    images = read_idx(fashion_dir / "train-images-idx3-ubyte.gz", 600, (28, 28, 1), 16)
    labels = read_idx(fashion_dir / "train-labels-idx1-ubyte.gz", 600, (), 8)
    return images, labels.astype(np.int64)


@pytest.fixture(scope="session")
def coloured(fashion):
    """The same with three channels that differ: tinted, small, with the picture off the middle."""
    images, labels = fashion
    small = images[:, 2:26:2, 1:27:2].astype(np.float64)
    tints = np.array([[1.0, 0.6, 0.3]])
    return np.rint(small * tints + 20 * np.arange(3)).clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory):
    """Train a model of some settings on images and labels, and return its run file, opened."""
    folder = tmp_path_factory.mktemp("runs")
    made = {}

    def train(data, **settings):
        key = (data[0].shape, *sorted(settings.items()))
        if key not in made:
            chosen = {"epochs": 2, "val": 0.0, "batch_size": 50, **settings}
            classifier = Classifier(chosen.pop("model", "softmax"), **chosen)
            classifier.fit(*data, classes=CLASSES)
            made[key] = folder / f"{len(made)}.h5"
            classifier.save(made[key])
        return open_run(made[key])

    return train


@pytest.fixture(scope="session")
def explained():
    """Explain one image by a run."""

    def explain(run, pixels, label, **names):
        model = TrainedNetwork.from_run(run)
        return explain_network(model, pixels, label, config=run.config, **names)

    return explain
