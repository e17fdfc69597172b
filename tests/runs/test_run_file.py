"""What is saved comes back; what cannot be kept is refused; HDF5 tools read the file."""

import dataclasses
import hashlib
import shutil
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from nnlab.errors import FileFormatError, InputError
from nnlab.runs import Run, open_run


def assert_same(run, other):
    for name in ("kind", "command", "config", "classes", "spec", "created"):
        assert getattr(run, name) == getattr(other, name), name
    assert run.attributes == other.attributes
    assert set(run.arrays) == set(other.arrays)
    pairs = [(run.arrays[path], other.arrays[path]) for path in run.arrays]
    for series in ("epoch", "step"):
        assert set(run.history[series]) == set(other.history[series])
        pairs += [(run.history[series][q], other.history[series][q]) for q in run.history[series]]
    assert set(run.evaluations) == set(other.evaluations)
    for key, metrics in run.evaluations.items():
        for part in dataclasses.fields(metrics):
            ours, theirs = (getattr(m, part.name) for m in (metrics, other.evaluations[key]))
            if isinstance(ours, np.ndarray):
                pairs.append((ours, theirs))
            elif dataclasses.is_dataclass(ours):
                pairs += zip(vars(ours).values(), vars(theirs).values(), strict=True)
            else:
                assert ours == theirs
                assert type(ours) is type(theirs)
    for ours, theirs in pairs:
        assert np.asarray(ours).dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_saved_comes_back(make_run, run_file):
    run = open_run(run_file)
    assert_same(make_run(), run)
    assert run.path == run_file


def test_values_come_back_as_plain_python(run_file):
    progress = open_run(run_file).attributes["progress"]
    assert {name: type(value) for name, value in progress.items()} == {
        "epoch": int, "best_epoch": int, "finished": bool, "seconds": float, "note": str,
        "best_loss": float,
    }  # fmt: skip


def test_arrays_that_come_back_are_the_readers_own(run_file):
    run = open_run(run_file)
    run.arrays["weights/00_linear/W"] *= 0  # may be written to
    assert open_run(run_file).arrays["weights/00_linear/W"].any()


def test_the_same_run_gives_the_same_bytes(make_run, run_file, tmp_path):
    make_run().save(tmp_path / "again.h5")
    open_run(run_file).save(tmp_path / "copy.h5")
    expected = run_file.read_bytes()
    assert (tmp_path / "again.h5").read_bytes() == expected
    assert (tmp_path / "copy.h5").read_bytes() == expected


def test_a_long_config_is_kept(make_run, tmp_path):
    note = "x" * 200_000  # far more than an HDF5 attribute holds
    make_run(note=note).save(tmp_path / "run.h5")
    assert open_run(tmp_path / "run.h5").config["note"] == note


def test_numpy_numbers_in_the_config_become_plain_ones(make_run, tmp_path):
    make_run(lr=np.float64(0.5), widths=np.array([1, 2])).save(tmp_path / "run.h5")
    config = open_run(tmp_path / "run.h5").config
    assert (config["lr"], config["widths"]) == (0.5, [1, 2])


def test_h5py_opens_the_file_as_it_is(run_file, digits_model):
    with h5py.File(run_file, "r") as file:
        assert file.attrs["nnlab_format"] == b"run"
        assert file.attrs["format_version"] == 1
        np.testing.assert_array_equal(file["weights/00_linear/W"][()], digits_model[0])
        assert set(file) == {
            "classes", "command", "config", "evaluations", "history", "model", "optimizer",
            "preprocessing", "progress", "result", "summary", "weights",
        }  # fmt: skip
        assert set(file["evaluations"]) == {"%", "a%2Fb %25.", "digits"}
        test = file["evaluations/digits/test"]
        assert test.attrs["accuracy"] > 0.8
        assert test["confusion_matrix"].shape == (10, 10)


