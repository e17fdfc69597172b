"""Several processes decode: the same data, in the same order, and nothing left behind."""

import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnlab.datasets import open_data
from nnlab.datasets.preprocess import PreprocessOptions, preprocess
from nnlab.errors import InputError


@pytest.fixture(scope="module")
def photos(fashion, tmp_path_factory):
    """A folder with 300 real images in ten classes; some are unreadable."""
    folder = tmp_path_factory.mktemp("photos")
    images, labels = fashion["train"]
    for index in range(300):
        place = folder / "photos" / str(labels[index])
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[index]).save(place / f"{index:03}.png")
    for index in (7, 150, 299):
        (folder / "photos" / str(labels[index]) / f"{index:03}.png").write_bytes(b"\x89PNG, alas")
    with tarfile.open(folder / "photos.tar.gz", "w:gz") as archive:
        for path in sorted((folder / "photos").rglob("*.png"), key=lambda path: path.name):
            archive.add(path, path.relative_to(folder))
    return folder


@pytest.mark.parametrize("name", ["photos", "photos.tar.gz"])
def test_the_number_of_workers_changes_nothing(photos, tmp_path, name):
    made = []
    for workers in (1, 2, 5):
        output = tmp_path / f"{workers}.h5"
        options = PreprocessOptions(skip_bad=True, gray=True, test=0.2, seed=1)
        summary = preprocess(str(photos / name), output, options, workers=workers)
        assert len(summary.unreadable) == 3
        with open_data(output) as data:
            images = np.array(data.split("train").images)
        made.append((summary.checksum, summary.left_out, images.tobytes()))
    assert made[0] == made[1] == made[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.h5", "2.h5", "5.h5"]


def test_a_process_that_decodes_begins_without_numpy():
    """It takes longer to load than a thousand photographs of 32 x 32 pixels take to decode."""
    loaded = "import nnlab.datasets.decode_worker, sys; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("workers", [1, 4])
def test_of_several_bad_images_the_first_is_named(photos, tmp_path, workers):
    first = min(path for path in (photos / "photos").rglob("*.png") if path.stat().st_size < 20)
    with pytest.raises(InputError, match=first.name):
        preprocess(str(photos / "photos"), tmp_path / "x.h5", workers=workers)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_ends_early_ends_the_workers_too(photos, tmp_path):
    whole = (photos / "photos.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        preprocess(str(tmp_path / "cut.tar.gz"), tmp_path / "x.h5", workers=2)
    assert children() == []


def children(of=None):
    """The processes of a process, by their numbers."""
    task = Path(f"/proc/{of or os.getpid()}/task")
    found = []
    for thread in task.iterdir():
        found += [int(number) for number in (thread / "children").read_text().split()]
    return found


@pytest.fixture
def many(fashion, tmp_path):
    """A folder of many large images, that takes seconds to decode."""
    image = Image.fromarray(fashion["train"][0][0]).resize((1500, 1500))
    for name in ("a", "b"):
        (tmp_path / "many" / name).mkdir(parents=True)
        image.save(tmp_path / "many" / name / "0.png")
        for index in range(1, 400):
            os.link(tmp_path / "many" / name / "0.png", tmp_path / "many" / name / f"{index}.png")
    return tmp_path / "many"


@pytest.fixture
def started(start_nnlab, many, tmp_path):
    """A command that decodes with two workers, well on its way."""
    process = start_nnlab("preprocess", many, "-o", tmp_path / "x.h5", "--size", 16, "--workers", 2)
    deadline = time.monotonic() + 60
    while len(workers := children(process.pid)) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.5)
    return process, workers


def lives(number):
    try:
        state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # ended; whoever adopted it has not asked yet


def gone(workers):
    deadline = time.monotonic() + 10
    while any(lives(number) for number in workers):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_processes_and_leaves_nothing(started, tmp_path, number):
    process, workers = started
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out == ""
    what = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert err == f"nnlab: stopped by {what}; nothing was kept.\n"
    assert gone(workers)
    assert [path.name for path in tmp_path.iterdir()] == ["many"]


def test_a_killed_parent_leaves_no_process(started, tmp_path):
    process, workers = started
    process.kill()
    process.communicate()
    assert gone(workers)
    assert not (tmp_path / "x.h5").exists()


def test_a_worker_that_the_kernel_kills_is_one_line(started, tmp_path):
    process, workers = started
    os.kill(workers[0], signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert "most likely because the memory ran out" in err
    assert gone(workers)
    assert [path.name for path in tmp_path.iterdir()] == ["many"]
