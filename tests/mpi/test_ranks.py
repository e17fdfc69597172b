"""Data-parallel training: the same as one process, and an end in which nobody is left waiting."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from nnlab.common_memory import LARGE, common_memory
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.ranks import Alone

pytestmark = pytest.mark.mpi
STEPS_PROGRAM = Path(__file__).with_name("train_steps.py")


def trained(path):
    with np.load(path) as found:
        return dict(found)


@pytest.fixture
def train_steps(run_ranks, tmp_path, mpi_environment):
    """Train 200 steps with so many ranks, 0 for one ordinary process."""

    def run(ranks, settings, *options, name=None, steps=200):
        out = tmp_path / f"{name or ranks}.npz"
        arguments = (out, steps, json.dumps(settings), *options)
        if ranks:
            code, _, err = run_ranks(ranks, *arguments, "--mpi", program=(str(STEPS_PROGRAM),))
            assert code == 0, err
        else:
            subprocess.run(
                [sys.executable, STEPS_PROGRAM, *map(str, arguments)], check=True,
                env=mpi_environment,
            )  # fmt: skip
        return trained(out)

    return run


def assert_close(found, expected):
    """All of it is the same to rounding: weights, the optimizer's state, histories."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        # A bias before a batch normalization is nothing but rounding noise.
        np.testing.assert_allclose(found[name], values, rtol=1e-10, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_two_ranks_train_what_one_process_trains(train_steps, optimizer):
    settings = {"optimizer": optimizer, "l2": 1e-3}
    assert_close(train_steps(2, settings), train_steps(0, settings))


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_ranks_of_several_machines_train_the_same(train_steps, optimizer):
    settings = {"optimizer": optimizer, "l2": 1e-3, "clip": 0.5, "ema": 0.9}
    assert_close(train_steps(2, settings, "--apart"), train_steps(0, settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_norm": True},
        # The last batch of an epoch has 2 images for 3 ranks, and 1 for a batch of 11.
        {"batch_norm": True, "batch_size": 53},
        {"batch_size": 11, "batch_norm": True},
        {"class_weight": "balanced", "label_smoothing": 0.1, "clip": 0.5, "ema": 0.9},
        {"schedule": "plateau", "early_stopping": 500, "layer_norm": True},
        {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.1, "ema": 0.9, "l1": 1e-4},
        {"max_norm": 1.0, "ema": 0.9},
    ],
    ids="-".join,
)
def test_three_ranks_agree_where_rows_do_not_divide(train_steps, settings):
    settings = {"optimizer": "momentum", "lr": 0.05, **settings}
    assert_close(train_steps(3, settings), train_steps(0, settings))


def test_the_same_number_of_ranks_gives_the_same_bits(train_steps):
    settings = {"dropout": 0.3, "augment": "shift=1", "batch_norm": True, "dtype": "float32"}
    one, other = train_steps(2, settings), train_steps(2, settings, name="again")
    for name, values in one.items():
        np.testing.assert_array_equal(other[name], values)
    # One rank under MPI is an ordinary training.
    alone, plain = train_steps(1, settings), train_steps(0, settings)
    for name, values in alone.items():
        np.testing.assert_array_equal(plain[name], values)


LONG = ("--model", "mlp", "--hidden", "32", "--batch-norm", "--batch-size", 50, "--epochs", 5000,
        "--checkpoint-every", 60)  # fmt: skip


def ranks_below(pid):
    """The processes of the ranks that an mpiexec has started."""
    found, todo = [], [pid]
    while todo:
        for item in Path(f"/proc/{todo.pop()}/task").iterdir():
            for child in map(int, (item / "children").read_text().split()):
                todo.append(child)
                if b"nnlab.cli" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(child)
    return found


def test_one_rank_writes_and_speaks(run_ranks, nnlab, fashion_file, tmp_path):
    run = tmp_path / "run.h5"
    code, out, err = run_ranks(
        2, "train", fashion_file, "-o", run, "--mpi", "--epochs", 3, "--json"
    )
    assert code == 0, err
    record = json.loads(out)
    assert record["epochs"] == 3
    assert sum(line.startswith("epoch ") for line in err.splitlines()) == 3
    assert [item.name for item in tmp_path.iterdir()] == ["run.h5"]
    alone = tmp_path / "alone.h5"
    one = nnlab("train", fashion_file, "-o", alone, "--epochs", 3, "--json").json
    assert one["val"]["accuracy"] == pytest.approx(record["val"]["accuracy"], abs=0.02)
    assert nnlab("eval", run, "--json").json["n"] == 500


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_one_rank_stops_all_and_another_number_of_ranks_goes_on(
    start_ranks, run_ranks, fashion_file, tmp_path, number
):
    run = tmp_path / "run.h5"
    process = start_ranks(2, "train", fashion_file, "-o", run, "--mpi", *LONG, "--json")
    while not run.exists():
        time.sleep(0.02)
        assert process.poll() is None, process.communicate()
    os.kill(max(ranks_below(process.pid)), number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 75, err
    assert json.loads(out)["error"]["code"] == 75
    assert err.count("stopped by") == 1
    arguments = [*LONG, "--resume", "--json"]
    arguments[arguments.index(5000)] = 8
    code, out, err = run_ranks(3, "train", fashion_file, "-o", run, "--mpi", *arguments)
    assert code == 0, err
    assert json.loads(out)["epochs"] >= 8


def test_a_lost_rank_ends_all_within_seconds(start_ranks, run_ranks, fashion_file, tmp_path):
    run = tmp_path / "run.h5"
    process = start_ranks(3, "train", fashion_file, "-o", run, "--mpi", *LONG)
    while not run.exists():
        time.sleep(0.02)
        assert process.poll() is None, process.communicate()
    ranks = ranks_below(process.pid)
    assert len(ranks) == 3
    os.kill(ranks[-1], signal.SIGKILL)
    said = "".join(process.communicate(timeout=20))
    assert process.returncode != 0
    assert "KILLED BY SIGNAL: 9" in said or "Killed" in said
    code, _, err = run_ranks(
        2, "train", fashion_file, "-o", run, "--mpi", *LONG, "--resume", "--time-limit", "1s"
    )
    assert code == 75, err
    assert "note: the run began with 3 ranks and goes on with 2: sums are added up in" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--lr", "-1"), 2, "--lr is a number above 0"),
        (("--val", "0", "--early-stopping", "3"), 2, "--early-stopping follows"),
        (("--optimizer", "sgd", "--lr", "1e30", "--model", "mlp"), 3, "diverged"),
    ],
)
def test_what_is_wrong_is_said_once_and_ends_all(
    run_ranks, fashion_file, tmp_path, arguments, code, message
):
    found, _, err = run_ranks(
        2, "train", fashion_file, "-o", tmp_path / "run.h5", "--mpi", "--epochs", 2, *arguments
    )
    assert found == code, err
    assert err.count(message) == 1


