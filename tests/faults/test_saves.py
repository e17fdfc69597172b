"""Every call that writes a result fails once, in every way: the old file or the new one is there.

strace names the calls of an undisturbed command that have to do with its folder; then the command
runs again, once for each of them and each fault.
"""

import os
import random
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from PIL import Image
from processes import calls_on, hit, need_strace, run, tracing

from nnlab.datasets import open_data
from nnlab.datasets.datafile_writing import _ContentDigest
from nnlab.runs import open_run

pytestmark = pytest.mark.faults

FAULTS = {"KILL": "signal=KILL", "ENOSPC": "error=ENOSPC", "EIO": "error=EIO"}
TRAIN = ("--epochs", 1, "--batch-size", 600, "--checkpoint-every", 1)


def check_data(path):
    """Fail unless a data file's images are those that its checksum was taken of."""
    with open_data(path) as data:
        digest = _ContentDigest(data.classes)
        for split in sorted(data.splits):
            part = data.split(split)
            digest.begin(split, part.images.shape, part.labels)
            digest.update(part.images)
        assert digest.hexdigest() == data.checksum


@dataclass(frozen=True)
class Writer:
    """A command that writes a file.

    Attributes:
        words: its arguments, where RESULT stands for the file.
        other: more arguments, or another command, for an older file of another content.
        check: fails unless a file of the kind is whole.
    """

    words: tuple
    other: tuple
    check: Callable


WRITERS = {
    "train": Writer(
        ("train", "DATA", "-o", "RESULT", *TRAIN, "--force"), ("--seed", 5), open_run
    ),
    "knn-baseline": Writer(
        ("knn-baseline", "DATA", "-o", "RESULT", "--k", 1, "--limit-train", 100, "--limit-test",
         20, "--force"),
        ("--metric", "l2"),
        open_run,
    ),
    "preprocess": Writer(
        ("preprocess", "PICTURES", "-o", "RESULT", "--force"), ("--val", 0.25), check_data
    ),
    "eval": Writer(("eval", "RESULT", "DATA"), (), open_run),
}  # fmt: skip


@pytest.fixture(scope="module")
def pictures(images, tmp_path_factory):
    """A folder of two classes of eight pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels, labels = images["train"]
    for label in (0, 1):
        (folder / str(label)).mkdir()
        for index in [i for i in range(200) if labels[i] == label][:8]:
            Image.fromarray(pixels[index, :, :, 0]).save(folder / str(label) / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def words_of(data, pictures):
    """The words of a command with the names of files in them."""

    def fill(name, result):
        places = {"DATA": data, "PICTURES": pictures, "RESULT": result}
        return [places.get(word, word) for word in WRITERS[name].words]

    return fill


@pytest.fixture(scope="module")
def prepared(words_of, tmp_path_factory):
    """By command: an older file, and the calls by which it is replaced."""
    need_strace()
    found = {}

    def prepare(name):
        if name not in found:
            folder = tmp_path_factory.mktemp(name)
            first = "train" if name == "eval" else name
            done = run(*words_of(first, folder / "old.h5"), *WRITERS[name].other)
            assert done.code == 0, done.stderr
            traced, log = folder / "traced", folder / "log"
            traced.mkdir()
            for _ in range(2):  # the first may have something to cache
                shutil.copy(folder / "old.h5", traced / "result.h5")
                done = run(*words_of(name, traced / "result.h5"), prefix=tracing(log))
                assert done.code == 0, done.stderr
            found[name] = (folder / "old.h5").read_bytes(), calls_on(log, traced)
        return found[name]

    return prepare


@pytest.mark.parametrize("name", WRITERS)
def test_content_reaches_the_disk_before_the_name(prepared, name):
    steps = ""
    for call in prepared(name)[1]:
        if call.name in {"write", "pwrite64", "ftruncate"}:
            steps += "w"
        elif call.name in {"fsync", "fdatasync"}:
            steps += "s" if ".tmp" in call.text else "d"
        elif call.name.startswith("rename"):
            steps += "r"
    # Content, fsync, rename, fsync of the folder: once for every save, with nothing in between.
    assert re.fullmatch("(w+srd)+w*", steps), steps


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", WRITERS)
def test_a_fault_at_any_call_leaves_the_old_file_or_the_new_one(
    prepared, words_of, tmp_path, count, whole, seed, name, fault
):
    old, calls = prepared(name)
    chosen = calls if whole else random.Random(f"{seed} {name} {fault}").sample(calls, 10)
    for number, call in enumerate(chosen):
        folder, log = tmp_path / str(number), tmp_path / f"{number}.log"
        folder.mkdir()
        result = folder / "result.h5"
        result.write_bytes(old)
        words = words_of(name, result)
        done = run(*words, prefix=tracing(log, fault=(call.name, FAULTS[fault], call.number)))
        at = hit(log)
        assert str(folder) in (at.text if at else ""), f"{call} was not met but {at}"
        now = result.read_bytes()
        if now != old:
            WRITERS[name].check(result)
        if fault == "KILL":
            assert done.code == -signal.SIGKILL
        else:
            judge(name, done, now != old, at)
            # A claim that cannot be read or removed now, the next command removes.
            if at.name != "unlink" and ".claim" not in at.text:
                assert os.listdir(folder) == ["result.h5"], at
        count(f"{fault} at {call.name}")
        if len(os.listdir(folder)) > 1:
            assert run(*words).code == 0
            assert os.listdir(folder) == ["result.h5"], at
            WRITERS[name].check(result)


def judge(name, done, is_new, at):
    """Check what a command said of a fault that it lived through."""
    assert done.code in {0, 2}, done.stderr
    if done.code == 2:
        assert len(done.complaints) == 1, done.stderr
        assert re.search("cannot (write|be read)", done.complaints[0]), done.stderr
        # A training may have saved a checkpoint before; what is written may be read again.
        assert name == "train" or not is_new or "be read" in done.stderr, done.stderr
    elif not is_new:
        assert name == "eval", f"{at}: {done.stderr}"
        assert "warning: " in done.stderr, f"{at}: {done.stderr}"
