"""A file that is damaged, foreign, newer or hostile is refused in one line, before it is used."""

import os
import random
import subprocess
import sys

import h5py
import numpy as np
import pytest

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


def _soft_link(file, _):
    file["link"] = h5py.SoftLink("/weights")


def _external_link(file, folder):
    file["link"] = h5py.ExternalLink(str(folder / "secret.h5"), "/data")


def _external_data(file, folder):
    file.create_dataset("raw", (16,), "u1", external=[(str(folder / "secret.h5"), 0, 16)])


def _virtual_data(file, folder):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "data", (4,))
    file.create_virtual_dataset("virtual", layout)


def _variable_text(file, _):
    file.create_dataset("text", data="abc", dtype=h5py.string_dtype())


def _variable_attribute(file, _):
    file["weights"].attrs["note"] = "of variable length"


def _variable_root_attribute(file, _):
    file.attrs["kind"] = "network"


def _variable_format(file, _):
    file.attrs["nnlab_format"] = "run"


def _variable_version(file, _):
    file.attrs["format_version"] = "1"


def _compound(file, _):
    file["pairs"] = np.zeros(2, [("a", "i4"), ("b", "f4")])


def _reference(file, _):
    file.create_dataset("reference", data=file["weights"].ref, dtype=h5py.ref_dtype)


def _circle(file, _):
    file["weights/again"] = file["/"]


def _two_names(file, _):
    file["copy"] = file["weights/00_linear/W"]


def _depth(file, _):
    file.create_group("a/" * 12)


def _named_type(file, _):
    file["type"] = np.dtype("f8")


def _petabytes(file, _):
    file.create_dataset("huge", (2**49,), "f8")


def _many_claims(file, _):
    for index in range(40):  # each below the limit of one data set, together 2.5 GB
        file.create_dataset(f"claims/{index}", (2**23,), "f8")


def _inflation(file, _):
    file.create_dataset("bomb", data=np.zeros(2**24, "u1"), compression="gzip", chunks=(2**22,))


def _class_names_missing(file, _):
    del file["classes"]


def _config_is_a_list(file, _):
    del file["config"]
    file.create_dataset("config", data=np.array(b"[1]", "S3"))


def _config_is_deep(file, _):
    del file["config"]
    file.create_dataset("config", data=np.array(b"[" * 100_000, "S100000"))


HOSTILE = [
    _soft_link, _external_link, _external_data, _virtual_data, _variable_text, _variable_attribute,
    _variable_root_attribute, _variable_format, _variable_version, _compound, _reference, _circle,
    _two_names, _depth, _named_type, _petabytes, _many_claims, _inflation, _class_names_missing,
    _config_is_a_list, _config_is_deep,
]  # fmt: skip


@pytest.mark.parametrize("harm", HOSTILE, ids=lambda harm: harm.__name__[1:])
def test_a_hostile_file_with_a_right_digest_is_refused(make_run, tmp_path, harm):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["data"] = np.arange(4.0)
    content = secret.read_bytes()
    run = make_run()

    def fill(file):
        run._fill(file)
        harm(file, tmp_path)

    path = tmp_path / "run.h5"
    path.write_bytes(container.build(fill))
    container.check_seal(path, path.read_bytes())  # the digest is right
    refused(path, r"refused|damaged|nested too deeply")
    assert secret.read_bytes() == content


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