def test_a_run_that_others_are_writing_ends_all_ranks(
    start_nnlab, run_ranks, fashion_file, tmp_path
):
    run = tmp_path / "run.h5"
    start_nnlab("train", fashion_file, "-o", run, *LONG)
    while not run.exists():
        time.sleep(0.02)
    code, _, err = run_ranks(2, "train", fashion_file, "-o", run, "--mpi", *LONG, "--resume")
    assert code == 2
    assert err.count("is being written by train") == 1


def test_a_launcher_of_another_mpi_is_noticed(mpi_environment, fashion_file, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "nnlab.cli", "train", fashion_file, "-o", tmp_path / "run.h5",
         "--mpi"],
        capture_output=True, text=True, env={**mpi_environment, "OMPI_COMM_WORLD_SIZE": "4"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "4 processes were started (OMPI_COMM_WORLD_SIZE), but MPI's library sees one" in (
        done.stderr
    )
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_neighbours_and_evaluations_of_several_ranks_are_those_of_one_process(
    run_ranks, nnlab, fashion_file, tmp_path
):
    def arrays(path):
        found = {}
        with h5py.File(path) as file:
            for name in ("neighbors", "cross_validation", "accuracy_by_k"):
                found |= {f"{name}/{key}": item[()] for key, item in file[name].items()}
        return found

    settings = ("--k", "1,3,5", "--limit-train", 900, "--folds", 3)
    one = tmp_path / "one.h5"
    assert nnlab("knn-baseline", fashion_file, "-o", one, *settings).code == 0
    for ranks in (2, 3):
        run = tmp_path / f"{ranks}.h5"
        code, _, err = run_ranks(
            ranks, "knn-baseline", fashion_file, "-o", run, *settings, "--mpi", "--json"
        )
        assert code == 0, err
        expected, found = arrays(one), arrays(run)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
    mlp = tmp_path / "mlp.h5"
    assert nnlab("train", fashion_file, "-o", mlp, "--epochs", 1).code == 0
    for run, split in ((mlp, "train"), (one, "test")):
        arguments = ("eval", run, "--split", split, "--no-save")
        alone, together = tmp_path / f"{run.stem}-1.h5", tmp_path / f"{run.stem}-2.h5"
        record = nnlab(*arguments, "--predictions", alone, "--json").json
        code, out, err = run_ranks(2, *arguments, "--predictions", together, "--mpi", "--json")
        assert code == 0, err
        assert json.loads(out) == record
        with h5py.File(alone) as first, h5py.File(together) as second:
            for name in ("labels", "predicted", "probabilities"):
                np.testing.assert_array_equal(first[name][()], second[name][()])


def test_the_loss_on_many_blocks_of_images_is_that_of_one_process(
    run_ranks, nnlab, fashion_dir, tmp_path
):
    data, run = tmp_path / "whole.h5", tmp_path / "run.h5"
    assert nnlab("preprocess", "fashion-mnist", "--source", fashion_dir, "-o", data).code == 0
    assert nnlab("train", data, "-o", run, "--epochs", 2).code == 0
    words = ("eval", run, "--split", "train", "--no-save", "--json")
    alone = nnlab(*words).json
    assert alone["n"] == 60_000
    for ranks in (2, 3):
        code, out, err = run_ranks(ranks, *words, "--mpi")
        assert code == 0, err
        assert json.loads(out) == alone


def test_ranks_of_one_machine_have_memory_in_common_and_leave_none(run_ranks):
    before = set(os.listdir("/dev/shm"))
    code, _, err = run_ranks(3, program=(str(STEPS_PROGRAM.with_name("share_memory.py")),))
    assert code == 0, err
    assert set(os.listdir("/dev/shm")) <= before


@pytest.mark.parametrize("damage", ["nothing is there", "something else is there"])
def test_what_is_not_the_memory_of_the_first_rank_is_not_taken_for_it(damage):
    # As in a container apart or on another machine, where the first rank's place means nothing.
    class Second(Alone):
        def hand_out(self, value):
            return place, b"token"

    other = os.memfd_create("nnlab")
    os.write(other, b"another token, zeros")
    place = f"/proc/self/fd/{other if damage.startswith('something') else other + 100}"
    assert common_memory(Second(rank=1, size=2), LARGE) is None
    os.close(other)
