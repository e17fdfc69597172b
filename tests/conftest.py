"""Fixtures that every test may use: real data where the machine has it, and the real command."""

import gzip
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


FASHION = Path("/usr/share/datasets/fashion-mnist")


def pytest_addoption(parser):
    """Add the options of the campaigns of faults."""
    group = parser.getgroup("faults")
    group.addoption("--campaign", action="store_true", help="all cases instead of a few")
    group.addoption("--faults-seed", type=int, default=1, help="the seed of the cases")


@pytest.fixture(scope="session")
def fashion_dir() -> Path:
    """The folder of Fashion-MNIST's four files."""
    if not (FASHION / "train-images-idx3-ubyte.gz").exists():
        pytest.skip("Fashion-MNIST is missing: apt-get install dataset-fashion-mnist")
    return FASHION


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
def photos_archive() -> Path:
    """The archive of CIFAR-10 photographs as a class folder of JPEG files."""
    named = os.environ.get("NNLAB_TEST_PHOTOS")
    if not named:
        pytest.skip("NNLAB_TEST_PHOTOS is not set; it names an archive of photographs by class")
    return Path(named)


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start_nnlab():
    """Start the real command and return its process, to be sent signals; none outlives a test."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "nnlab.cli", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            # Whoever runs the tests in the background has Ctrl-C ignored, and children inherit it.
            preexec_fn=_heed_ctrl_c,  # noqa: PLW1509  (the tests have no threads of their own)
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@dataclass
class Finished:
    """A command that has ended: its exit code and what it wrote."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        record = json.loads(self.stdout)
        assert isinstance(record, dict)
        return record


@pytest.fixture(scope="session")
def nnlab():
    """Run the real command in a process of its own: `nnlab("train", path, "--json")`."""

    def run(
        *arguments: object,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 120,
    ) -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", "nnlab.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            # Tests run side by side: one thread each, or they would wait for one another.
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Finished(done.returncode, done.stdout, done.stderr)

    return run
