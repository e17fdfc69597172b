"""A save that fails leaves the old file whole and no other file."""

import os
import shutil
import subprocess
import sys

import pytest

from nnlab.errors import InputError
from nnlab.runs import open_run

SAVE_BIG = """
import resource, secrets, sys
from pathlib import Path
import numpy as np
from nnlab.errors import InputError
from nnlab.runs import open_run

secrets.token_hex = lambda _: "token"  # so that faults can be aimed at the temporary file
path = Path(sys.argv[1])
try:
    run = open_run(path)
    run.config["lr"] = "new"
    run.arrays["weights/00_linear/W"] = np.ones(2**19)
    if sys.argv[2] != "0":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    run.save(path)
except InputError as error:
    print(error)
"""


def save_big(path, limit=0, prefix=()):
    done = subprocess.run(
        [*prefix, sys.executable, "-c", SAVE_BIG, path, str(limit)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.rstrip("\n")


@pytest.mark.parametrize("limit", [1, 600, 100_000, 4_000_000])
def test_a_file_that_may_not_grow(run_file, limit):
    before = run_file.read_bytes()
    message = save_big(run_file, limit)
    assert message.startswith(f"cannot write {run_file}: File too large")
    assert run_file.read_bytes() == before
    assert list(run_file.parent.iterdir()) == [run_file]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("no small file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(run_file, small_disk):
    path = small_disk / "run.h5"
    shutil.copy(run_file, path)
    before = path.read_bytes()
    message = save_big(path)
    assert message == (
        f"cannot write {path}: No space left on device; free some space or choose another place "
        "with -o."
    )
    assert path.read_bytes() == before
    assert list(small_disk.iterdir()) == [path]


def test_a_folder_that_has_gone(make_run, tmp_path):
    with pytest.raises(InputError, match="No such file or directory"):
        make_run().save(tmp_path / "gone" / "run.h5")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing")
def test_content_reaches_the_disk_before_the_name(run_file, tmp_path):
    log = tmp_path.parent / "strace.log"
    calls = "trace=openat,write,fsync,rename,close,unlink"
    probe = subprocess.run(["strace", "-e", calls, "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("strace may not trace here")
    save_big(run_file, prefix=["strace", "-f", "-y", "-o", log, "-e", calls])
    marks = {
        "write": "write(", "fsync file": "fsync(", "rename": "rename(", "fsync folder": "fsync(",
    }  # fmt: skip
    lines = [line for line in log.read_text().splitlines() if str(run_file.parent) in line]
    kinds = []
    for line in lines:
        for name, call in marks.items():
            of_folder = f"<{run_file.parent}>" in line
            if call in line and (name == "fsync folder") == of_folder:
                kinds.append(name)
    assert list(dict.fromkeys(kinds)) == ["write", "fsync file", "rename", "fsync folder"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing")
@pytest.mark.parametrize("fault", ["signal=KILL", "error=ENOSPC", "error=EIO"])
def test_a_fault_at_any_call_leaves_a_whole_run(run_file, tmp_path, fault):
    before, folder = run_file.read_bytes(), run_file.parent
    faults = dict.fromkeys(("openat", "write", "fsync", "rename", "close"), 0)
    for call in faults:
        for number in range(1, 20):
            log = tmp_path.parent / "faults.log"
            done = subprocess.run(
                [
                    "strace", "-f", "-y", "-o", log, "-P", folder, "-P", run_file,
                    "-P", f"{run_file}.token.tmp", "-e", f"trace={call}",
                    "-e", f"inject={call}:{fault}:when={number}",
                    sys.executable, "-c", SAVE_BIG, run_file, "0",
                ],
                capture_output=True,
                text=True,
            )  # fmt: skip
            assert "Traceback" not in done.stderr
            if "INJECTED" not in log.read_text() and done.returncode == 0:
                break
            faults[call] += 1
            assert open_run(run_file).config["lr"] in {0.001, "new"}
            run_file.write_bytes(before)
            for stray in folder.glob("*.tmp"):
                assert fault == "signal=KILL", "only a killed writer may leave its file behind"
                stray.unlink()
    assert faults["write"] >= 1
    assert faults["fsync"] == 2
    assert sum(faults.values()) >= 8
