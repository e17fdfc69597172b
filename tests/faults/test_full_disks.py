"""A disk that is full, a file that may not grow, a folder that goes away while a run trains."""

import os
import resource
import shutil
import signal
import subprocess

import pytest
from processes import Process, run
from same_runs import assert_same
from trainings import training

from nnlab.runs import open_run

pytestmark = pytest.mark.faults

EPOCHS = 40
NOBODY = 65534


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("no small file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    """Leave no room in a file system, and return what takes it."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    return ballast


def test_a_disk_that_fills_up_while_training_is_lived_through(data, undisturbed, small_disk):
    path = small_disk / "run.h5"
    words = training(data, "mlp", path, EPOCHS, every=20)
    process = Process(*words)
    process.wait_for("^epoch +2/")
    process.send(signal.SIGSTOP)
    ballast = fill(small_disk)
    process.send(signal.SIGCONT)
    full = process.end()
    assert full.code == 2
    assert "warning: no checkpoint could be written" in full.stderr
    assert len(full.complaints) == 1
    assert "No space left on device" in full.complaints[0]
    assert int(open_run(path).attributes["progress"]["epoch"]) >= 1  # the last one that was written
    ballast.unlink()
    assert run(*words).code == 0
    assert_same(path, undisturbed("mlp", EPOCHS)[0])
    assert os.listdir(small_disk) == ["run.h5"]


def test_a_disk_that_has_room_again_gets_the_next_checkpoint(data, undisturbed, small_disk):
    path = small_disk / "run.h5"
    process = Process(*training(data, "mlp", path, EPOCHS, every=20))
    process.wait_for("^epoch +2/")
    process.send(signal.SIGSTOP)
    ballast = fill(small_disk)
    process.send(signal.SIGCONT)
    process.wait_for("no checkpoint could be written")
    ballast.unlink()
    done = process.end()
    assert done.code == 0, done.stderr
    assert_same(path, undisturbed("mlp", EPOCHS)[0])
    assert os.listdir(small_disk) == ["run.h5"]


def test_a_disk_that_is_full_from_the_start_is_one_line(data, small_disk):
    fill(small_disk)
    done = run(*training(data, "softmax", small_disk / "run.h5", 1))
    assert done.code == 2
    assert len(done.complaints) == 1
    assert "No space left on device" in done.stderr
    assert os.listdir(small_disk) == ["ballast"]


@pytest.mark.parametrize("limit", [10_000, 100_000])
def test_a_file_that_may_not_grow_is_one_line(data, tmp_path, limit):
    done = run(
        *training(data, "mlp", tmp_path / "run.h5", 1), limits={resource.RLIMIT_FSIZE: limit}
    )
    assert done.code == 2
    assert len(done.complaints) == 1
    assert "File too large" in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_removed_while_training_is_one_line(data, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    process = Process(*training(data, "mlp", folder / "run.h5", EPOCHS, every=20))
    process.wait_for("^epoch +2/")
    process.send(signal.SIGSTOP)
    shutil.rmtree(folder)
    process.send(signal.SIGCONT)
    gone = process.end()
    assert gone.code in {2, 75}  # the claim went with it
    assert len(gone.complaints) == 1
    assert not folder.exists()


def test_a_folder_that_turns_read_only_while_training_is_lived_through(
    data, undisturbed, small_disk
):
    path = small_disk / "run.h5"
    words = training(data, "mlp", path, EPOCHS, every=20)
    process = Process(*words)
    process.wait_for("^epoch +2/")
    process.send(signal.SIGSTOP)
    # Processes of root write where the mode forbids it; a file system forbids it to them, too.
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    process.send(signal.SIGCONT)
    closed = process.end()
    assert closed.code == 2
    assert len(closed.complaints) == 1
    assert "Read-only file system" in closed.stderr
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert run(*words).code == 0
    assert_same(path, undisturbed("mlp", EPOCHS)[0])
    assert os.listdir(small_disk) == ["run.h5"]
