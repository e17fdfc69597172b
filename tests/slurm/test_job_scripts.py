"""The job scripts of examples/slurm, run as they stand: arrays, ranks, dependencies."""

import json
import random
import re
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

SCRIPTS = Path(__file__).parents[2] / "examples" / "slurm"
STUDY = """
data = "{data}"
sampler = "{sampler}"
trials = {trials}
checkpoint-every = 30
[fixed]
model = "mlp"
hidden = "32"
epochs = {epochs}
val = 300
[search]
lr = {{ low = 1e-4, high = 1e-1, log = true }}
dropout = {{ low = 0.0, high = 0.5 }}
"""


def weights(path):
    with h5py.File(path) as file:
        return {name: file["weights"][name]["W"][()] for name in file["weights"]
                if "W" in file["weights"][name]}  # fmt: skip


def same_weights(one, other):
    found, wanted = weights(one), weights(other)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_an_array_of_workers_that_are_killed_at_random_finishes_every_trial_once(
    slurm, sbatch, nnlab, fashion_file, tmp_path, request
):
    whole = request.config.getoption("--campaign")
    workers, trials, kills, epochs = (8, 40, 8, 40) if whole else (4, 8, 3, 30)
    rng = random.Random(request.config.getoption("--faults-seed"))
    study = tmp_path / "lr.toml"
    study.write_text(
        STUDY.format(data=fashion_file, sampler="random", trials=trials, epochs=epochs)
    )
    job = sbatch(f"--array=0-{workers - 1}", "--cpus-per-task=1", "-o", "worker-%a.log",
                 SCRIPTS / "sweep.sh", study)  # fmt: skip
    folder = study.with_suffix(".sweep")
    for kill in range(kills):
        wait_until(
            lambda least=kill + 1: slurm.ended(job) or len(list(folder.glob("*.h5"))) >= least
        )
        task = f"{job}_{rng.randrange(workers)}"
        subprocess.run(["scancel", "-s", "KILL", "--full", task], env=sbatch.environment,
                       stderr=subprocess.DEVNULL)  # fmt: skip
    slurm.wait(job, 400)
    # Workers that were killed do not come back by themselves; whoever is left did their work.
    if not nnlab("sweep", "status", study, "--json").json["finished"]:
        slurm.wait(sbatch("-o", "last.log", SCRIPTS / "sweep.sh", study), 300)
    status = nnlab("sweep", "status", study, "--json").json
    assert status["runs"]["done"] == trials
    assert [trial["trial"] for trial in status["trials"]] == list(range(trials))
    assert len(list(folder.glob("*.h5"))) == trials
    logs = "".join(log.read_text() for log in tmp_path.glob("*.log"))
    for number in range(trials):
        # One that was stopped before its training began is told of twice, too.
        assert len(re.findall(f"trial-{number:05}  .* done", logs)) <= 1
    best = nnlab("sweep", "best", study, "--top", 1, "--json").json["best"]
    again = tmp_path / "again.h5"
    repeated = nnlab("train", "--config", best["runs"][0]["run"], "-o", again, "--json").json
    assert repeated["val"]["accuracy"] == best["value"]
    # And everything is what a sweep without kills finds.
    quiet = tmp_path / "quiet.toml"
    quiet.write_text(study.read_text().replace(f"trials = {trials}", "trials = 2"))
    assert nnlab("sweep", "run", quiet, "--workers", 1, "--threads", 1).code == 0
    for run in sorted(quiet.with_suffix(".sweep").glob("*.h5")):
        same_weights(folder / run.name, run)


def test_ranks_of_two_nodes_train_one_run(slurm, sbatch, nnlab, fashion_file, tmp_path):
    pytest.importorskip("mpi4py")
    library = _library_of_mpich()
    # MPICH 5.0.2 sends unused memory along with the addresses that ranks exchange; about one start
    # in ten was too long for SLURM's pmi2 ("value not properly terminated") and hung, none of 30
    # with memory that glibc fills alike.
    job = sbatch("--ntasks=2", "--nodes=2", "-o", "mpi.log", SCRIPTS / "mpi.sh", fashion_file,
                 "-o", "run-{job}.h5", "--epochs", 3, "--seed", 5,
                 NNLAB_MPI="pmi2", LD_LIBRARY_PATH=library, MALLOC_PERTURB_="255")  # fmt: skip
    slurm.wait(job, 120)
    log = (tmp_path / "mpi.log").read_text()
    assert slurm.state(job) == "COMPLETED", log
    assert sum(line.startswith("epoch ") for line in log.splitlines()) == 3
    run = tmp_path / f"run-{job}.h5"
    with h5py.File(run) as file:
        assert json.loads(file["config"][()])["ranks"] == 2


def test_ranks_of_a_launcher_that_does_not_fit_are_refused(slurm, sbatch, fashion_file, tmp_path):
    pytest.importorskip("mpi4py")
    job = sbatch("--ntasks=2", "-o", "mpi.log", SCRIPTS / "mpi.sh", fashion_file, "-o", "run.h5",
                 NNLAB_MPI="none", LD_LIBRARY_PATH=_library_of_mpich())  # fmt: skip
    slurm.wait(job, 120)
    log = (tmp_path / "mpi.log").read_text()
    assert "2 processes were started (SLURM_NTASKS), but MPI's library sees one" in log
    assert not (tmp_path / "run.h5").exists()


def _library_of_mpich():
    import importlib.metadata

    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("there is no library of MPICH: pip install mpich")
    return str(next(file.locate() for file in files if file.name == "libmpi.so.12").parent)


def test_a_signal_before_the_limit_puts_the_job_back_and_scancel_does_not(
    slurm, sbatch, fashion_file, tmp_path
):
    job = sbatch("--cpus-per-task=1", "-o", "train.log", SCRIPTS / "train.sh", fashion_file,
                 "-o", "run.h5", "--epochs", 100000, "--checkpoint-every", "1s")  # fmt: skip
    run = tmp_path / "run.h5"
    wait_until(run.exists)
    subprocess.run(["scancel", "-s", "USR1", "--batch", job], env=sbatch.environment, check=True)
    wait_until(lambda: slurm.restarts(job) == 1, 60)
    wait_until(lambda: "done before" in (tmp_path / "train.log").read_text(), 60)
    assert "stopped by SIGUSR1" in (tmp_path / "train.log").read_text()
    subprocess.run(["scancel", job], env=sbatch.environment, check=True)
    slurm.wait(job, 60)
    assert slurm.state(job) == "CANCELLED"
    assert (tmp_path / "train.log").read_text().count("stopped by SIG") == 2


def test_a_pipeline_ends_with_a_report(slurm, sbatch, pictures_folder, tmp_path):
    done = subprocess.run(
        ["bash", SCRIPTS / "pipeline.sh", pictures_folder, "experiment", "--epochs", "2"],
        capture_output=True, text=True, cwd=tmp_path,
        env={**sbatch.environment, "NNLAB_PREPARE": "--size 12 --test 0.2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    slurm.wait(done.stdout.strip(), 300)
    page = tmp_path / "experiment" / "report.html"
    logs = "".join(log.read_text() for log in (tmp_path / "experiment").glob("*.log"))
    assert page.exists(), logs
    assert all(f"run-{seed}.h5" in page.read_text() for seed in range(3))
