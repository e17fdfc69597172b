"""Compiled code is cached on disk, and never outlives what it was made from."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

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
