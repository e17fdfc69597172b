"""Which kernels this processor can run, decided when a search begins.

A level names the instructions that a set of kernels uses. Each level falls back on the next one
for what it does not have. All of them give the same answers.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from nnlab import jit
from nnlab.errors import InputError

# From the fastest to the most portable, with the features (LLVM's names) that each one needs.
LEVELS: dict[str, frozenset[str]] = {
    "avx512_vnni": frozenset({"avx512f", "avx512bw", "avx512vnni"}),
    "avx512": frozenset({"avx512f", "avx512bw"}),
    "avx2": frozenset({"avx2"}),
    "generic": frozenset(),
    "numpy": frozenset(),
}
# The widest row for which the 32-bit lanes of a kernel cannot overflow: a lane sees one of 16
# (8 with AVX2) columns, each worth at most 255^2 (255 * 128 with VNNI's signed operand).
WIDEST = {
    "products_avx512_vnni": 1 << 20,
    "products_avx512": 1 << 19,
    "products_avx2": 1 << 18,
}


@dataclass(frozen=True)
class Kernels:
    """The functions of one search over bytes.

    Attributes:
        level: the level that was asked for or found.
        fill: fills a tile: `fill(queries, rows, out)`.
        flip: what the training rows' bytes are combined with by xor before `fill` sees them.
        module: where `pack` and the distances of that level live.
        keeping: where `keep_smallest` and its kin live.
        fill_pairs: fills the distances of single pairs: `fill_pairs(queries, rows, pairs, out)`;
            None where there is no such kernel.
    """

    level: str
    fill: Callable[..., None]
    flip: int
    module: ModuleType
    keeping: ModuleType
    fill_pairs: Callable[..., None] | None = None


@functools.cache
def available() -> tuple[str, ...]:
    """Return the levels that this machine can run, the fastest first."""
    if jit.kernels("nnlab.neighbors.compiled") is None:
        return ("numpy",)
    import llvmlite.binding
    from numba.core import config

    if config.DISABLE_JIT:
        return ("numpy",)
    # Code is generated for what Numba was told; LLVM ends the process at an instruction that the
    # target does not have.
    if config.CPU_NAME or config.CPU_FEATURES:
        return ("generic", "numpy")
    found = {name for name, there in llvmlite.binding.get_host_cpu_features().items() if there}
    return tuple(name for name, needs in LEVELS.items() if needs <= found)


def best_level(level: str | None = None) -> str:
    """Return `level` if this machine can run it, and its best level for None.

    Raises:
        InputError: no such level, or not on this processor.
    """
    if level is None:
        return available()[0]
    if level not in available():
        raise InputError(
            f"the kernels '{level}' cannot run here; this machine runs {', '.join(available())}."
        )
    return level


def modules_of(level: str) -> tuple[ModuleType, ModuleType]:
    """Return the modules that hold the distances of a level and its ways to keep the nearest."""
    if level == "numpy":
        from nnlab.neighbors import plain

        return plain, plain
    from nnlab.neighbors import compiled, keeping

    return compiled, keeping


def choose(product: str, width: int, level: str | None = None) -> Kernels:
    """Choose the kernels of one search.

    Args:
        product: what fills a tile: ``"absolute"``, ``"products"`` or ``"largest"``.
        width: columns of a packed row.
        level: a level to take instead of the best one.

    Raises:
        InputError: this machine cannot run that level.
    """
    level = best_level(level)
    modules = modules_of(level)
    module: Any = modules[0]
    if level == "numpy":
        return Kernels(level, getattr(module, product), 0, *modules)
    names = list(LEVELS)
    for lower in names[names.index(level) :]:
        name = f"{product}_{lower}"
        if hasattr(module, name) and width <= WIDEST.get(name, width):
            flip = 128 * (lower == "avx512_vnni")
            pairs = getattr(module, f"{product}_pairs_{lower}", None)
            return Kernels(level, getattr(module, name), flip, *modules, pairs)
    raise ValueError(f"there is no kernel called {product}")
