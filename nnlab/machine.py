"""What the machine gives: the BLAS kernel, which has to be chosen before NumPy, and threads.

NumPy's bundled OpenBLAS picks its kernel when it is loaded. It does not know every processor: one
that is newer than the library, or seen through a virtual machine, is taken for an older one and
computes at half its speed. `choose_blas_kernel` names the widest kernel that the processor can
run, in the environment variable that OpenBLAS reads (OPENBLAS_CORETYPE), unless the user has set
it. This module imports neither NumPy nor anything slow.
"""

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

CORETYPE = "OPENBLAS_CORETYPE"
# What SkylakeX kernels need of the processor, in the names of /proc/cpuinfo.
AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
AVX2 = {"avx2", "fma"}


@dataclass(frozen=True)
class BlasChoice:
    """What was decided about the BLAS kernel, and why."""

    kernel: str | None
    reason: str


def choose_blas_kernel() -> BlasChoice:
    """Name the widest OpenBLAS kernel for this processor, before NumPy is imported.

    Never overrides a choice that the user has made, and leaves processors that it does not know
    to OpenBLAS. Setting the variable after NumPy was imported has no effect; the reason says so.
    """
    if CORETYPE in os.environ:
        return BlasChoice(os.environ[CORETYPE], f"{CORETYPE} was set before nnlab started")
    if "numpy" in sys.modules:
        return BlasChoice(None, "NumPy was imported before nnlab; its own choice is in force")
    if platform.machine() not in {"x86_64", "AMD64"}:
        return BlasChoice(None, f"{platform.machine()}: left to OpenBLAS")
    flags = processor_flags()
    if flags >= AVX512:
        kernel = "SkylakeX"
    elif flags >= AVX2:
        kernel = "Haswell"
    else:
        return BlasChoice(None, "no AVX2 found: left to OpenBLAS")
    os.environ[CORETYPE] = kernel
    return BlasChoice(kernel, "the widest kernel that this processor can run")


def processor_flags() -> set[str]:
    """Return the processor's features in the names of /proc/cpuinfo; empty where unknown."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return set()
    for line in text.splitlines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()


def thread_count(requested: int | None = None) -> int:
    """Return how many threads to compute with, at least 1.

    In this order: `requested`, SLURM_CPUS_PER_TASK, OMP_NUM_THREADS, and else the processors that
    this process may use (its affinity and its cgroup's quota, not the machine's count).
    """
    if requested is not None:
        return requested
    for name in ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return max(1, min(len(os.sched_getaffinity(0)), cgroup_quota()))


def cgroup_quota() -> int:
    """Return the processors that the control group allows, rounded up; the machine's if none."""
    everything = os.cpu_count() or 1
    try:  # version 2: "max 100000" or "150000 100000"
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:  # version 1
            folder = Path("/sys/fs/cgroup/cpu")
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except OSError:
            return everything
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return everything
    return max(1, -(-int(quota) // int(period)))


def limit_blas_threads(count: int) -> None:
    """Let the BLAS compute with `count` threads from now on."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=count, user_api="blas")
