"""What the machine gives: kernels, threads, memory; and the diagnosis that shows it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from nnlab import machine
from nnlab.diagnosis import diagnose, product_rate
from nnlab.machine import AVX2, AVX512, CORETYPE


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A process that has decided nothing yet and is told nothing by its environment."""
    machine.choose_blas_kernel.cache_clear()
    for name in (CORETYPE, "SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    yield
    machine.choose_blas_kernel.cache_clear()


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """Pretend that this is a processor with these features, and NumPy is not loaded."""

    def pretend(flags, architecture="x86_64"):
        text = f"processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nflags\t\t: {' '.join(flags)}\n"
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(machine.platform, "machine", lambda: architecture)
        monkeypatch.delitem(sys.modules, "numpy")

    return pretend


@pytest.mark.parametrize(
    ("flags", "architecture", "kernel"),
    [
        (AVX512 | AVX2 | {"fpu"}, "x86_64", "SkylakeX"),
        (AVX512 - {"avx512vl"} | AVX2, "x86_64", "Haswell"),
        (AVX2, "AMD64", "Haswell"),
        ({"avx2"}, "x86_64", None),
        (AVX512 | AVX2, "aarch64", None),
        (set(), "x86_64", None),
    ],
)
def test_the_widest_kernel_the_processor_can_run(processor, flags, architecture, kernel):
    processor(flags, architecture)
    assert machine.choose_blas_kernel().kernel == kernel
    assert os.environ.get(CORETYPE) == kernel


def test_a_choice_of_the_user_stands(processor, monkeypatch):
    processor(AVX512)
    monkeypatch.setenv(CORETYPE, "Zen")
    assert machine.choose_blas_kernel().kernel == "Zen"
    assert "before nnlab started" in machine.choose_blas_kernel().reason


def test_it_is_decided_once(processor):
    processor(AVX2)
    first = machine.choose_blas_kernel()
    assert machine.choose_blas_kernel() is first
    assert first.reason == "the widest kernel that this processor can run"


def test_after_numpy_nothing_is_decided():
    assert sys.modules["numpy"] is np
    choice = machine.choose_blas_kernel()
    assert choice.kernel is None
    assert "NumPy was imported before nnlab" in choice.reason
    assert CORETYPE not in os.environ


def test_the_module_imports_nothing_slow():
    code = "import sys, nnlab.machine; print(sorted({'numpy', 'h5py', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_the_name_of_the_processor(processor):
    processor(AVX2)
    assert machine.processor_name() == "Some CPU @ 3 GHz"


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """Pretend that the process is in control groups with these files."""

    def pretend(own, files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "own")
        monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")

    return pretend


V1 = "4:memory:/job_7/step\n3:cpu,cpuacct:/job_7/step\n"


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000"}, 2),
        ("0::/\n", {"cpu.max": "max 100000"}, None),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "50000 100000"}, 1),
        ("0::/host/path\n", {"cpu.max": "400000 100000"}, 4),
        ("0::/\n", {}, None),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
        (V1, {"cpu/job_7/cpu.cfs_quota_us": "200000", "cpu/job_7/cpu.cfs_period_us": "100000"}, 2),
        (V1, {"cpu/job_7/cpu.cfs_quota_us": "-1", "cpu/job_7/cpu.cfs_period_us": "100000"}, None),
        ("", {}, None),
    ],
)
def test_the_quota_of_the_control_group_and_those_above(groups, own, files, quota):
    groups(own, files)
    assert machine.cgroup_quota() == quota


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/a\n", {"a/memory.max": "1000000", "memory.max": "max"}, 1_000_000),
        (V1, {"memory/job_7/memory.limit_in_bytes": "5000"}, 5000),
        (V1, {"memory/job_7/memory.limit_in_bytes": "9223372036854771712"}, None),
    ],
)
def test_the_memory_of_the_control_group(groups, own, files, limit):
    groups(own, files)
    assert machine.cgroup_memory() == limit


def test_where_the_number_of_threads_comes_from(groups, monkeypatch):
    groups("0::/\n", {})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    assert machine.thread_count() == 6
    groups("0::/\n", {"cpu.max": "200000 100000"})
    assert machine.choose_threads().count == 2
    assert "control group" in machine.choose_threads().source
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert machine.choose_threads() == machine.ThreadChoice(3, "OMP_NUM_THREADS")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert machine.choose_threads() == machine.ThreadChoice(4, "SLURM_CPUS_PER_TASK")
    assert machine.choose_threads(5) == machine.ThreadChoice(5, "--threads")


@pytest.mark.parametrize("value", ["", "0", "-2", "many", "2,2"])
def test_a_number_that_makes_no_sense_is_passed_over(monkeypatch, value):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert machine.choose_threads().source not in {"OMP_NUM_THREADS", "--threads"}


def test_numpy_imported_first_is_a_warning_where_its_own_choice_is_narrower(tmp_path):
    code = (
        "import numpy, json\nfrom nnlab.diagnosis import diagnose\n"
        "print(json.dumps(diagnose({}).record()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ
    )
    record = json.loads(done.stdout)
    kernel, widest = record["blas"]["kernel"], machine.widest_kernel()
    warned = any("NumPy was imported before nnlab" in text for text in record["warnings"])
    assert warned == bool(kernel and widest and kernel.lower() != widest.lower())


def test_little_space_and_little_memory_are_warnings(monkeypatch, tmp_path):
    usage = type("Usage", (), {"free": 5 * 2**20})
    monkeypatch.setattr("nnlab.diagnosis.shutil.disk_usage", lambda _: usage)
    monkeypatch.setattr(machine, "memory", lambda: (2**33, 2**33))
    monkeypatch.setattr(machine, "cgroup_memory", lambda: 100 * 2**20)
    found = diagnose({"data": tmp_path / "new"})
    assert any("has only 5 MiB free" in text for text in found.warnings)
    assert any("only 100 MiB of memory" in text for text in found.warnings)


def test_the_matrix_product_is_timed_and_checked():
    ticks = iter(range(1000))
    rate, error = product_rate(size=64, seconds=1.5, clock=lambda: float(next(ticks)))
    assert rate == 2 * 64**3 / 1e9  # each product takes one tick
    assert 0 < error < 1e-6
