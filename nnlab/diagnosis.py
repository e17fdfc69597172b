"""What this machine and this installation give nnlab to work with."""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

from nnlab import machine
from nnlab._version import __version__

# Features that decide which kernels can run.
FEATURES = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni")
# Part -> what it is for. None of them is needed for training.
OPTIONAL = {
    "optuna": "hyper-parameter search",
    "mpi4py": "training on several nodes",
    "onnx": "export of trained models",
}
LITTLE_SPACE = 2**30
LITTLE_MEMORY = 2**30
# A float32 product of n x n matrices is right to a few rounding errors of its n additions.
PRODUCT_SIZE = 1024
PRODUCT_SECONDS = 0.5
ALLOWED_ERROR = 1e-5


@dataclass
class Diagnosis:
    """Facts by section and name, plain enough for JSON, and what is wrong."""

    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Return everything by the keys of `nnlab doctor --json`."""
        return {**self.facts, "warnings": self.warnings}


def diagnose(folders: Mapping[str, Path], measure: bool = False) -> Diagnosis:
    """Look at the software, the processor, memory and folders.

    Args:
        folders: those to look at, by what they are for.
        measure: also time a matrix product, which takes about a second.
    """
    found = Diagnosis()
    found.facts["software"] = _software()
    found.facts["processor"] = _processor()
    found.facts["blas"] = _blas(found.warnings)
    found.facts["threads"] = _threads(found.warnings)
    found.facts["memory"] = _memory(found.warnings)
    found.facts["compiled_loops"] = _compiled_loops(found.warnings)
    found.facts["folders"] = {
        name: _folder(name, path, found.warnings) for name, path in folders.items()
    }
    found.facts["optional"] = {name: _optional(name) for name in OPTIONAL}
    if measure:
        found.facts["matrix_product"] = _product(found.warnings)
    return found


def _software() -> dict[str, Any]:
    import h5py
    import numpy as np

    return {
        "nnlab": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        "hdf5": h5py.version.hdf5_version,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _processor() -> dict[str, Any]:
    flags = machine.processor_flags()
    return {
        "name": machine.processor_name(),
        "count": os.cpu_count(),
        "features": [name for name in FEATURES if name in flags],
    }


def _blas(warnings: list[str]) -> dict[str, Any]:
    chosen = machine.choose_blas_kernel()
    import numpy as np
    from threadpoolctl import threadpool_info

    _ = np.ones((2, 2)) @ np.ones((2, 2))  # some libraries load their kernel at the first product
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    pool = pools[0] if pools else {}
    kernel = pool.get("architecture")
    if not pools:
        warnings.append(
            "NumPy's BLAS is not one that can be asked for its kernel; training may be slow. The "
            "wheels of the package index (pip install numpy) bring OpenBLAS."
        )
    elif chosen.kernel is None and kernel and _wider(kernel):
        warnings.append(
            f"the BLAS kernel in force, {kernel}, is not the widest that this processor can run "
            f"({chosen.reason}); start Python with {machine.CORETYPE}={_wider(kernel)}."
        )
    elif chosen.kernel and kernel and chosen.kernel.lower() != str(kernel).lower():
        warnings.append(f"the BLAS kernel {chosen.kernel} was asked for, {kernel} is in force.")
    return {
        "library": pool.get("internal_api"),
        "version": pool.get("version"),
        "kernel": kernel,
        "threads": pool.get("num_threads"),
        "chosen_kernel": chosen.kernel,
        "reason": chosen.reason,
    }


def _wider(kernel: str) -> str | None:
    """Return the kernel that would be chosen, if it is another one than this."""
    widest = machine.widest_kernel()
    return widest if widest and widest.lower() != kernel.lower() else None


def _threads(warnings: list[str]) -> dict[str, Any]:
    chosen = machine.choose_threads()
    usable = len(os.sched_getaffinity(0))
    quota = machine.cgroup_quota()
    if chosen.count > usable:
        warnings.append(
            f"{chosen.source} asks for {chosen.count} threads, this process may use {usable} "
            "processors; they will get in each other's way."
        )
    elif quota is not None and chosen.count > quota:
        warnings.append(
            f"{chosen.source} asks for {chosen.count} threads, the control group allows {quota} "
            "processors; they will be held up."
        )
    return {
        "count": chosen.count,
        "source": chosen.source,
        "affinity": usable,
        "control_group": quota,
        "slurm_cpus_per_task": os.environ.get("SLURM_CPUS_PER_TASK"),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
    }


def _memory(warnings: list[str]) -> dict[str, Any]:
    total, available = machine.memory()
    limit = machine.cgroup_memory()
    least = min((size for size in (available, limit) if size is not None), default=None)
    if least is not None and least < LITTLE_MEMORY:
        warnings.append(f"only {least / 2**20:.0f} MiB of memory are available.")
    return {"total": total, "available": available, "control_group": limit}


def _compiled_loops(warnings: list[str]) -> dict[str, Any]:
    try:
        import numba
    except Exception as error:  # an old Numba raises what it likes about a new NumPy
        warnings.append(f"Numba cannot be used ({error}); NumPy alone computes, more slowly.")
        return {"numba": None, "cache": None, "cache_writable": None}
    # Numba looks for a folder in this order.
    named = os.environ.get("NUMBA_CACHE_DIR")
    package = Path(__file__).parent
    if named:
        cache = Path(named)
    elif os.access(package, os.W_OK):
        cache = package
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"
    writable = os.access(_existing(cache), os.W_OK)
    if not writable:
        warnings.append(
            f"{cache} is not writable: loops are compiled again by every process; name another "
            "folder with NUMBA_CACHE_DIR."
        )
    return {"numba": numba.__version__, "cache": str(cache), "cache_writable": writable}


def _folder(name: str, path: Path, warnings: list[str]) -> dict[str, Any]:
    existing = _existing(path)
    try:
        free = shutil.disk_usage(existing).free
    except OSError:
        free = None
    writable = os.access(existing, os.W_OK | os.X_OK) and existing.is_dir()
    if not writable:
        warnings.append(f"the {name} folder {path} is not writable.")
    elif free is not None and free < LITTLE_SPACE:
        warnings.append(f"the {name} folder {path} has only {free / 2**20:.0f} MiB free.")
    return {"path": str(path), "exists": path.exists(), "writable": writable, "free": free}


def _existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _optional(name: str) -> dict[str, Any]:
    if importlib.util.find_spec(name) is None:
        version, install = None, f"{Path(sys.executable).name} -m pip install {name}"
    else:
        version, install = metadata.version(name), None
    return {"purpose": OPTIONAL[name], "version": version, "install": install}


def _product(warnings: list[str]) -> dict[str, Any]:
    machine.limit_blas_threads(machine.thread_count())
    rate, error = product_rate()
    if error > ALLOWED_ERROR:
        warnings.append(
            f"a float32 matrix product is wrong by {error:.1e}; do not trust this BLAS: try "
            f"{machine.CORETYPE}=Haswell."
        )
    return {"size": PRODUCT_SIZE, "gflops": rate, "error": error}


def product_rate(
    size: int = PRODUCT_SIZE,
    seconds: float = PRODUCT_SECONDS,
    clock: Callable[[], float] = perf_counter,
) -> tuple[float, float]:
    """Time a float32 product of two square matrices and check it against float64.

    Args:
        size: rows and columns.
        seconds: how long to repeat it; the fastest counts.
        clock: returns seconds.

    Returns:
        10^9 multiplications and additions a second, and the largest error of an element, relative
        to the sum of the sizes of its products (of the order of 1e-7 where all is well).
    """
    import numpy as np

    from nnlab.randomness import generator

    rng = generator(0, "doctor")
    left = rng.standard_normal((size, size), dtype=np.float32)
    right = rng.standard_normal((size, size), dtype=np.float32)
    out = left @ right
    exact = left.astype(np.float64) @ right.astype(np.float64)
    scale = np.abs(left).astype(np.float64) @ np.abs(right).astype(np.float64)
    error = float((np.abs(out - exact) / scale).max())
    best, end = float("inf"), clock() + seconds
    while clock() < end or best == float("inf"):
        begun = clock()
        np.matmul(left, right, out=out)
        best = min(best, clock() - begun)
    return 2 * size**3 / max(best, 1e-9) / 1e9, error
