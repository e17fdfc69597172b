"""What the machine gives: the BLAS kernel, which has to be chosen before NumPy, threads, memory.

NumPy's bundled OpenBLAS picks its kernel when it is loaded. It does not know every processor: one
that is newer than the library, or seen through a virtual machine, is taken for an older one and
computes at half its speed. `choose_blas_kernel` names the widest kernel that the processor can
run, in the environment variable that OpenBLAS reads (OPENBLAS_CORETYPE), unless the user has set
it. This module imports neither NumPy nor anything slow.
"""

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CORETYPE = "OPENBLAS_CORETYPE"
# What SkylakeX kernels need of the processor, in the names of /proc/cpuinfo.
AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
AVX2 = {"avx2", "fma"}

CPUINFO = Path("/proc/cpuinfo")
OWN_GROUPS = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class BlasChoice:
    """What was decided about the BLAS kernel, and why."""

    kernel: str | None
    reason: str


@cache
def choose_blas_kernel() -> BlasChoice:
    """Name the widest OpenBLAS kernel for this processor, before NumPy is imported.

    Decides once in a process; later calls return the same answer. Never overrides a choice that
    the user has made, and leaves processors that it does not know to OpenBLAS. Setting the
    variable after NumPy was imported has no effect; the reason says so.
    """
    if CORETYPE in os.environ:
        return BlasChoice(os.environ[CORETYPE], f"{CORETYPE} was set before nnlab started")
    if "numpy" in sys.modules:
        return BlasChoice(None, "NumPy was imported before nnlab; its own choice is in force")
    kernel = widest_kernel()
    if kernel is None:
        return BlasChoice(None, "not an x86 processor with AVX2: left to OpenBLAS")
    os.environ[CORETYPE] = kernel
    return BlasChoice(kernel, "the widest kernel that this processor can run")


def widest_kernel() -> str | None:
    """Return the widest OpenBLAS kernel that this processor can run; None: ask OpenBLAS."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return None
    flags = processor_flags()
    if flags >= AVX512:
        return "SkylakeX"
    return "Haswell" if flags >= AVX2 else None


def processor_flags() -> set[str]:
    """Return the processor's features in the names of /proc/cpuinfo; empty where unknown."""
    return set(_cpuinfo("flags").split())


def processor_name() -> str:
    """Return the processor's name, or its architecture where it has none."""
    return _cpuinfo("model name") or platform.machine()


def _cpuinfo(field: str) -> str:
    for line in _lines(CPUINFO):
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""


@dataclass(frozen=True)
class ThreadChoice:
    """How many threads to compute with, what decided it, and whether nobody has asked for it."""

    count: int
    source: str
    is_guess: bool = False


def choose_threads(requested: int | None = None) -> ThreadChoice:
    """Return how many threads to compute with, at least 1, and why.

    In this order: `requested`, SLURM_CPUS_PER_TASK, OMP_NUM_THREADS, and else the processors that
    this process may use (its affinity and its control group's quota, not the machine's count).
    """
    if requested is not None:
        return ThreadChoice(requested, "--threads")
    for name in ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return ThreadChoice(int(value), name)
    affinity, quota = len(os.sched_getaffinity(0)), cgroup_quota()
    if quota is not None and quota < affinity:
        return ThreadChoice(max(1, quota), "the quota of the control group", True)
    return ThreadChoice(affinity, "the processors that this process may use", True)


def thread_count(requested: int | None = None) -> int:
    """Return how many threads to compute with, at least 1; see `choose_threads`."""
    return choose_threads(requested).count


def cgroup_quota() -> int | None:
    """Return the processors that the control group allows, rounded up; None if it sets no limit."""
    pairs = [text.split() for text in _group_files("", "cpu.max")]  # "max 100000"
    quotas = _group_files("cpu", "cpu.cfs_quota_us")
    periods = _group_files("cpu", "cpu.cfs_period_us")
    pairs += [list(pair) for pair in zip(quotas, periods, strict=False)]
    limits = [
        max(1, -(-int(pair[0]) // int(pair[1])))
        for pair in pairs
        if len(pair) == 2 and all(number.isdigit() for number in pair) and int(pair[1]) > 0
    ]
    return min(limits, default=None)


def cgroup_memory() -> int | None:
    """Return the bytes of memory that the control group allows; None if it sets no limit."""
    texts = [*_group_files("", "memory.max"), *_group_files("memory", "memory.limit_in_bytes")]
    # Version 1 says "no limit" as a number near 2^63.
    limits = [int(text) for text in texts if text.isdigit() and int(text) < 2**60]
    return min(limits, default=None)


def memory() -> tuple[int | None, int | None]:
    """Return the machine's memory and what of it is available, in bytes; None where unknown."""
    found: dict[str, int] = {}
    for line in _lines(Path("/proc/meminfo")):
        name, _, value = line.partition(":")
        number = value.split()[:1]
        if number and number[0].isdigit():
            found[name] = int(number[0]) * 1024
    return found.get("MemTotal"), found.get("MemAvailable")


def _group_files(controller: str, name: str) -> Iterator[str]:
    """Yield what a file says in this process's control group and in those above it.

    Args:
        controller: of version 1, such as ``"cpu"``; empty for version 2.
        name: of the file.
    """
    for line in _lines(OWN_GROUPS):
        parts = line.split(":", 2)
        if len(parts) != 3 or controller not in parts[1].split(","):
            continue
        root = CGROUPS / controller
        # Inside a container the path is the host's, and its own group is the root.
        for folder in (root / parts[2].strip("/"), *(root / parts[2].strip("/")).parents):
            if folder != root and root not in folder.parents:
                break
            yield from (text.strip() for text in _lines(folder / name)[:1])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def limit_blas_threads(count: int) -> None:
    """Let the BLAS compute with `count` threads from now on."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=count, user_api="blas")
