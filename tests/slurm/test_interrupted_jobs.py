"""Jobs of examples/slurm that are preempted, requeued or out of time: they end as undisturbed ones.

While a job waits for what will disturb it, its training is held still. It could not be done before,
and the machine is free for others.
"""

import subprocess
from pathlib import Path

import pytest
from held import (
    AMPLE,
    hold,
    let_go_when_told_to_stop,
    trainings,
    wait_until,
)
from same_runs import assert_same

from nnlab.runs import open_run

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm"), pytest.mark.timeout(1500)]

SCRIPTS = Path(__file__).parents[2] / "examples" / "slurm"
SETTINGS = ("--model", "mlp", "--hidden", 32, "--dropout", 0.2, "--augment", "shift=2",
            "--epochs", 600, "--threads", 1, "--checkpoint-every", "1s")  # fmt: skip
# Asks for a signal long before the one minute that is the shortest limit.
OUT_OF_TIME = ("--time=1", "--signal=B:USR1@20")
STUDY = """
data = "{data}"
sampler = "{sampler}"
trials = 8
checkpoint-every = 30
fixed = {{ model = "mlp", hidden = "32", epochs = 60, val = 300 }}
search.lr = {{ low = 1e-4, high = 1e-1, log = true }}
"""


@pytest.fixture(scope="module")
def undisturbed(nnlab, fashion_file, tmp_path_factory):
    """The run file of a training that nobody disturbed."""
    path = tmp_path_factory.mktemp("undisturbed") / "run.h5"
    assert nnlab("train", fashion_file, "-o", path, *SETTINGS, timeout=AMPLE).code == 0
    return path


def hold_in_the_midst(job, run, log):
    """Hold a job's training after it has trained on for some epochs in this attempt."""
    before = log.read_text().count("\nepoch") if log.exists() else 0
    wait_until(lambda: log.exists() and log.read_text().count("\nepoch") > before + 1)
    wait_until(run.exists)
    held = hold(trainings(run))
    assert len(held) == 1, log.read_text()
    assert open_run(run).attributes["progress"]["epoch"] < 600
    return held


def test_a_run_that_is_preempted_three_times_and_requeued_ends_like_an_undisturbed_one(
    slurm, sbatch, fashion_file, tmp_path, undisturbed
):
    run, log = tmp_path / "run.h5", tmp_path / "train.log"
    job = sbatch("--time=60", "--cpus-per-task=1", "--exclusive", "--nodelist=n1", "-o", log,
                 SCRIPTS / "train.sh", fashion_file, "-o", run, *SETTINGS)  # fmt: skip
    for restarts in range(1, 5):
        held = hold_in_the_midst(job, run, log)
        if restarts < 4:
            sbatch("-p", "urgent", "--exclusive", "--nodelist=n1", "--wrap", "sleep 1")
        else:
            subprocess.run(["scontrol", "requeue", job], env=sbatch.environment, check=True)
        let_go_when_told_to_stop(held)
        wait_until(lambda count=restarts: slurm.restarts(job) >= count or slurm.ended(job))
        assert slurm.restarts(job) == restarts, log.read_text()
    slurm.wait(job, AMPLE)
    assert slurm.state(job) == "COMPLETED", log.read_text()
    assert slurm.restarts(job) == 4
    assert log.read_text().count("stopped by SIGTERM") == 4
    assert_same(run, undisturbed)


def assert_put_back_and_undisturbed(slurm, job, run, log, undisturbed):
    let_go_when_told_to_stop(hold_in_the_midst(job, run, log))
    wait_until(lambda: slurm.restarts(job) == 1 or slurm.ended(job))
    slurm.wait(job, AMPLE)
    assert slurm.state(job) == "COMPLETED", log.read_text()
    assert slurm.restarts(job) >= 1
    assert "stopped by SIGUSR1" in log.read_text()
    assert_same(run, undisturbed)


def test_a_run_that_is_out_of_time_is_put_back_and_ends_like_an_undisturbed_one(
    slurm, sbatch, fashion_file, tmp_path, undisturbed
):
    run, log = tmp_path / "run.h5", tmp_path / "train.log"
    job = sbatch(*OUT_OF_TIME, "--cpus-per-task=1", "-o", log,
                 SCRIPTS / "train.sh", fashion_file, "-o", run, *SETTINGS)  # fmt: skip
    assert_put_back_and_undisturbed(slurm, job, run, log, undisturbed)


def test_where_the_site_puts_75_back_one_line_is_enough(
    another_slurm, sbatch, fashion_file, tmp_path, undisturbed
):
    slurm = another_slurm("RequeueExit=75")
    run, log, script = (tmp_path / name for name in ("run.h5", "train.log", "one-line.sh"))
    words = " ".join(map(str, SETTINGS))
    script.write_text(f"#!/bin/bash\nexec nnlab train {fashion_file} -o {run} {words} --resume\n")
    job = sbatch(*OUT_OF_TIME, "--requeue", "--open-mode=append", "-o", log, script,
                 SLURM_CONF=slurm.environment["SLURM_CONF"])  # fmt: skip
    assert_put_back_and_undisturbed(slurm, job, run, log, undisturbed)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_workers_that_are_all_preempted_at_once_finish_every_trial_once(
    slurm, sbatch, nnlab, fashion_file, tmp_path, sampler
):
    study = tmp_path / "lr.toml"
    study.write_text(STUDY.format(data=fashion_file, sampler=sampler))
    folder = study.with_suffix(".sweep")
    job = sbatch("--array=0-3", "--cpus-per-task=1", "-o", "worker-%a.log",
                 SCRIPTS / "sweep.sh", study)  # fmt: skip
    held = set()

    def all_hold():
        held.update(hold(set(trainings(folder)) - held))
        return len(held) == 4

    wait_until(lambda: len(list(folder.glob("*.h5"))) > 0)
    wait_until(all_hold)
    urgent = sbatch("-p", "urgent", "--exclusive", "--nodes=2", "--wrap", "srun sleep 1")
    let_go_when_told_to_stop(held)
    slurm.wait(urgent, AMPLE)
    slurm.wait(job, AMPLE)
    logs = "".join(log.read_text() for log in sorted(tmp_path.glob("*.log")))
    assert slurm.state(job) == "COMPLETED", logs
    assert [int(record["Restarts"]) for record in slurm.show(job)] == [1] * 4
    status = nnlab("sweep", "status", study, "--json").json
    assert status["runs"]["done"] == 8, logs
    assert [trial["trial"] for trial in status["trials"]] == list(range(8))
    assert logs.count("  done, val_accuracy") == 8, logs
    assert not list(folder.glob("*.claim"))
