"""The threads of NumPy's own BLAS, so that they rest while a team computes.

NumPy does not say which BLAS it computes with, but the library that does is linked to it, and the
dynamic linker finds its functions through NumPy's module. Where they go by none of the known
names, `find_blas` says so: products stay with `numpy.matmul` then, and threads with the BLAS. (What
threadpoolctl offers for it takes three times as long, at every step of a training.)
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

# OpenBLAS in NumPy's wheels, and elsewhere: what stands before and after a function's name.
NAMES = (("scipy_", "64_"), ("", "64_"), ("", ""))


@dataclass(frozen=True)
class Blas:
    """An OpenBLAS.

    Attributes:
        get_threads, set_threads: how many threads it computes with.
    """

    get_threads: Any
    set_threads: Any


@cache
def find_blas() -> Blas | None:
    """Return the OpenBLAS that NumPy computes with; None if it is another BLAS, or hidden."""
    try:
        module = import_module("numpy._core._multiarray_umath")  # NumPy 2
    except ImportError:
        module = import_module("numpy.core._multiarray_umath")
    try:
        library = ctypes.CDLL(module.__file__)
    except OSError:
        return None
    for before, after in NAMES:
        try:
            return Blas(*(
                getattr(library, f"{before}openblas_{verb}_num_threads{after}")
                for verb in ("get", "set")
            ))  # fmt: skip
        except AttributeError:
            continue
    return None
