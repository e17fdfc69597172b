"""Files made to harm: nothing runs, nothing is written elsewhere, little memory, one line.

The limit of memory is a hard one (RLIMIT_AS): 512 MB on top of what the loaded program has mapped.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import hostile_archives
import pytest
from hostile_files import MAKERS
from hostile_making import picture

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


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if hostile.long else [])
        for name, hostile in MAKERS.items()
    ],
)
def test_a_file_made_to_harm_does_none(name, limited, tmp_path):
    folder = tmp_path / "input"
    folder.mkdir()
    source = MAKERS[name].make(folder)
    before = everything(tmp_path)
    done = limited("preprocess", source, "-o", tmp_path / "out.h5")
    assert done["code"] == 2, done
    assert done["stderr"].count("\n") == 1, done["stderr"]
    assert done["stderr"].startswith("nnlab: ")
    assert re.search(MAKERS[name].reason, done["stderr"]), done["stderr"]
    assert done["stdout"] == ""
    assert done["megabytes"] < MEGABYTES, done
    assert everything(tmp_path) == before


def test_links_and_absolute_names_in_an_archive_are_only_names(limited, tmp_path):
    content = picture()
    outside = tmp_path / "outside"
    outside.mkdir()
    source = hostile_archives.tar(
        tmp_path / "x.tar",
        ("train", hostile_archives.special(b"2", str(outside))),
        ("train/a/1.png", content),
        (f"{outside}/b/2.png", content),
        ("/train/a/3.png", content),
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
    bomb = limited("preprocess", hostile_archives.tar_gz_bomb(folder), "-o", tmp_path / "bomb.h5")
    assert bomb["megabytes"] < good["megabytes"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_members_without_end_fit_into_the_memory(kind, limited, tmp_path):
    count = 10**6 if int(os.environ.get("NNLAB_FUZZ", "0")) >= 20_000 else 10**5
    source = hostile_archives.crowd(tmp_path, kind, count)
    before = everything(tmp_path)
    done = limited("preprocess", source, "-o", tmp_path / "out.h5", memory=2**30)
    assert (done["code"], done["stdout"]) == (2, ""), done
    assert "nnlab: " in done["stderr"].splitlines()[-1]
    assert done["megabytes"] < 1400, done
    assert everything(tmp_path) == before
