"""`nnlab doctor` on this machine."""

import os
import platform

import h5py
import numpy as np
import pytest


@pytest.fixture
def free(monkeypatch):
    """No variable that decides about threads or kernels."""
    for name in ("OPENBLAS_CORETYPE", "SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_facts_are_those_of_this_machine(nnlab, free, tmp_path):
    done = nnlab("doctor", "--json", "--root", tmp_path / "new" / "root", cwd=tmp_path)
    assert done.code == 0
    facts = done.json
    assert facts["software"]["python"] == platform.python_version()
    assert facts["software"]["numpy"] == np.__version__
    assert facts["software"]["hdf5"] == h5py.version.hdf5_version
    assert facts["threads"]["affinity"] == len(os.sched_getaffinity(0))
    assert facts["threads"]["count"] >= 1
    assert facts["memory"]["total"] >= facts["memory"]["available"] > 0
    data = facts["folders"]["data"]
    assert (data["path"], data["exists"], data["writable"]) == (
        str(tmp_path / "new" / "root"), False, True,
    )  # fmt: skip
    assert not (tmp_path / "new").exists()  # it looks and makes nothing
    assert set(facts["optional"]) == {"optuna", "mpi4py", "onnx"}
    for part in facts["optional"].values():
        assert (part["version"] is None) == ("pip install" in (part["install"] or ""))


def test_the_chosen_kernel_is_the_one_in_force(nnlab, free):
    blas = nnlab("doctor", "--json").json["blas"]
    if blas["library"] != "openblas" or blas["chosen_kernel"] is None:
        pytest.skip("NumPy has another BLAS, or the processor is left to OpenBLAS")
    assert blas["kernel"] == blas["chosen_kernel"]
    assert blas["reason"] == "the widest kernel that this processor can run"


def test_a_users_choice_of_kernel_is_kept(nnlab, free):
    done = nnlab("doctor", "--json", env={"OPENBLAS_CORETYPE": "Haswell"})
    blas = done.json["blas"]
    assert (blas["chosen_kernel"], blas["reason"]) == (
        "Haswell", "OPENBLAS_CORETYPE was set before nnlab started",
    )  # fmt: skip
    assert done.json["warnings"] == []


def test_more_threads_than_processors_is_a_warning(nnlab, free):
    done = nnlab("doctor", env={"SLURM_CPUS_PER_TASK": "999"})
    assert done.code == 0
    assert "warning: SLURM_CPUS_PER_TASK asks for 999 threads" in done.stderr
    assert "SLURM_CPUS_PER_TASK" in done.stdout  # the source of the number


def test_a_folder_that_cannot_be_written_is_a_warning(nnlab, free):
    done = nnlab("doctor", "--json", "--root", "/proc/self/nothing")
    assert done.json["folders"]["data"]["path"] == "/proc/self/nothing"
    assert any("data folder" in warning for warning in done.json["warnings"])


def test_the_measured_product_is_right_to_rounding(nnlab, free):
    product = nnlab("doctor", "--json", "--measure").json["matrix_product"]
    assert product["gflops"] > 1
    assert 0 < product["error"] < 1e-6


def test_the_table_shows_every_section(nnlab, free):
    done = nnlab("doctor")
    for section in ("software", "processor", "blas", "threads", "memory", "folders", "optional"):
        assert f"│ {section}" in done.stdout
