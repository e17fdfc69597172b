"""A file that is damaged, foreign, newer or hostile is refused in one line, before it is used."""

import os
import random
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hostile_hdf5 import HARMS, LIES_OF_RUNS, SECRET, make_secret

from nnlab.errors import FileFormatError, InputError
from nnlab.runs import container, open_run


def refused(path, match="damaged"):
    with pytest.raises(FileFormatError, match=match) as caught:
        open_run(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message


def sealed(image):
    """Make the digest right again."""
    rest = bytes(image[container.SEAL_LENGTH :])
    return container.seal_line(rest) + rest


def test_a_flipped_bit_is_noticed_wherever_it_is(run_file):
    whole = run_file.read_bytes()
    rng = random.Random(1)
    places = [*range(container.SEAL_LENGTH + 100), container.BLOCK - 1, len(whole) - 1]
    places += [rng.randrange(container.BLOCK, len(whole)) for _ in range(150)]
    for place in places:
        image = bytearray(whole)
        image[place] ^= 1 << rng.randrange(8)
        run_file.write_bytes(image)
        with pytest.raises(FileFormatError):
            open_run(run_file)
    run_file.write_bytes(whole)
    open_run(run_file)


def test_a_file_cut_short_is_refused_wherever_it_ends(run_file):
    whole = run_file.read_bytes()
    for length in [0, 1, 40, 83, 84, 120, 511, 512, 520, *range(1000, len(whole), 997)]:
        run_file.write_bytes(whole[:length])
        refused(run_file, "cut short" if length >= 300 else "cut short|damaged")
    run_file.write_bytes(whole + b"\0")
    refused(run_file)


def test_the_checksum_of_a_cut_file_says_how_much_is_missing(run_file):
    whole = run_file.read_bytes()
    run_file.write_bytes(whole[:3000])
    refused(run_file, f"3,000 of {len(whole):,} bytes")


def test_a_newer_format_says_to_update(run_file):
    run_file.write_bytes(run_file.read_bytes().replace(b"nnlab run 1", b"nnlab run 2", 1))
    refused(run_file, "format version 2, this nnlab reads up to 1; update nnlab")


@pytest.mark.parametrize(
    "content",
    [b"", b"nnlab run", b"%PDF-1.7", b"\0" * 5000, b"nnlab run 1 sha256=" + b"0" * 64 + b"\n"],
)
def test_foreign_files_are_refused(tmp_path, content):
    (tmp_path / "run.h5").write_bytes(content)
    refused(tmp_path / "run.h5")


def test_another_hdf5_file_is_called_that(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["images"] = np.zeros(3)
    refused(tmp_path / "data.h5", "another kind of HDF5 file")


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        open_run(tmp_path / "pipe")


# The other lies are told of networks, which this run does not have.
LIES = ("class_names_missing", "config_is_a_list", "config_is_deep", "config_is_a_long_number")


@pytest.mark.parametrize("harm", [*HARMS, *LIES])
def test_a_hostile_file_with_a_right_digest_is_refused(make_run, tmp_path, harm):
    make_secret(tmp_path)
    content = (tmp_path / SECRET).read_bytes()
    run = make_run()

    def fill(file):
        run._fill(file)
        {**HARMS, **LIES_OF_RUNS}[harm](file, tmp_path)

    path = tmp_path / "run.h5"
    path.write_bytes(container.build(fill))
    container.check_seal(path, path.read_bytes())  # the digest is right
    refused(path, r"refused|damaged|nested too deeply")
    assert (tmp_path / SECRET).read_bytes() == content


MUTATE = """
import random, resource, sys
from pathlib import Path
from nnlab.errors import FileFormatError
from nnlab.runs import container, open_run

resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
path, rng = Path(sys.argv[1]), random.Random(7)
whole, outcomes = path.read_bytes(), set()
for _ in range(120):
    image = bytearray(whole)
    place = rng.randrange(container.BLOCK, len(image))
    match rng.choice(["bit", "byte", "eight", "cut", "block"]):
        case "bit":
            image[place] ^= 1 << rng.randrange(8)
        case "byte":
            image[place] = rng.randrange(256)
        case "eight":
            image[place : place + 8] = rng.randbytes(8)
        case "cut":
            del image[place:]
        case "block":
            image[place : place + 64] = bytes(64)
    rest = bytes(image[container.SEAL_LENGTH :])
    path.write_bytes(container.seal_line(rest) + rest)
    try:
        open_run(path)
        outcomes.add("read")
    except FileFormatError as error:
        assert "\\n" not in str(error)
        outcomes.add("refused")
print(sorted(outcomes))
"""


def test_damage_under_a_right_digest_neither_hangs_nor_crashes(run_file):
    # In a process of its own: a hang inside HDF5 cannot be interrupted, a crash ends the process.
    done = subprocess.run(
        [sys.executable, "-c", MUTATE, run_file], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['read', 'refused']\n"


def test_the_summary_alone_is_checked_too(run_file):
    text = container.read_summary(run_file)
    assert b'"best_epoch": 2' in text
    run_file.write_bytes(run_file.read_bytes().replace(b'"best_epoch": 2', b'"best_epoch": 3'))
    with pytest.raises(FileFormatError, match="damaged"):
        container.read_summary(run_file)


def test_a_summary_beyond_the_end_of_the_file_is_refused(run_file):
    image = run_file.read_bytes()
    start = image.index(b"summary=") + len(b"summary=")
    places = image[start:].split(b"+")[0]
    run_file.write_bytes(
        sealed(image.replace(b"summary=" + places, b"summary=" + b"9" * len(places)))
    )
    with pytest.raises(FileFormatError, match="damaged"):
        container.read_summary(run_file)
