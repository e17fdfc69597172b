"""When the batch system ends this job."""

import math
import time

import pytest

from nnlab import jobs
from nnlab.errors import InputError


@pytest.fixture(autouse=True)
def no_job(monkeypatch):
    for name in (jobs.JOB, jobs.END):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Put a squeue on the path that answers with a text, or fails."""

    def put(answer, code=0):
        program = tmp_path / "squeue"
        program.write_text(
            f"""#!/bin/sh
[ "$*" = "-h -j 4711 -o %L" ] || exit 9
echo '{answer}'
echo 'slurm_load_jobs error' >&2
exit {code}
"""
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.setenv(jobs.JOB, "4711")

    return put


FORMS = {"0:05": 5, "59:59": 3599, "1:00:00": 3600, "2-03:04:05": 183845, "UNLIMITED": math.inf}


@pytest.mark.parametrize(("text", "seconds"), FORMS.items())
def test_the_forms_of_slurms_time(text, seconds):
    assert jobs.parse_time_left(text) == seconds


@pytest.mark.parametrize("text", ["", "INVALID", "NOT_SET", "5", "1:2:3:4"])
def test_other_forms_are_refused(text):
    with pytest.raises(InputError, match="name the limit"):
        jobs.parse_time_left(text)


def test_the_environment_speaks_first(squeue, monkeypatch):
    squeue("0:01")
    monkeypatch.setenv(jobs.END, str(int(time.time()) + 100))
    assert jobs.says_when_it_ends()
    assert 90 < jobs.seconds_left() <= 100


def test_squeue_is_asked_where_the_environment_is_silent(squeue):
    squeue("1:30")
    assert jobs.seconds_left() == 90


def test_what_cannot_be_found_out_is_one_line(squeue, monkeypatch):
    with pytest.raises(InputError, match="this is no job"):
        jobs.seconds_left()
    squeue("", code=1)
    with pytest.raises(InputError, match=r"job 4711 ends \(slurm_load_jobs error\)"):
        jobs.seconds_left()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="squeue does not say"):
        jobs.seconds_left()
    monkeypatch.setenv(jobs.END, "soon")
    with pytest.raises(InputError, match="'soon', no time"):
        jobs.seconds_left()
