"""Training under SLURM: each way to launch it, and each way in which a job ends early.

A job trains, is disturbed, and goes on in another attempt; the run that it ends with is the one
that nobody disturbed, bit for bit.
"""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from same_runs import assert_same

from nnlab.runs import open_run

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

EPOCHS = 150
NNLAB = (
    "{python} -m nnlab.cli train '{data}' -o '{run}' --model mlp --hidden 32 --dropout 0.2 "
    "--augment shift=2 --schedule cosine --batch-size 40 --epochs {epochs} "
    "--checkpoint-every {every} --resume"
)
# The ways in which a batch script may start a command.
FORMS = {
    "plain": "{nnlab}",
    "exec": "exec {nnlab}",
    "srun": "srun --ntasks=1 {nnlab}",
    "trap": "trap : TERM USR1\n{nnlab}\ncode=$?\necho answered $code\nexit $code",
    "requeue": """{nnlab} & child=$!
trap 'kill -TERM $child' TERM USR1
while kill -0 $child 2>/dev/null; do wait $child; done
wait $child; code=$?
[ $code = 75 ] && scontrol requeue "$SLURM_JOB_ID"
exit $code""",
}


class Job:
    """A training as a job: its `run` file, and its `number` once it is submitted."""

    def __init__(self, cluster, form, data, folder, every=0, run="run.h5", options=()):
        self.cluster, self.run, self.options = cluster, folder / "runs" / run, options
        self.run.parent.mkdir()
        self.log, self.script = folder / "log", folder / "job.sh"
        nnlab = NNLAB.format(
            python=sys.executable, data=data, run=self.run, epochs=EPOCHS, every=every
        )
        self.script.write_text(f"#!/bin/bash\n{FORMS[form].format(nnlab=nnlab)}\n")
        self.submit()

    def submit(self):
        """Submit it, for the first time or again."""
        environment = {**self.cluster.environment, "OMP_NUM_THREADS": "1", "NNLAB_COMPILED": "0"}
        words = ["--parsable", "--requeue", "--time=5", "--open-mode=append"]
        done = subprocess.run(
            ["sbatch", *words, f"--output={self.log}", *self.options, self.script],
            capture_output=True, text=True, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.number = done.stdout.strip()

    def command(self, *words):
        """Run one of SLURM's commands on it."""
        subprocess.run([*words, self.number], check=True, env=self.cluster.environment)

    def output(self):
        """What all attempts have written."""
        return self.log.read_text() if self.log.exists() else ""

    def wait_for(self, pattern, seconds=120):
        """Wait until it has written something that matches."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.output(), re.MULTILINE):
            assert time.monotonic() < deadline, f"{pattern}: {self.show()}: {self.output()}"
            time.sleep(0.05)

    def until_it_trains(self):
        """Wait until it has trained for some epochs."""
        self.wait_for(r"^epoch +[2-9]/")

    def until_saved(self, seconds=30):
        """Wait until there is a run file; srun may have gone too early to tell of it."""
        deadline = time.monotonic() + seconds
        while not self.run.exists():
            assert time.monotonic() < deadline, f"nothing saved: {self.show()}: {self.output()}"
            time.sleep(0.05)

    def show(self):
        """What SLURM knows of it."""
        return self.cluster.show(self.number)[0]

    def ends_well(self, restarts=0):
        """Fail unless it ends with exit code 0, after so many restarts."""
        self.cluster.wait(self.number, 120)
        assert self.show()["JobState"] == "COMPLETED", f"{self.show()}: {self.output()}"
        assert self.cluster.restarts(self.number) == restarts

    def epochs(self):
        """How many epochs its checkpoint holds."""
        return int(open_run(self.run).attributes["progress"]["epoch"])


@pytest.fixture(scope="module")
def undisturbed(nnlab, fashion_file, tmp_path_factory):
    """The run file of a training that nobody disturbed."""
    path = tmp_path_factory.mktemp("undisturbed") / "run.h5"
    words = NNLAB.format(python="", data=fashion_file, run=path, epochs=EPOCHS, every=0)
    done = nnlab(*words.replace("'", "").split()[2:], env={"NNLAB_COMPILED": "0"})
    assert done.code == 0, done.stderr
    return path


@pytest.fixture
def alike(undisturbed):
    """Fail unless a job has left the run of the undisturbed training, and nothing else."""

    def check(job):
        assert_same(job.run, undisturbed)
        assert os.listdir(job.run.parent) == [job.run.name]

    return check


@pytest.fixture
def whole(request):
    """Whether the tests that take minutes were asked for."""
    return request.config.getoption("--campaign")


@pytest.mark.parametrize("form", ["exec", "srun", "trap"])
def test_a_cancelled_job_has_saved_a_checkpoint(slurm, fashion_file, tmp_path, alike, form):
    job = Job(slurm, form, fashion_file, tmp_path)
    job.until_it_trains()
    job.command("scancel", *(["--full"] if form == "trap" else []))
    job.until_saved()
    slurm.wait(job.number, 60)
    assert 2 <= job.epochs() < EPOCHS
    job.submit()
    job.ends_well()
    alike(job)


def test_a_plain_line_has_no_more_than_its_last_checkpoint(slurm, fashion_file, tmp_path, alike):
    # The shell dies of SIGTERM, and SLURM kills the rest of the job at once.
    job = Job(slurm, "plain", fashion_file, tmp_path, every=30)
    job.until_it_trains()
    job.command("scancel")
    slurm.wait(job.number, 60)
    assert 1 <= job.epochs() < EPOCHS
    job.submit()
    job.ends_well()
    alike(job)


def test_a_job_that_is_put_back_into_the_queue_goes_on(slurm, fashion_file, tmp_path, alike):
    job = Job(slurm, "exec", fashion_file, tmp_path)
    job.until_it_trains()
    job.command("scontrol", "requeue")
    job.wait_for("stopped by SIGTERM")
    job.ends_well(restarts=1)
    alike(job)


def test_a_script_that_forwards_signals_requeues_itself(slurm, fashion_file, tmp_path, alike):
    # What --signal=B:USR1@60 sends a minute before the end, sent by hand.
    job = Job(slurm, "requeue", fashion_file, tmp_path)
    job.until_it_trains()
    job.command("scancel", "--batch", "--signal=USR1")
    job.wait_for("stopped by SIGTERM")
    job.ends_well(restarts=1)
    alike(job)


def test_exit_code_75_requeues_a_job_where_the_site_says_so(
    another_slurm, fashion_file, tmp_path, alike
):
    job = Job(another_slurm("RequeueExit=75"), "exec", fashion_file, tmp_path)
    job.until_it_trains()
    job.command("scancel", "--batch", "--signal=USR1")
    job.wait_for("stopped by SIGUSR1")
    job.ends_well(restarts=1)
    alike(job)


def test_a_signal_to_the_steps_reaches_srun(slurm, fashion_file, tmp_path, alike):
    # What --signal=USR1@60 sends, without B.
    job = Job(slurm, "srun", fashion_file, tmp_path)
    job.until_it_trains()
    job.command("scancel", "--signal=USR1")
    job.until_saved()
    slurm.wait(job.number, 60)
    assert job.show()["ExitCode"] == "75:0"
    job.submit()
    job.ends_well()
    alike(job)


def test_an_array_trains_one_run_a_task(slurm, fashion_file, tmp_path, undisturbed):
    job = Job(slurm, "exec", fashion_file, tmp_path, run="run-{task}.h5", options=["--array=0-3"])
    job.until_it_trains()
    job.command("scancel")
    slurm.wait(job.number, 60)
    time.sleep(2)  # until the last of them has saved
    job.submit()
    slurm.wait(job.number, 180)
    assert slurm.state(job.number) == "COMPLETED"
    assert sorted(os.listdir(job.run.parent)) == [f"run-{task}.h5" for task in range(4)]
    for path in job.run.parent.iterdir():
        assert_same(path, undisturbed)


def process_of(job):
    """The number of the process that trains."""
    found = subprocess.run(
        ["pgrep", "-f", f"nnlab.cli train .*{job.run}"], capture_output=True, text=True, check=True
    )
    return int(found.stdout.split()[-1])


def test_the_end_of_its_time_stops_a_job_with_a_checkpoint(
    slurm, fashion_file, tmp_path, whole, alike
):
    if not whole:
        pytest.skip("limits of time are whole minutes: add --campaign")
    job = Job(slurm, "srun", fashion_file, tmp_path, options=["--time=1"])
    job.until_it_trains()
    process = process_of(job)
    os.kill(process, signal.SIGSTOP)  # else it would be done before
    time.sleep(45)
    # srun sends SIGTERM twice, and SIGCONT, which lets it go on and stop.
    job.wait_for("stopped by SIGTERM", seconds=120)
    slurm.wait(job.number, 60)
    job.submit()
    job.ends_well()
    alike(job)


def test_a_lost_node_leaves_the_run_to_the_next_attempt(
    another_slurm, fashion_file, tmp_path, whole, alike
):
    if not whole:
        pytest.skip("a node counts as lost after half a minute: add --campaign")
    cluster = another_slurm()
    job = Job(cluster, "exec", fashion_file, tmp_path, every=5)
    job.until_it_trains()
    first = process_of(job)
    os.kill(first, signal.SIGSTOP)  # so that it is still there when the other begins
    cluster.lose(job.show()["NodeList"])
    job.wait_for("over from", seconds=150)
    os.kill(first, signal.SIGCONT)
    job.wait_for("no longer this process's to write")
    job.ends_well(restarts=1)
    alike(job)