def test_nothing_in_the_file_has_variable_length(run_file):
    def check(name, member):
        for value in member.attrs.values():
            assert not isinstance(value, str), name
        if isinstance(member, h5py.Dataset):
            assert not member.dtype.hasobject, name

    with h5py.File(run_file, "r") as file:
        file.visititems(check)


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="h5dump is missing: hdf5-tools")
def test_h5dump_reads_the_file(run_file):
    done = subprocess.run(["h5dump", "-n", run_file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "/weights/00_linear/W" in done.stdout


def test_the_first_line_is_the_digest_of_the_rest(run_file):
    first, rest = run_file.read_bytes().split(b"\n", 1)
    assert first == b"nnlab run 1 sha256=" + hashlib.sha256(rest).hexdigest().encode()


def test_saving_replaces_the_file_and_leaves_nothing_else(make_run, run_file):
    make_run(lr=0.5).save(run_file)
    assert open_run(run_file).config["lr"] == 0.5
    assert list(run_file.parent.iterdir()) == [run_file]


@pytest.mark.parametrize("path", ["config", "summary", "history/epoch/x", "evaluations/a/b/n"])
def test_paths_of_the_format_are_not_free(make_run, tmp_path, path):
    run = make_run()
    run.arrays[path] = np.zeros(3)
    with pytest.raises(ValueError, match="taken by the format"):
        run.save(tmp_path / "run.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([None]), np.zeros(2, "complex64")])
def test_arrays_that_are_not_plain_numbers_are_refused(make_run, tmp_path, array):
    run = make_run()
    run.arrays["weights/odd"] = array
    with pytest.raises(TypeError, match="/weights/odd"):
        run.save(tmp_path / "run.h5")


def test_attributes_that_are_not_plain_are_refused(make_run, tmp_path):
    run = make_run()
    run.attributes["result"]["val_loss"] = None
    with pytest.raises(TypeError, match="val_loss is None"):
        run.save(tmp_path / "run.h5")


def test_a_reader_always_finds_a_whole_run_while_another_process_saves(make_run, run_file):
    writer = (
        "import sys\nfrom pathlib import Path\nfrom nnlab.runs import open_run\n"
        "run = open_run(Path(sys.argv[1]))\nprint('ready', flush=True)\n"
        "for n in range(10**6):\n"
        "    run.config['lr'] = n\n"
        "    run.attributes['progress']['epoch'] = n\n"
        "    run.save(Path(sys.argv[1]))\n"
    )
    make_run(lr=3).save(run_file)
    process = subprocess.Popen(
        [sys.executable, "-c", writer, str(run_file)], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"ready\n"
        seen = set()
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            run = open_run(run_file)
            assert run.config["lr"] == run.attributes["progress"]["epoch"]
            seen.add(run.config["lr"])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert len(seen) > 3


def test_sixty_megabytes_are_saved_in_half_a_second(tmp_path):
    run = Run(kind="network", command=["nnlab"], config={}, classes=["a"])
    for index in range(12):
        run.arrays[f"weights/{index:02}/W"] = np.full(1_250_000, index, np.float32)
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        run.save(tmp_path / "run.h5")
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.5


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.mistakes.label.fill(10),
        lambda found: found.mistakes.predicted.fill(-1),
        lambda found: found.mistakes.index.fill(-1),
        lambda found: found.confusion_matrix.fill(1),
    ],
)
def test_an_evaluation_that_contradicts_itself_is_refused(make_run, tmp_path, change):
    run = make_run()
    change(run.evaluations["digits", "test"])
    run.save(tmp_path / "run.h5")
    with pytest.raises(FileFormatError, match="is damaged"):
        open_run(tmp_path / "run.h5")


@pytest.mark.parametrize("steps", [None, np.arange(2), np.arange(9).reshape(3, 3), np.int64(3)])
def test_samples_without_their_steps_are_refused(make_run, tmp_path, steps):
    run = make_run()
    run.history["sampled"] = {"update_ratio_0_linear": np.ones(3)}
    if steps is not None:
        run.history["sampled"]["step"] = steps
    run.save(tmp_path / "run.h5")
    with pytest.raises(FileFormatError, match="is damaged"):
        open_run(tmp_path / "run.h5")


def test_a_folder_is_not_a_run(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        open_run(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.h5 does not exist"):
        open_run(tmp_path / "none.h5")
