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


@compiled
def twice(x):
    return 2 * x
"""


@pytest.fixture
def folder(tmp_path):
    """A copy of nnlab with a compiled function and a constant of its own."""
    package = tmp_path / "nnlab"
    shutil.copytree(
        Path(nnlab.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    (package / "core" / "sizes.py").write_text(SIZES.format(length=512))
    (package / "core" / "user.py").write_text(USER)
    return tmp_path


def asked(folder, code):
    """Run code in a process of its own; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", f"from nnlab.core.user import length, twice; {code}"],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def files_of(folder, function):
    """The files of machine code that are kept of a function."""
    places = (folder / "nnlab" / "core" / "__pycache__").glob(f"user.{function}-*.nbc")
    return {place.name for place in places}


def change(folder, length):
    (folder / "nnlab" / "core" / "sizes.py").write_text(SIZES.format(length=length))


def test_a_constant_of_another_file_is_compiled_anew_when_it_changes(folder):
    assert asked(folder, "print(length())") == "512"
    # What did not change is not compiled again.
    assert asked(folder, "length(); print(sum(length.stats.cache_hits.values()))") == "1"
    change(folder, 256)
    assert asked(folder, "print(length())") == "256"


def test_what_is_kept_has_a_name_of_its_own(folder):
    """Processes that do not know of one another yet never take one's code for another's."""
    whole, real = "twice(7)", "twice(0.5)"
    names = []
    for code in (whole, real):
        asked(folder, code)
        names.append(files_of(folder, "twice"))
        for index in (folder / "nnlab" / "core" / "__pycache__").glob("*.nbi"):
            index.unlink()  # what the other process would not have seen
    change(folder, 256)
    asked(folder, whole)
    names.append(files_of(folder, "twice"))
    assert [len(found) for found in names] == [1, 1, 1], "what is no longer valid goes"
    assert len(set.union(*names)) == 3
    assert asked(folder, "print(twice(7), twice(0.5))") == "14 1.0"
    assert len(files_of(folder, "twice")) == 2
    assert asked(folder, "twice(7), twice(0.5), print(twice.stats.cache_misses)") == "Counter()"


def test_code_is_there_before_it_is_named(folder):
    code = """
entry = twice._cache._cache_file
there = []
save_index = entry.save.args[2]

def watched(known):
    there.append([(entry._cache_path + "/" + name) for name in known.values()])
    import os
    assert all(map(os.path.exists, there[-1]))
    save_index(known)

from functools import partial
entry.save = partial(entry.save.func, entry, entry.save.args[1], watched, *entry.save.args[3:])
twice(7), twice(0.5)
print([len(names) for names in there])
"""
    assert asked(folder, code) == "[1, 2]"


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
