"""Compiled loops, where Numba is there: an addition to a NumPy path with the same answers."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from nnlab.jit_cache import make_safe

# Set to 0 to compute with NumPy alone.
SWITCH = "NNLAB_COMPILED"
# What Numba looks for to know whether compiled functions can multiply matrices.
SCIPY_BLAS = "scipy.linalg.cython_blas"


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function with Numba, without the interpreter's lock.

    The machine code is cached on disk where Numba finds a folder that it may write, so that only
    the first call on a machine compiles; after any change of what it was made from, too.
    """
    from numba import njit

    _spare_scipy()
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        dispatcher = njit(function, cache=True, **options)
        make_safe(dispatcher)
    except (RuntimeError, AttributeError):  # no such folder, or another kind of cache
        return njit(function, **options)
    return dispatcher


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function as part of each compiled one that calls it, and not by itself."""
    return compiled(function, inline="always")


@cache
def _spare_scipy() -> None:
    """Let Numba find SciPy without importing its linear algebra, a quarter of a second.

    Numba imports it only to see whether it is there, with the module that is asked for here. An
    empty module answers meanwhile; a compiled function that multiplies matrices (none of nnlab's)
    imports the real one when it is compiled. With a Numba that has no such module, nothing happens.
    """
    if SCIPY_BLAS in sys.modules:
        return
    sys.modules[SCIPY_BLAS] = ModuleType(SCIPY_BLAS)
    try:
        with suppress(ImportError):
            import_module("numba.np.arraymath")
    finally:
        del sys.modules[SCIPY_BLAS]


@cache
def kernels(module: str) -> ModuleType | None:
    """Import a module of compiled kernels; None if Numba is missing or switched off."""
    if os.environ.get(SWITCH) == "0":
        return None
    try:
        return import_module(module)
    except ImportError:
        return None
