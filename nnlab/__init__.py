"""nnlab: image classification experiments with a neural-network core written in NumPy.

The public names below are imported when they are first used, so that `import nnlab` costs
nothing and the BLAS kernel can still be chosen before NumPy is loaded.
"""

from nnlab._version import __version__ as __version__

# Written out, because the commands heed Ctrl-C only after these lines: typing takes milliseconds.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nnlab.datasets.datafile import open_data as open_data
    from nnlab.datasets.datafile_writing import write_data as write_data
    from nnlab.errors import NnlabError as NnlabError
    from nnlab.metrics import Metrics as Metrics
    from nnlab.neighbors.classifier import KNNClassifier as KNNClassifier
    from nnlab.runs.run import Run as Run
    from nnlab.runs.run import open_run as open_run
    from nnlab.training.classifier import Classifier as Classifier

# Public name -> the module that defines it.
_PUBLIC: dict[str, str] = {
    "Classifier": "nnlab.training.classifier",
    "KNNClassifier": "nnlab.neighbors.classifier",
    "Metrics": "nnlab.metrics",
    "NnlabError": "nnlab.errors",
    "Run": "nnlab.runs.run",
    "open_data": "nnlab.datasets.datafile",
    "open_run": "nnlab.runs.run",
    "write_data": "nnlab.datasets.datafile_writing",
}


def __getattr__(name: str) -> "Any":
    """Import a public name from the module that defines it (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'nnlab' has no attribute {name!r}")
    from importlib import import_module

    from nnlab.machine import choose_blas_kernel

    choose_blas_kernel()
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(["__version__", *_PUBLIC])
