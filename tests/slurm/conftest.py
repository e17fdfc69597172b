"""The cluster of these tests, started once."""

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from cluster import NEEDED, Cluster
from PIL import Image


@contextmanager
def running(more=""):
    """A SLURM with two nodes on this machine; `more` goes to its configuration."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and SLURM (apt-get install munge slurmctld slurmd): {missing}")
    # A socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    cluster = Cluster(folder, more)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def slurm():
    """A SLURM for all tests."""
    with running() as cluster:
        yield cluster


@pytest.fixture
def another_slurm():
    """Start a SLURM of one's own: `another_slurm("RequeueExit=75")`."""
    with ExitStack() as stack:
        yield lambda more="": stack.enter_context(running(more))


@pytest.fixture
def sbatch(slurm, tmp_path):
    """Submit a job from the folder of the test, with `nnlab` on its path; return its number."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "nnlab").write_text(f'#!/bin/sh\nexec {sys.executable} -m nnlab.cli "$@"\n')
    (tools / "nnlab").chmod(0o755)
    environment = {
        **slurm.environment, "PATH": f"{tools}:{os.environ['PATH']}", "SBATCH_TIMELIMIT": "10",
    }  # fmt: skip

    def submit(*arguments, **more):
        done = subprocess.run(
            ["sbatch", "--parsable", *map(str, arguments)],
            capture_output=True, text=True, cwd=tmp_path, env={**environment, **more},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    submit.environment = environment
    return submit


@pytest.fixture
def pictures_folder(tmp_path):
    """Images in one folder a class."""
    rng = np.random.default_rng(0)
    for name, channel in (("red", 0), ("green", 1), ("blue", 2)):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for number in range(40):
            pixels = rng.integers(0, 100, (12, 12, 3), dtype=np.uint8)
            pixels[..., channel] += 100
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "pictures"
