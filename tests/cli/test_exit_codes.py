"""Every exit code from a real cause, and the JSON object that goes with it."""

import json

import pytest

from nnlab import diagnosis
from nnlab.claims import claim
from nnlab.cli.main import main

TRAIN = ("train", "DATA", "-o", "RUN", "--epochs", "2")
CAUSES = {
    2: ("eval", "RUN"),
    3: (*TRAIN, "--model", "mlp", "--optimizer", "sgd", "--lr", "1e20"),
    69: ("download", "fashion-mnist", "--source", "http://127.0.0.1:9", "--root", "ROOT"),
    75: (*TRAIN, "--time-limit", "0.01s"),
}
DETAILS = {
    2: set(),
    3: {"run", "diverged", "what", "epoch", "step", "global_step", "learning_rate"},
    69: set(),
    75: {"run", "reason", "epochs_done", "epochs"},
}


@pytest.fixture
def ask(fashion_file, tmp_path, capsys):
    """Run a command with --json; return its exit code, its JSON object and the last line."""
    places = {"DATA": fashion_file, "RUN": tmp_path / "run.h5", "ROOT": tmp_path}

    def run(*arguments):
        code = main([*(str(places.get(word, word)) for word in arguments), "--json"])
        out, err = capsys.readouterr()
        assert len(out.splitlines()) == 1
        assert "Traceback" not in err
        return code, json.loads(out), err.splitlines()[-1] if err else ""

    return run


@pytest.mark.parametrize("code", CAUSES)
def test_an_error_is_a_code_a_line_and_an_object(ask, code):
    found, record, line = ask(*CAUSES[code])
    assert found == code
    assert set(record) == {"error"}
    error = record["error"]
    assert set(error) == {"code", "message"} | DETAILS[code]
    assert error["code"] == code
    assert line == f"nnlab: {error['message']}"


def test_0_is_a_result(ask):
    code, record, _ = ask(*TRAIN)
    assert code == 0
    assert "error" not in record


def fail(error):
    def action(*_args, **_options):
        raise error

    return action


def test_1_is_a_bug_and_130_is_ctrl_c(ask, monkeypatch):
    for error, code, words in (
        (ZeroDivisionError("by zero"), 1, "this is a bug in nnlab"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C"),
    ):
        monkeypatch.setattr(diagnosis, "diagnose", fail(error))
        found, record, line = ask("doctor")
        assert found == code
        assert record["error"]["code"] == code
        assert words in record["error"]["message"]
        assert line == f"nnlab: {record['error']['message']}"


def test_a_file_that_another_process_writes_is_2(ask, tmp_path):
    with claim(tmp_path / "run.h5", "train"):
        code, record, _ = ask(*TRAIN)
    assert code == 2
    assert "is being written by train (process" in record["error"]["message"]


def test_a_run_that_another_process_took_over_is_75(ask, tmp_path, monkeypatch):
    from nnlab import claims
    from nnlab.errors import ClaimLostError

    monkeypatch.setattr(claims.Claim, "check", fail(ClaimLostError("taken over.")))
    code, record, _ = ask(*TRAIN)
    assert (code, record["error"]["code"]) == (75, 75)
    assert not (tmp_path / "run.h5").exists()
