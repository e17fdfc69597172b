"""One writer of a file at a time, whoever died before, and without the system's locks."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnlab import claims
from nnlab.atomic import claim_result, staged, write_bytes
from nnlab.claims import Owner, claim, claim_file, owner_of
from nnlab.errors import BusyError, ClaimLostError, InputError

HOLD = """
import sys, time
from pathlib import Path
from nnlab.claims import claim
held = claim(Path(sys.argv[1]), "train")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.h5"


@pytest.fixture
def another_process(path):
    """Another process that holds the claim to `path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def leave_claim(path, age=0.0, **of):
    """Leave a claim as a process of another machine would, touched `age` seconds ago."""
    there = {"host": "node7", "machine": "node7 boot pid:[1]", "pid": 12, "born": "34"}
    owner = dataclasses.replace(Owner.here("train", brief=False), **{**there, **of})
    claim_file(path).write_text(json.dumps(dataclasses.asdict(owner)))
    touched = time.time() - age
    os.utime(claim_file(path), (touched, touched))
    return owner


def test_a_claim_names_its_owner_and_goes_away_at_the_end(path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    with claim(path, "train") as held:
        record = json.loads(claim_file(path).read_text())
        assert record["token"] == held.owner.token
        assert record["pid"] == os.getpid()
        assert record["host"] == os.uname().nodename
        assert (record["job"], record["restarts"]) == ("4711", 2)
        assert owner_of(path) == held.owner
        held.check()
    assert os.listdir(path.parent) == []
    assert owner_of(path) is None


def test_a_claim_goes_away_with_an_error_too(path):
    with pytest.raises(ZeroDivisionError), claim(path, "train"):
        raise ZeroDivisionError
    assert os.listdir(path.parent) == []


def test_a_second_writer_is_told_who_the_first_is(path, another_process):
    for force in (False, True):  # which is for the dead
        with pytest.raises(
            BusyError,
            match=rf"is being written by train \(process {another_process.pid} on .*\); wait",
        ):
            claim(path, "train", force=force)
    assert os.listdir(path.parent) == [claim_file(path).name]


@pytest.mark.parametrize("waited_for", [True, False], ids=["reaped", "zombie"])
def test_a_dead_process_of_this_machine_is_followed_at_once(path, another_process, waited_for):
    pid = another_process.pid
    another_process.kill()
    if waited_for:
        another_process.wait()
    else:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with claim(path, "train") as held:
        assert held.notice.startswith(f"took {path} over from train (process {pid} on ")
        assert held.notice.endswith("it has ended")


def test_a_number_that_the_system_gave_to_another_process_is_no_sign_of_life(path):
    here = Owner.here("train", brief=False)
    leave_claim(path, host=here.host, machine=here.machine, pid=here.pid, born="1")
    with claim(path, "train") as held:
        assert "it has ended" in held.notice


def test_a_process_that_the_system_hides_may_live(path, monkeypatch):
    here = Owner.here("train", brief=False)
    leave_claim(path, host=here.host, machine=here.machine, pid=1, born="1")
    monkeypatch.setattr(claims, "_state_and_birth", lambda _: ("", ""))

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    with pytest.raises(BusyError):
        claim(path, "train")


def test_a_process_of_another_machine_is_believed_for_five_minutes(path):
    leave_claim(path, age=280)
    with pytest.raises(BusyError, match=r"silent for 280 s; if it is dead, add --force"):
        claim(path, "train")
    leave_claim(path, age=301)
    with claim(path, "train") as held:
        assert "silent for 5 minutes" in held.notice


def test_force_follows_an_owner_that_missed_its_beats_and_no_other(path):
    leave_claim(path, age=80)
    with pytest.raises(BusyError):
        claim(path, "train", force=True)
    leave_claim(path, age=100)
    with claim(path, "train", force=True) as held:
        assert "silent for 100 s" in held.notice


def test_the_clock_is_the_file_servers(path, monkeypatch):
    leave_claim(path)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with pytest.raises(BusyError):
        claim(path, "train")


def test_a_clock_that_was_put_back_does_not_keep_a_claim_for_ever(path):
    leave_claim(path, age=-3600)
    with claim(path, "train") as held:
        assert held.notice


def test_a_later_attempt_of_the_same_job_follows_at_once(path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    for attempt, job in (("1", "4711"), ("2", "4712")):
        leave_claim(path, job=job, restarts=1)
        monkeypatch.setenv("SLURM_RESTART_COUNT", attempt)
        with pytest.raises(BusyError, match=f"job {job}"):
            claim(path, "train")
    leave_claim(path, job="4711", restarts=1)
    with claim(path, "train") as held:
        assert "an earlier attempt of this job" in held.notice


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'{"token": 3, "purpose": "x"}', b"\xff" * 5000, b"[" * 4000]
)
def test_a_claim_that_cannot_be_read_is_believed_like_any_other(path, content):
    claim_file(path).write_bytes(content)
    with pytest.raises(BusyError, match="somebody who left no name"):
        claim(path, "train")
    old = time.time() - 301
    os.utime(claim_file(path), (old, old))
    with claim(path, "train"):
        pass


def test_who_lost_the_claim_does_not_rename(path):
    path.write_bytes(b"old")
    with claim(path, "train") as held:
        claim_file(path).unlink()
        leave_claim(path, purpose="sweep")
        with pytest.raises(ClaimLostError, match=r"sweep .* has taken it over") as caught:
            write_bytes(path, b"new", held=held)
        assert caught.value.exit_code == 75
        assert held.lost
    assert path.read_bytes() == b"old"
    assert owner_of(path).purpose == "sweep", "another's claim is not ours to remove"
    assert (
        os.listdir(path.parent) == ["run.h5", "run.h5.claim"] or len(os.listdir(path.parent)) == 2
    )


def test_a_claim_that_has_gone_is_lost(path):
    with claim(path, "train") as held:
        claim_file(path).unlink()
        with pytest.raises(ClaimLostError, match="is gone"):
            write_bytes(path, b"new", held=held)
    assert os.listdir(path.parent) == []


def test_who_is_overtaken_between_the_check_and_the_rename_loses_too(path, monkeypatch):
    path.write_bytes(b"old")
    replace, others = os.replace, []

    def stopped_for_hours(source, target):
        monkeypatch.setattr(os, "replace", replace)
        old = time.time() - 301
        os.utime(claim_file(path), (old, old))
        others.append(claim(path, "train"))
        write_bytes(path, b"the other's", held=others[0])
        replace(source, target)

    with claim(path, "train") as held:
        monkeypatch.setattr(os, "replace", stopped_for_hours)
        with pytest.raises(ClaimLostError):
            write_bytes(path, b"new", held=held)
    assert path.read_bytes() == b"the other's"
    others[0].release()
    assert os.listdir(path.parent) == ["run.h5"]


def test_the_next_writer_removes_what_dead_ones_left_and_nothing_else(path):
    for name in ("run.h5.0123456789abcdef.tmp", "run.h5.fedcba9876543210.heir.tmp"):
        (path.parent / name).touch()
    kept = {"run.h5.mine.tmp", "run.h52.0123456789abcdef.tmp", "other.0123456789abcdef.tmp"}
    for name in kept:
        (path.parent / name).touch()
    with claim(path, "train"):
        pass
    assert set(os.listdir(path.parent)) == kept


def test_the_claim_is_touched_as_long_as_its_owner_lives(path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    with claim(path, "train") as held:
        old = time.time() - 250
        os.utime(claim_file(path), (old, old))
        while claim_file(path).stat().st_mtime < old + 1:
            time.sleep(0.005)
        claim_file(path).unlink()
        while not held.lost:
            time.sleep(0.005)


def test_where_there_are_no_hard_links_the_claim_is_made_exclusively(path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with claim(path, "train"):
        with pytest.raises(BusyError):
            claim(path, "train")
        assert owner_of(path).purpose == "train"
    assert os.listdir(path.parent) == []


def test_a_link_whose_success_was_lost_on_the_way_counts(path, monkeypatch):
    link = os.link

    def answer_lost(source, target):
        link(source, target)
        raise FileExistsError(17, "File exists")

    monkeypatch.setattr(os, "link", answer_lost)
    with claim(path, "train") as held:
        held.check()


def test_who_comes_late_to_a_stale_claim_gets_nothing(path, monkeypatch):
    leave_claim(path, age=400)
    write, winners = claims._write_new, []

    def late(place, content):
        if place.name.endswith(".heir.tmp") and not winners:
            monkeypatch.setattr(claims, "_write_new", write)
            winners.append(claim(path, "train"))
        write(place, content)

    monkeypatch.setattr(claims, "_write_new", late)
    monkeypatch.setattr(claims, "_sweep", lambda *_: None)  # which would stop it as well
    with pytest.raises(BusyError):
        claim(path, "train")
    winners[0].check()
    winners[0].release()


def test_a_brief_claim_is_waited_for(path, monkeypatch):
    first = claim(path, "eval", brief=True)
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        first.release()

    monkeypatch.setattr(claims, "sleep", sleep)
    with claim(path, "eval", brief=True):
        assert naps
    monkeypatch.setattr(claims, "WAIT_SECONDS", 0.0)
    with claim(path, "eval", brief=True), pytest.raises(BusyError, match="being written by eval"):
        claim(path, "eval", brief=True)


def test_every_write_claims_its_file(path):
    with claim(path, "train"):
        for write in (lambda: write_bytes(path, b"x"), lambda: staged(path).__enter__()):
            with pytest.raises(BusyError):
                write()
    assert os.listdir(path.parent) == []


def test_a_result_that_appeared_meanwhile_is_not_replaced(path):
    with claim_result(path, "train", force=False):
        path.touch()
    with pytest.raises(InputError, match="exists already"):
        claim_result(path, "train", force=False)
    claim_result(path, "train", force=True).release()
    claim_result(path, "train", force=False, resume=True).release()
    assert os.listdir(path.parent) == ["run.h5"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*: No such file or directory"):
        claim(tmp_path / "none" / "run.h5", "train")


RACE = """
import os, sys, time
from pathlib import Path
from nnlab.claims import claim
from nnlab.errors import BusyError
path = Path(sys.argv[1])
sys.stdin.readline()
try:
    held = claim(path, "train")
