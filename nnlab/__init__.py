"""nnlab: image classification experiments with a neural-network core written in NumPy.

The public names below are imported when they are first used, so that `import nnlab` costs
nothing and the BLAS kernel can still be chosen before NumPy is loaded.
"""

from importlib import import_module
from typing import Any

from nnlab._version import __version__

# Public name -> the module that defines it.
_PUBLIC: dict[str, str] = {}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'nnlab' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
