"""Fields in the name of a run file."""

from pathlib import Path

import pytest

from nnlab.errors import InputError
from nnlab.runs.naming import expand


@pytest.fixture(autouse=True)
def slurm(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "0123")
    for name in ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_JOB_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("run.h5", "run.h5"),
        ("{model}-{seed}.h5", "mlp-7.h5"),
        ("{seed:03}/{job}.h5", "007/0123.h5"),
        ("{job:06}.h5", "000123.h5"),
        ("{{seed}}.h5", "{seed}.h5"),
        ("100 % ü.h5", "100 % ü.h5"),
    ],
)
def test_fields_are_filled(template, name):
    assert expand(template, seed=7, model="mlp") == Path(name)


def test_tasks_of_an_array_get_files_of_their_own(monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    assert expand("run-{job}-{task}.h5") == Path("run-0123-4.h5")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "120")
    # The number that sbatch gave; alone it would be the same for all tasks.
    assert expand("run-{job}-{task}.h5") == Path("run-120-4.h5")
    assert expand("run-{job}.h5") == Path("run-0123.h5")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{task}.h5", "SLURM_ARRAY_TASK_ID is not set"),
        ("{lr}.h5", "there is no field {lr}; known: {job}, {task}, {seed}, {model}"),
        ("{}.h5", "there is no field {}"),
        ("{seed.__class__}", "there is no field {seed.__class__}"),
        ("{seed!r}.h5", "cannot|not a name"),
        ("{seed.h5", "not a name that can be filled"),
        ("{model:d}", "not a name that can be filled"),
        ("{model}", "{model} cannot be filled"),
    ],
)
def test_what_cannot_be_filled_is_refused_in_one_line(template, message):
    model = None if template == "{model}" else "mlp"
    with pytest.raises(InputError) as caught:
        expand(template, seed=7, model=model)
    assert any(part in str(caught.value) for part in message.split("|"))
    assert "\n" not in str(caught.value)
    assert template in str(caught.value)
