"""Compiled code is cached on disk, and never outlives what it was made from."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nnlab

SIZES = "LENGTH = {length}\n"
USER = """
from nnlab.core.sizes import LENGTH
from nnlab.jit import compiled


@compiled
def length():
    return LENGTH
"""


def length_of(folder, counted=False):
    """Ask a process of its own; with `counted`, how many functions it took from the cache."""
    asked = "sum(length.stats.cache_hits.values())" if counted else "length()"
    code = f"from nnlab.core.user import length; length(); print({asked})"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_constant_of_another_file_is_compiled_anew_when_it_changes(tmp_path):
    package = tmp_path / "nnlab"
    shutil.copytree(
        Path(nnlab.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    sizes, user = package / "core" / "sizes.py", package / "core" / "user.py"
    sizes.write_text(SIZES.format(length=512))
    user.write_text(USER)
    assert length_of(tmp_path) == 512
    assert length_of(tmp_path, counted=True) == 1  # what did not change is not compiled again
    sizes.write_text(SIZES.format(length=256))
    assert length_of(tmp_path) == 256


def test_scipy_is_there_for_compiled_products_and_not_loaded_without_them():
    """Numba only looks whether SciPy is there; to import it would cost every start its time."""
    pytest.importorskip("scipy")
    code = """
import sys
import numpy as np
from nnlab.jit import compiled

@compiled
def product(x, y):
    return x @ y

@compiled
def add(x, y):
    return x + y

assert add(np.eye(2), np.eye(2)).sum() == 4
assert "scipy.linalg" not in sys.modules
assert product(2 * np.eye(2), np.eye(2)).tolist() == [[2.0, 0.0], [0.0, 2.0]]
assert sys.modules["scipy.linalg.cython_blas"].__file__
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", ["scipy", "numba.np.arraymath"])
def test_compiled_code_runs_without_scipy_and_with_another_numba(missing):
    """Where SciPy is missing Numba says so itself; a Numba of other modules is left alone."""
    code = f"""
import sys
from importlib.machinery import PathFinder

class Without:
    hidden = {missing!r}

    def find_spec(self, name, *rest):
        if name == self.hidden or name.startswith(self.hidden + "."):
            return None
        return PathFinder.find_spec(name, *rest)

without = Without()
sys.meta_path[sys.meta_path.index(PathFinder)] = without

from nnlab.jit import compiled

@compiled
def add(x, y):
    return x + y

assert "scipy.linalg.cython_blas" not in sys.modules
without.hidden = without.hidden if without.hidden == "scipy" else "nothing"
assert add(1, 2) == 3

from numba.np import arraymath
assert arraymath._HAVE_BLAS == (without.hidden != "scipy")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
