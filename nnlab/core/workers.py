"""Who computes: the threads that a stretch of work shares its loops and products among.

    with at_work():                  a step of training, or a pass over many images
        network.forward(x)           layers ask `current()` and share what is worth it

Inside, the BLAS computes with one thread and the team takes its place, so that the two never
fight for the cores; outside, and where the threads of the BLAS cannot be stopped, products are
NumPy's, and the BLAS has its own threads. There are as many threads as the BLAS was told to use
(`nnlab.machine.limit_blas_threads`).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from nnlab.jit import kernels


@dataclass(frozen=True)
class Workers:
    """What layers compute with.

    Attributes:
        threads: how many; work is cut into as many parts, which decides the order of sums.
        team: the address of their team, 0 for one thread.
        kernels: the module `nnlab.core.kernels`; None for NumPy alone.
        products: the module `nnlab.core.products`; None to leave products to `numpy.matmul`.
        descent: the module `nnlab.core.descent`; there if `products` is.
        plain: the module `nnlab.core.plain_kernels`; there if `products` is.
        scratch: work space of products by dtype.
        owner: the team itself, which lives as long as this.
    """

    threads: int = 1
    team: int = 0
    kernels: Any = None
    products: Any = None
    descent: Any = None
    plain: Any = None
    scratch: dict[Any, NDArray[Any]] = field(default_factory=dict)
    owner: Any = None

    def can_multiply(self, x: NDArray[Any], y: NDArray[Any]) -> bool:
        """Whether `products` are there and take these arrays."""
        return (
            self.products is not None
            and x.dtype == y.dtype
            and x.flags.c_contiguous
            and y.flags.c_contiguous
        )

    def how(self, y: NDArray[Any], room: int = 0) -> tuple[int, int, NDArray[Any]]:
        """Return the first arguments of what is in `products`.

        Args:
            y: an array of their type.
            room: numbers that they need besides what each part does.
        """
        scratch = self.scratch.get(y.dtype)
        if scratch is None or self.products.room_in(scratch, self.threads) < room:
            scratch = self.scratch[y.dtype] = self.products.scratch(self.threads, y.dtype, room)
        return self.team, self.threads, scratch


class _OfThread(threading.local):
    """What each Python thread has for itself: two that train do not share a team."""

    def __init__(self) -> None:
        self.present: Workers | None = None
        self.known: dict[int, Workers] = {}


_mine = _OfThread()


def current() -> Workers:
    """Return who computes now."""
    return _mine.present or Workers(kernels=kernels("nnlab.core.kernels"))


@contextmanager
def at_work() -> Iterator[Workers]:
    """Give layers a team for a while; within another such stretch, its team goes on."""
    found = None if _mine.present else kernels("nnlab.core.blas")
    blas = found.find_blas() if found else None
    if blas is None:
        yield current()
        return
    threads = blas.get_threads()
    if threads not in _mine.known:
        _mine.known[threads] = _employ(threads)
    workers = _mine.present = _mine.known[threads]
    blas.set_threads(1)
    try:
        yield workers
    finally:
        blas.set_threads(threads)
        _mine.present = None


def _employ(threads: int) -> Workers:
    from nnlab.team import Team

    team = Team(threads)
    own, products, descent, plain = (
        kernels(f"nnlab.core.{name}")
        for name in ("kernels", "products", "descent", "plain_kernels")
    )
    return Workers(threads, team.address, own, products, descent, plain, owner=team)
