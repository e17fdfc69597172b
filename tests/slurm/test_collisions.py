"""Jobs that collide on a name: refused with one line each, and nothing is overwritten."""

import json
from pathlib import Path

import pytest
from held import AMPLE, hold, let_go, trainings, wait_until
from same_runs import assert_same

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

SCRIPTS = Path(__file__).parents[2] / "examples" / "slurm"
SETTINGS = ("--model", "mlp", "--hidden", 32, "--epochs", 200, "--threads", 1,
            "--checkpoint-every", 20)  # fmt: skip
STUDY = """
data = "{data}"
folder = "shared.sweep"
sampler = "grid"
checkpoint-every = 30
fixed = {{ model = "mlp", hidden = "32", epochs = {epochs}, val = 300 }}
search.lr = [1e-2, 1e-3, 1e-4]
"""


def lines(tmp_path, pattern):
    """What the tasks of a job have said: a list of lines each."""
    return [log.read_text().splitlines() for log in sorted(tmp_path.glob(pattern))]


def test_two_arrays_of_one_name_train_one_run_a_task(slurm, sbatch, nnlab, fashion_file, tmp_path):
    def submit(seed):
        return sbatch("--array=0-1", "--cpus-per-task=1", "-o", f"%A-seed{seed}-%a.log",
                      SCRIPTS / "train.sh", fashion_file, "-o", tmp_path / "run-{task}.h5",
                      "--seed", seed, *SETTINGS)  # fmt: skip

    runs = [tmp_path / f"run-{task}.h5" for task in range(2)]
    first = submit(1)
    wait_until(lambda: all(run.exists() for run in runs))
    held = hold(trainings(tmp_path))
    assert len(held) == 2
    before = [run.read_bytes() for run in runs]
    second = submit(2)
    slurm.wait(second, AMPLE)
    assert [record["ExitCode"] for record in slurm.show(second)] == ["2:0"] * 2
    for run, said in zip(runs, lines(tmp_path, f"{second}-*.log"), strict=True):
        assert len(said) == 1
        assert f"{run} is being written by train" in said[0]
        assert "choose another -o" in said[0]
    assert [run.read_bytes() for run in runs] == before
    let_go(held)
    slurm.wait(first, AMPLE)
    assert slurm.state(first) == "COMPLETED", lines(tmp_path, f"{first}-*.log")
    undisturbed = tmp_path / "undisturbed.h5"
    assert nnlab("train", fashion_file, "-o", undisturbed, "--seed", 1, *SETTINGS).code == 0
    for run in runs:
        assert_same(run, undisturbed)

    # When the first has ended, the second does not go on with what has another seed.
    before = [run.read_bytes() for run in runs]
    third = submit(2)
    slurm.wait(third, AMPLE)
    assert [record["ExitCode"] for record in slurm.show(third)] == ["2:0"] * 2
    for said in lines(tmp_path, f"{third}-*.log"):
        assert len(said) == 1
        assert "seed" in said[0]
    assert [run.read_bytes() for run in runs] == before


def test_two_arrays_whose_studies_share_a_folder_work_on_one_of_them(
    slurm, sbatch, nnlab, fashion_file, tmp_path
):
    jobs = {}
    for name, epochs in (("one", 30), ("two", 40)):
        study = tmp_path / f"{name}.toml"
        study.write_text(STUDY.format(data=fashion_file, epochs=epochs))
        jobs[name] = sbatch("--array=0-1", "--cpus-per-task=1", "-o", f"{name}-%a.log",
                            SCRIPTS / "sweep.sh", study)  # fmt: skip
    for job in jobs.values():
        slurm.wait(job, AMPLE)
    states = {slurm.state(job): name for name, job in jobs.items()}
    assert states.keys() == {"COMPLETED", "FAILED"}, lines(tmp_path, "*.log")
    won, lost = states["COMPLETED"], states["FAILED"]
    assert [record["ExitCode"] for record in slurm.show(jobs[lost])] == ["2:0"] * 2
    for said in lines(tmp_path, f"{lost}-*.log"):
        assert len(said) == 1
        assert "holds a study with another definition: fixed.epochs was" in said[0]
    status = nnlab("sweep", "status", tmp_path / f"{won}.toml", "--json").json
    assert status["runs"]["done"] == 3
    definition = json.loads((tmp_path / "shared.sweep" / "study.json").read_text())
    assert {run["epochs"] for trial in status["trials"] for run in trial["runs"]} == {
        definition["study"]["fixed"]["epochs"]
    }


def test_two_jobs_of_one_name_train_one_run(slurm, sbatch, fashion_file, tmp_path):
    run = tmp_path / "run.h5"
    jobs = [
        sbatch("--cpus-per-task=1", "-o", f"job{seed}.log", SCRIPTS / "train.sh", fashion_file,
               "-o", run, "--seed", seed, *SETTINGS)
        for seed in range(4)
    ]  # fmt: skip
    for job in jobs:
        slurm.wait(job, AMPLE)
    ends = [slurm.show(job)[0]["ExitCode"] for job in jobs]
    assert sorted(ends) == ["0:0", "2:0", "2:0", "2:0"], lines(tmp_path, "*.log")
    for end, said in zip(ends, lines(tmp_path, "job*.log"), strict=True):
        if end == "2:0":
            assert len(said) == 1, said
            assert "is being written by train" in said[0] or "seed" in said[0]
    assert sorted(item.name for item in tmp_path.glob("run*")) == ["run.h5"]
