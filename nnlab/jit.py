"""Compiled loops, where Numba is there: an addition to a NumPy path with the same answers."""

import os
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

# Set to 0 to compute with NumPy alone.
SWITCH = "NNLAB_COMPILED"


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function with Numba, without the interpreter's lock.

    The machine code is cached on disk where Numba finds a folder that it may write, so that only
    the first call on a machine compiles.
    """
    from numba import njit

    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:  # no such folder
        return njit(function, **options)


@cache
def kernels(module: str) -> ModuleType | None:
    """Import a module of compiled kernels; None if Numba is missing or switched off."""
    if os.environ.get(SWITCH) == "0":
        return None
    try:
        return import_module(module)
    except ImportError:
        return None
