"""MPI for the tests: the launcher and the library of the package `mpich`, or of the machine."""

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest


def _of_package(name: str) -> Path | None:
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [Path(str(file.locate())).resolve() for file in files if file.name == name]
    return found[0] if found else None


MPIEXEC = _of_package("mpiexec") or shutil.which("mpiexec")
LIBRARY = _of_package("libmpi.so.12")


@pytest.fixture(scope="session")
def mpi_environment() -> dict[str, str]:
    """What the library of MPI needs to be found, and one thread for each rank."""
    pytest.importorskip("mpi4py")
    if MPIEXEC is None:
        pytest.skip("there is no mpiexec: pip install mpich")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if LIBRARY is not None:
        environment["LD_LIBRARY_PATH"] = str(LIBRARY.parent)
    return environment


@pytest.fixture
def start_ranks(mpi_environment):
    """Start `nnlab` as several ranks; none outlives a test."""
    processes = []

    def start(ranks, *arguments, program=("-m", "nnlab.cli")):
        process = subprocess.Popen(
            [MPIEXEC, "-n", str(ranks), sys.executable, *program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=mpi_environment,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def run_ranks(start_ranks):
    """Run `nnlab` as several ranks to its end: exit code, stdout, stderr."""

    def run(ranks, *arguments, **given):
        process = start_ranks(ranks, *arguments, **given)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    return run
