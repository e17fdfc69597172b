"""Real images under names that nobody should choose."""

import gzip
from pathlib import Path

import numpy as np

from nnlab.datasets import write_data

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=http://example.org/x onerror='alert(1)'>",
    "שלום עולם",
    "\N{CAT FACE} $x^2$ & 'quotes'",
    "a-very-long-name-without-any-place-to-break-" + 60 * "x",
]
DATA_NAME = "<b>images</b>"


def write_hostile_data(path: Path, fashion_dir: Path) -> None:
    """Write a data file of images in three channels whose classes are called `HOSTILE`."""
    images = gzip.decompress((fashion_dir / "train-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((fashion_dir / "train-labels-idx1-ubyte.gz").read_bytes())
    grey = np.frombuffer(images, np.uint8, 2000 * 784, 16).reshape(2000, 28, 28, 1)
    classes = np.frombuffer(labels, np.uint8, 2000, 8).astype(np.int64)
    chosen = classes < len(HOSTILE)
    tinted = (grey[chosen] * np.array([1.0, 0.7, 0.4])).astype(np.uint8)
    write_data(
        path, name=DATA_NAME, source="Fashion-MNIST", options={}, classes=HOSTILE,
        splits={"train": (tinted[50:], classes[chosen][50:]),
                "test": (tinted[:50], classes[chosen][:50])},
    )  # fmt: skip
