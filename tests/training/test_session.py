"""A run and its file: what may change between its parts, and saves that fail."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnlab import atomic
from nnlab.claims import claim, claim_file
from nnlab.errors import (
    BusyError,
    ClaimLostError,
    DivergedError,
    FileFormatError,
    InputError,
    InterruptedRunError,
)  # fmt: skip
from nnlab.runs import open_run
from nnlab.training import keeping
from nnlab.training.images import ImageSet
from nnlab.training.session import CheckpointWarning, Finished, Plan, Started, TrainingData, train
from nnlab.training.settings import Settings

SETTINGS = Settings.of({"model": "softmax", "epochs": 2, "batch_size": 50, "val": 50})


@pytest.fixture(scope="module")
def data(fashion):
    """250 images with their labels."""
    images = ImageSet.of(fashion[0].images[:250], fashion[0].labels[:250])
    names = [str(number) for number in range(10)]
    return TrainingData("fashion", Path("fashion.h5"), "0123456789abcdef", names, images, None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.h5"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(keeping, "PATIENCE", (0.0, 0.0))


def walk(settings, data, path, **plan):
    return list(train(settings, data, Plan(path, ["nnlab", "train"], **plan)))


def notices(events):
    return next(event for event in events if isinstance(event, Started)).notices


def stopped_after(steps):
    """A `stop` that has a reason after so many boundaries."""
    asked = iter([""] * steps + ["SIGTERM"] * 100)
    return lambda: next(asked)


def full_disk(*_args, **_options):
    raise OSError(28, "No space left on device")


# What may change


def test_a_resumed_run_is_the_unbroken_one(data, path, tmp_path, monkeypatch):
    monkeypatch.setattr("nnlab.training.trainer.TOGETHER", 1)
    with pytest.raises(InterruptedRunError, match=r"after 1 of 2 epochs and 2 of 4 steps; about"):
        walk(SETTINGS, data, path, stop=stopped_after(5))
    walk(SETTINGS, data, path, resume=True)
    walk(SETTINGS, data, tmp_path / "whole.h5")
    one, other = open_run(path), open_run(tmp_path / "whole.h5")
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], err_msg=name)


def test_more_epochs_go_on_and_say_what_the_schedule_does(data, path):
    walk(SETTINGS, data, path)
    events = walk(replace(SETTINGS, epochs=3), data, path, resume=True)
    assert notices(events)[-1] == (
        "--epochs was 2, is 3: the schedule cosine now spans 3 epochs, so the learning rate goes "
        "on at 0.00025 instead of 0"
    )
    assert events[-1].record["epochs"] == 3


def test_a_schedule_that_does_not_care_about_the_end_says_so(data, path):
    constant = replace(SETTINGS, schedule="constant")
    walk(constant, data, path)
    events = walk(replace(constant, epochs=3), data, path, resume=True)
    assert (
        "the schedule constant goes on as before, with a learning rate of 0.001"
        in (notices(events)[-1])
    )


def test_another_number_of_threads_is_noted(data, path):
    with pytest.raises(InterruptedRunError):
        walk(SETTINGS, data, path, threads=4, stop=stopped_after(1))
    events = walk(SETTINGS, data, path, threads=2, resume=True)
    assert "the run began with 4 threads and goes on with 2" in notices(events)[-1]


def test_a_finished_run_is_left_alone(data, path):
    walk(SETTINGS, data, path)
    before = path.read_bytes()
    (event,) = walk(replace(SETTINGS, early_stopping=7), data, path, resume=True)
    assert isinstance(event, Finished)
    assert event.already
    assert path.read_bytes() == before


def test_other_data_is_named_with_its_checksum(data, path):
    walk(SETTINGS, data, path)
    with pytest.raises(InputError, match=r"had the checksum 0123456789ab\.\.\., fashion has ffff"):
        walk(SETTINGS, replace(data, checksum="f" * 64), path, resume=True)


def test_a_run_of_another_kind_is_refused(data, path):
    walk(SETTINGS, data, path)
    run = open_run(path)
    run.kind = "knn"
    run.save(path)
    with pytest.raises(InputError, match="is a run of kind knn"):
        walk(SETTINGS, data, path, resume=True)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda content: content[:-100], "is cut short"),
        (lambda content: content[:5000] + b"x" + content[5001:], "is damaged"),
        (lambda content: content.replace(b"nnlab run 1", b"nnlab run 2", 1), "format version 2"),
        (lambda _: b"", "is damaged or not an nnlab run file"),
    ],
)
def test_a_damaged_file_is_never_replaced_in_silence(data, path, damage, what):
    walk(SETTINGS, data, path)
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(FileFormatError, match=f"{what}.*--force instead of --resume"):
        walk(SETTINGS, data, path, resume=True)
    assert path.read_bytes() == before
    walk(SETTINGS, data, path, force=True)  # the advice works
    assert open_run(path).attributes["progress"]["finished"]


# Saves that fail


def test_a_checkpoint_that_fails_is_a_warning_and_the_next_one_is_tried(data, path, monkeypatch):
    sync, calls = atomic.sync, []

    def fail_four_times(place):
        calls.append(place)
        full_disk() if len(calls) <= 4 else sync(place)

    monkeypatch.setattr(atomic, "sync", fail_four_times)
    events = walk(SETTINGS, data, path, checkpoint_seconds=None, checkpoint_steps=1)
    warnings = [event.reason for event in events if isinstance(event, CheckpointWarning)]
    # Two tries a checkpoint, each with a new file.
    assert len(warnings) == 2
    assert warnings[0].startswith("no checkpoint could be written: cannot write")
    assert "No space left on device" in warnings[0]
    assert warnings[0].endswith("Training goes on.")
    assert isinstance(events[-1], Finished)
    assert os.listdir(path.parent) == ["run.h5"]


def test_checkpoints_come_after_just_so_many_steps(data, path, monkeypatch):
    monkeypatch.setattr("nnlab.training.trainer.TOGETHER_SECONDS", 3600.0)
    at, save = [], keeping.Run.save

    def noted(run, *arguments):
        at.append(int(run.attributes["progress"]["step"]))
        return save(run, *arguments)

    monkeypatch.setattr(keeping.Run, "save", noted)
    settings = replace(SETTINGS, batch_size=3, epochs=1)
    walk(settings, data, path, checkpoint_seconds=None, checkpoint_steps=10)
    assert at == [10, 20, 30, 40, 50, 60, 0]


def test_a_last_save_that_fails_says_what_is_there_to_go_on_from(data, path, monkeypatch, tmp_path):
    with monkeypatch.context() as patched:
        patched.setattr(keeping.Run, "save", _save_that_fails_at_the_end(keeping.Run.save))
        with pytest.raises(InputError) as caught:
            walk(SETTINGS, data, path, checkpoint_seconds=None, checkpoint_steps=3)
    assert str(caught.value).endswith(
        "The last state is lost; the file still holds the checkpoint after epoch 1, step 2: the "
        "same command with --resume goes on from there."
    )
    walk(SETTINGS, data, path, resume=True)
    walk(SETTINGS, data, tmp_path / "whole.h5")
    np.testing.assert_array_equal(
        open_run(path).arrays["weights/0_linear/W"],
        open_run(tmp_path / "whole.h5").arrays["weights/0_linear/W"],
    )


def _save_that_fails_at_the_end(save):
    def failing(run, path, held=None):
        if "result" in run.attributes:
            raise InputError(f"cannot write {path}: No space left on device.")
        return save(run, path, held)

    return failing


def test_a_last_save_is_tried_again(data, path, monkeypatch):
    save, tries = keeping.Run.save, []

    def fail_twice(run, path, held=None):
        tries.append(path)
        if len(tries) <= 2:
            raise InputError("cannot write")
        return save(run, path, held)

    monkeypatch.setattr(keeping.Run, "save", fail_twice)
    assert isinstance(walk(SETTINGS, data, path)[-1], Finished)
    assert len(tries) == 3


def test_without_any_checkpoint_a_failed_save_says_so(data, path, monkeypatch):
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(InputError, match="The last state is lost; there is no earlier checkpoint"):
        walk(SETTINGS, data, path)
    assert os.listdir(path.parent) == []


def test_a_folder_that_cannot_be_synced_is_a_warning(data, path, monkeypatch):
    sync = atomic.sync

    def not_folders(place):
        if place.is_dir():
            raise OSError(22, "Invalid argument")
        sync(place)

    monkeypatch.setattr(atomic, "sync", not_folders)
    *_, warning, finished = walk(SETTINGS, data, path)
    assert isinstance(finished, Finished)
    assert "is written, but may not survive a power cut" in warning.reason
    assert open_run(path).attributes["progress"]["finished"]


def test_a_checkpoint_holds_finite_numbers_or_is_not_written(data, path):
    steps = train(SETTINGS, data, Plan(path, [], checkpoint_seconds=0.0))
    next(steps)
    next(steps)
    frame = steps.gi_yieldfrom.gi_frame
    frame.f_locals["trainer"].network.theta[0] = np.inf
    with pytest.raises(Exception, match="training diverged: a weight was not finite at epoch 1"):
        next(steps)
    run = open_run(path)
    assert run.attributes["progress"]["diverged"]
    assert all(np.isfinite(array).all() for array in run.arrays.values())


def test_divergence_on_a_full_disk_is_still_divergence(data, path, monkeypatch):
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(DivergedError, match=r"weights are not kept: cannot write .*No space left"):
        walk(replace(SETTINGS, model="mlp", lr=1e30, optimizer="sgd"), data, path)
    assert os.listdir(path.parent) == []


# One writer


def test_a_run_that_trains_is_nobody_elses(data, path):
    steps = train(SETTINGS, data, Plan(path, []))
    next(steps)
    with pytest.raises(BusyError, match=r"is being written by train \(process"):
        walk(SETTINGS, data, path, force=True)
    steps.close()
    assert os.listdir(path.parent) == []


def test_a_claim_may_be_handed_in_and_stays(data, path):
    with claim(path, "sweep") as held:
        walk(SETTINGS, data, path, held=held)
        held.check()
    assert os.listdir(path.parent) == ["run.h5"]


def test_who_lost_the_run_stops_without_touching_it(data, path):
    steps = train(SETTINGS, data, Plan(path, [], checkpoint_seconds=None, checkpoint_steps=1))
    next(steps)
    next(steps)
    next(steps)
    before = path.read_bytes()
    claim_file(path).unlink()
    with pytest.raises(ClaimLostError):
        next(steps)
    assert path.read_bytes() == before
    assert threading.active_count() < 10
