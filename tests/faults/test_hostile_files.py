"""Every command that reads HDF5 files refuses hostile ones, and touches nothing else meanwhile."""

import re
import shutil

import h5py
import pytest
from hostile_hdf5 import HARMS, LIES_OF_DATA, LIES_OF_RUNS, SECRET, make_secret
from many_commands import MARK, Commands
from PIL import Image
from processes import need_strace, run
from reading_commands import NOT_READING, READING, clear_results, filled, lines_with

from nnlab.cli import commands
from nnlab.runs import container, open_run

pytestmark = pytest.mark.faults

MEGABYTES_500 = 500 * 2**20
SECONDS = 2.0
PLACES = re.compile(r'"([^"]*)"')


def test_every_command_that_reads_files_takes_part():
    assert set(READING) | NOT_READING == set(commands.names())


@pytest.fixture(scope="module")
def good(small_data, tmp_path_factory):
    """A good run, its data, and a picture for it."""
    folder = tmp_path_factory.mktemp("good")
    done = run("train", small_data, "-o", folder / "run.h5", "--model", "mlp", "--hidden", 8,
               "--epochs", 1)  # fmt: skip
    assert done.code == 0, done.stderr
    Image.new("L", (7, 7), 99).save(folder / "picture.png")
    return {"RUN": folder / "run.h5", "DATA": small_data, "PICTURE": folder / "picture.png"}


def hostile_run(path, good, harm):
    """A run file with a right digest, and something else wrong."""
    run = open_run(good)

    def fill(file):
        run._fill(file)
        harm(file, path.parent)

    path.write_bytes(container.build(fill))


def hostile_data(path, good, harm):
    """A data file with something wrong."""
    shutil.copy(good, path)
    with h5py.File(path, "r+") as file:
        harm(file, path.parent)


CASES = [
    *(("RUN", name, harm) for name, harm in {**HARMS, **LIES_OF_RUNS}.items()),
    *(("DATA", name, harm) for name, harm in {**HARMS, **LIES_OF_DATA}.items()),
]


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """A process that runs commands under strace, and the log."""
    need_strace()
    log = tmp_path_factory.mktemp("trace") / "log"
    prefix = ["strace", "-f", "--seccomp-bpf", "-o", log, "-e", "trace=%file"]
    with Commands(patience=20, prefix=prefix) as runner:
        yield runner, log


@pytest.mark.parametrize(
    ("what", "name", "harm"), CASES, ids=[f"{what}-{name}" for what, name, _ in CASES]
)
def test_a_hostile_file_is_refused(traced, good, tmp_path, whole, count, what, name, harm):
    runner, log = traced
    make_secret(tmp_path)
    secret = (tmp_path / SECRET).read_bytes()
    path = tmp_path / "hostile.h5"
    (hostile_run if what == "RUN" else hostile_data)(path, good[what], harm)
    content, before = path.read_bytes(), set(tmp_path.iterdir())
    for number, (command, line) in enumerate(lines_with(what)):
        words = filled(line, tmp_path, **{**good, what: path})
        case = f"{tmp_path.name}-{number}"
        answer = runner.run(*words, name=case)
        about = f"{' '.join(line)}: {answer}"
        if answer.code == 0:
            assert is_not_concerned(command, line, name), about
            clear_results(tmp_path)
        else:
            assert answer.code == 2, about
            assert len(re.findall("^nnlab: ", answer.stderr, re.MULTILINE)) == 1, about
            assert "Traceback" not in answer.stderr, about
            count("refusals")
        assert answer.memory < MEGABYTES_500, about
        count.most("seconds of one process's computing", answer.seconds)
        count.most("megabytes", answer.memory / 1e6)
        if whole:  # on a machine that does nothing else
            assert answer.seconds < SECONDS, about
        assert path.read_bytes() == content
        assert (tmp_path / SECRET).read_bytes() == secret
        assert set(tmp_path.iterdir()) == before, about
        assert SECRET not in trace_of(log, case), about


def is_not_concerned(command, line, name):
    """Whether a command reads too little of a file to meet the harm."""
    if command == "runs":  # it reads the summary, which has a digest of its own, without HDF5
        return True
    if command == "preprocess":  # of other people's files it takes the plain arrays, no more
        return True
    # Settings, batches and pictures of weights need no network.
    return name in LIES_OF_RUNS and ("--config" in line or command in {"report", "replay"})


def trace_of(log, case):
    """What strace saw of one case."""
    text = log.read_text(errors="replace")
    return text.partition(f"/{MARK}/{case}")[2].partition(f"/{MARK}/")[0]
