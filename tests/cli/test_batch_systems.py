"""The job scripts that the pages on clusters give in short, run with a stand-in nnlab."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
# What stands before a script, and on which page.
PLACES = {
    "PBS": ("**PBS", "cluster.md"),
    "Grid Engine": ("**Grid Engine", "cluster.md"),
    "SLURM": ("has to survive the signal", "reliability.md"),
}
# Ends with the code that it is told to, after a second in which a signal may come.
NNLAB = """#!/bin/bash
echo "$@" > asked
trap 'echo saved > saved; exit 75' USR1 USR2 TERM
echo ready > ready
sleep 0.2
while [ "$NNLAB_CODE" = wait ]; do sleep 0.1; done
exit "$NNLAB_CODE"
"""


@pytest.fixture
def job(tmp_path):
    """Start the script that follows a batch system's name on the page, in its environment."""

    def start(system, code, **environment):
        before, page = PLACES[system]
        text = (DOCS / page).read_text().split(before)[1].split("```sh\n")[1].split("```")[0]
        (tmp_path / "job.sh").write_text(text)
        submit = '#!/bin/sh\necho "$@" > submitted\n'
        for name, script in (("nnlab", NNLAB), ("qsub", submit), ("scontrol", submit)):
            (tmp_path / name).write_text(script)
            (tmp_path / name).chmod(0o755)
        return subprocess.Popen(
            ["bash", "job.sh"], cwd=tmp_path, start_new_session=True,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "NNLAB_CODE": str(code),
                 **environment},
        )  # fmt: skip

    return start


@pytest.mark.parametrize(("code", "again"), [(75, True), (0, False), (2, False)])
def test_a_pbs_job_that_was_stopped_submits_itself_anew(job, tmp_path, code, again):
    # The code of a run that is done is that of the job: others may wait for its success.
    assert job("PBS", code, PBS_O_WORKDIR=str(tmp_path)).wait(timeout=30) == code
    assert "--time-limit" in (tmp_path / "asked").read_text()
    assert (tmp_path / "submitted").exists() == again


@pytest.mark.parametrize(("code", "ends"), [(75, 99), (0, 0), (2, 2)])
def test_a_grid_engine_job_that_was_stopped_asks_to_be_put_back(job, tmp_path, code, ends):
    assert job("Grid Engine", code, NSLOTS="4").wait(timeout=30) == ends
    assert "--threads 4" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_grid_engines_notice_reaches_nnlab_and_the_script_lives_to_answer(job, tmp_path, number):
    process = job("Grid Engine", "wait", NSLOTS="4")
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    os.killpg(process.pid, number)  # as the engine does: to the whole job
    assert process.wait(timeout=30) == 99
    assert (tmp_path / "saved").exists()


@pytest.mark.parametrize(("code", "again"), [(75, True), (0, False), (2, False)])
def test_a_slurm_job_that_was_stopped_puts_itself_back(job, tmp_path, code, again):
    assert job("SLURM", code, SLURM_JOB_ID="4711").wait(timeout=30) == code
    assert "--resume" in (tmp_path / "asked").read_text()
    assert (tmp_path / "submitted").exists() == again


def test_a_slurm_job_that_was_cancelled_saves_and_stays_cancelled(job, tmp_path):
    process = job("SLURM", "wait", SLURM_JOB_ID="4711")
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=30) == 75
    assert (tmp_path / "saved").exists()
    assert not (tmp_path / "submitted").exists()