except BusyError:
    print("busy")
else:
    print("won", flush=True)
    sys.stdin.readline()
    held.release()
"""


@pytest.mark.parametrize("stale", [False, True], ids=["new", "stale"])
def test_of_many_that_start_together_one_wins(path, stale):
    for _ in range(3):
        if stale:
            leave_claim(path, age=400)
        runners = [
            subprocess.Popen(
                [sys.executable, "-c", RACE, path],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for _ in range(6)
        ]  # fmt: skip
        for runner in runners:
            runner.stdin.write("go\n")
            runner.stdin.flush()
        said = [runner.stdout.readline().strip() for runner in runners]
        for runner in runners:
            runner.communicate("end\n")
        assert sorted(said) == ["busy"] * 5 + ["won"]
        assert os.listdir(path.parent) == []


def test_a_stopped_writer_that_wakes_up_replaces_nothing(path):
    program = HOLD.replace("time.sleep(60)", "sys.stdin.readline()") + (
        "\nfrom nnlab.atomic import write_bytes"
        "\nwrite_bytes(held.path, b'from the grave', held=held)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", program, path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdout.readline() == "held\n"
    writer.send_signal(signal.SIGSTOP)
    old = time.time() - 301
    os.utime(claim_file(path), (old, old))
    with claim(path, "train") as held:
        write_bytes(path, b"resumed elsewhere", held=held)
    writer.send_signal(signal.SIGCONT)
    _, err = writer.communicate("\n", timeout=30)
    assert "ClaimLostError" in err
    assert path.read_bytes() == b"resumed elsewhere"
    assert [Path(name).name for name in os.listdir(path.parent)] == ["run.h5"]
