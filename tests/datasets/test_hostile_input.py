"""Files made to harm: nothing runs, nothing is written elsewhere, little memory, one line.

The limit of memory is a hard one (RLIMIT_AS): 512 MB on top of what the loaded program has mapped.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import hostile_files
import pytest

MEMORY = 512 * 2**20
# None of them needs so much.
MEGABYTES = 300


@pytest.fixture(scope="module")
def limited():
    """Run a command in a process of its own with so much memory; return how it ended."""
    pytest.importorskip("scipy")
    runner = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("limited_runner.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(*arguments, memory=MEMORY):
        request = {"arguments": list(map(str, arguments)), "memory": memory}
        runner.stdin.write(json.dumps(request) + "\n")
        runner.stdin.flush()
        return json.loads(runner.stdout.readline())

    yield run
    runner.stdin.close()
    runner.wait()
    runner.stdout.close()


def everything(folder):
    return sorted((str(path), path.lstat().st_size) for path in folder.rglob("*"))


# What the one line says; a file that is refused for another reason does not try what it is for.
REASONS = {
    "tar_that_climbs_out": "leads out of it",
    "tar_of_symlinks": "holds no images",
    "tar_of_hard_links": "holds no images",
    "tar_of_devices": "holds no images",
    "tar_with_a_name_twice": "holds train/a/1.png twice",
    "tar_of_a_sparse_file": "is a sparse file",
    "tar_of_a_pax_sparse_file": "the sparse file",
    "tar_gz_bomb": "claims to hold more than",
    "tar_xz_bomb": "claims to hold more than",
    "tar_bz2_bomb": "claims to hold more than",
    "tar_with_a_name_of_10_gigabytes": "a name in it is too long",
    "tar_with_a_pax_header_of_7_gigabytes": "a name in it is too long",
    "tar_with_a_negative_size": "below 0|is damaged",
    "tar_that_lies_about_a_size": "is damaged",
    "tar_of_many_claims": "claims to hold more than",
    "zip_bomb": "claims to hold more than",
    "zip_of_overlapping_bombs": "claims to hold more than",
    "zip_that_holds_more_than_it_says": "is damaged",
    "zip_of_a_rare_kind": "compressed in a way that zips rarely are",
    "zip_that_climbs_out": "leads out of it",
    "zip_that_is_encrypted": "is encrypted",
    "pickle_of_a_command": "asks for posix.system",
    "pickle_of_code": "asks for builtins.exec",
    "pickle_by_dotted_names": "asks for numpy.core.multiarray.os.system",
    "pickle_that_claims_a_terabyte": "is damaged",
    "pickle_of_nested_lists": "is damaged|holds no dictionary",
    "pickle_of_shared_items": "holds no dictionary",
    "pickle_of_a_hundred_million_objects": "more parts than any batch",
    "pickle_with_a_memo_beyond_all_memory": "more parts than any batch",
    "idx_that_claims_2_to_the_40": "claims 1,099,511,627,776 bytes",
    "idx_whose_sides_overflow": "its header claims",
    "idx_gz_bomb": "its header claims 10,737,418,240 bytes",
    "npz_bomb": "claims to hold more than",
    "npz_that_claims_a_terabyte": "its header claims",
    "npz_of_objects": "neither numbers nor plain texts",
    "npz_whose_header_is_code": "is damaged or not an array",
    "mat_that_claims_a_terabyte": "claims to hold more than|has not the size|is damaged",
    "mat_of_an_unknown_type": "X has not the size that it claims",
    "mat_bomb": "claims to hold more than",
    "hdf5_bomb": "claims more data than it stores|and stores",
    "hdf5_with_external_data": "keeps its data in another file",
    "hdf5_with_an_external_link": "links to another place",
    "hdf5_with_a_virtual_data_set": "keeps its data in another file",
    "hdf5_in_a_circle": "reached by two names",
    "csv_of_nonsense": "is in no format|numbers|columns|not text",
    "csv_of_one_endless_line": "is too long|in no format",
    "csv_bomb": "far more text than its size",
    "libsvm_of_far_apart_pixels": "are too many|more values",
    "libsvm_bomb": "far more text than its size",
    "picture_of_60000_by_60000": "60,?000 x 60,?000|pixels",
}
# Making or refusing these takes seconds.
LONG = {"csv_bomb", "libsvm_bomb", "mat_bomb", "pickle_of_a_hundred_million_objects"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in LONG else [])
        for name in hostile_files.MAKERS
    ],
)
def test_a_file_made_to_harm_does_none(name, limited, tmp_path):
    folder = tmp_path / "input"
    folder.mkdir()
    source = hostile_files.MAKERS[name](folder)
    before = everything(tmp_path)
    done = limited("preprocess", source, "-o", tmp_path / "out.h5")
    assert done["code"] == 2, done
    assert done["stderr"].count("\n") == 1, done["stderr"]
    assert done["stderr"].startswith("nnlab: ")
    assert re.search(REASONS[name], done["stderr"]), done["stderr"]
    assert done["stdout"] == ""
    assert done["megabytes"] < MEGABYTES, done
    assert everything(tmp_path) == before


def test_links_and_absolute_names_in_an_archive_are_only_names(limited, tmp_path):
    picture = hostile_files.picture()
    outside = tmp_path / "outside"
    outside.mkdir()
    source = hostile_files.tar(
        tmp_path / "x.tar",
        ("train", hostile_files.special(b"2", str(outside))),
        ("train/a/1.png", picture),
        (f"{outside}/b/2.png", picture),
        ("/train/a/3.png", picture),
    )
    done = limited("preprocess", source, "-o", tmp_path / "out.h5", "--json")
    assert done["code"] == 0, done
    assert list(outside.iterdir()) == []


@pytest.mark.slow
def test_a_bomb_needs_no_more_than_a_good_file(limited, fashion_dir, tmp_path):
    good = limited("preprocess", fashion_dir, "-o", tmp_path / "good.h5", memory=2**30)
    assert good["code"] == 0, good
    folder = tmp_path / "input"
    folder.mkdir()
    bomb = limited(
        "preprocess", hostile_files.MAKERS["tar_gz_bomb"](folder), "-o", tmp_path / "bomb.h5"
    )
    assert bomb["megabytes"] < good["megabytes"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_members_without_end_fit_into_the_memory(kind, limited, tmp_path):
    count = 10**6 if int(os.environ.get("NNLAB_FUZZ", "0")) >= 20_000 else 10**5
    source = hostile_files.crowd(tmp_path, kind, count)
    before = everything(tmp_path)
    done = limited("preprocess", source, "-o", tmp_path / "out.h5", memory=2**30)
    assert (done["code"], done["stdout"]) == (2, ""), done
    assert "nnlab: " in done["stderr"].splitlines()[-1]
    assert done["megabytes"] < 1400, done
    assert everything(tmp_path) == before
