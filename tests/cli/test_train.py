"""`nnlab train`: the contract of scripts, stopping and going on, and every wrong way to call it."""

import json
import os
import re
import signal
import time

import h5py
import numpy as np
import pytest


def weights(path):
    with h5py.File(path) as file:
        found = {}
        file["weights"].visititems(
            lambda name, item: found.update({name: item[()]}) if hasattr(item, "shape") else None
        )
    return found


def same(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_json_has_the_keys_that_scripts_rely_on(nnlab, fashion_file, tmp_path):
    run = tmp_path / "mlp.h5"
    done = nnlab(
        "train", fashion_file, "-o", run, "--model", "mlp", "--hidden", "32,16", "--l2", "1e-3",
        "--dropout", "0.1", "--epochs", 3, "--json",
    )  # fmt: skip
    assert done.code == 0
    record = done.json
    assert record["run"] == str(run)
    assert record["model"] == "mlp"
    assert record["parameters"] == 784 * 32 + 32 + 32 * 16 + 16 + 16 * 10 + 10
    assert record["epochs"] == 3
    assert 1 <= record["best_epoch"] <= 3
    for split in ("train", "val"):
        assert set(record[split]) == {"loss", "accuracy"}
        assert record[split]["accuracy"] > 0.3
    assert record["seconds"] > 0
    assert record["images_per_second"] > 0


def test_without_a_terminal_there_is_one_line_an_epoch_and_no_bar(nnlab, fashion_file, tmp_path):
    done = nnlab("train", fashion_file, "-o", tmp_path / "run.h5", "--epochs", 3)
    lines = done.stderr.splitlines()
    assert sum(line.startswith("epoch ") for line in lines) == 3
    assert "a tenth of train is set aside" in lines[0]
    assert "\r" not in done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    assert "epoch " not in done.stdout.replace("best epoch", "")


def test_the_run_file_has_the_layout_of_the_format(softmax_run):
    with h5py.File(softmax_run) as file:
        assert file.attrs["nnlab_format"] in {"run", b"run"}
        assert file.attrs["format_version"] == 1
        assert file.attrs["kind"] in {"network", b"network"}
        assert file["weights/0_linear/W"].shape == (784, 10)
        assert file["best/weights/0_linear/b"].shape == (10,)
        assert file["history/epoch/train_loss"].shape == (2,)
        assert file["history/epoch/val_accuracy"].shape == (2,)
        steps = {name: file["history/step"][name].shape for name in file["history/step"]}
        assert steps == dict.fromkeys(("loss", "learning_rate", "gradient_norm"), (2 * 15,))
        config = json.loads(file["config"][()])
        assert config["model"] == "softmax"
        assert config["lr"] == 0.001
        assert json.loads(file["model/spec"][()])["network"]["layers"][0]["kind"] == "linear"
        assert file["preprocessing/scale"].shape == (784,)
        assert file["optimizer/first_moment"].shape == (7850,)


@pytest.fixture
def trained(nnlab, fashion_file, tmp_path):
    """Train a small MLP with more options and return its weights."""

    def train(name, *options, env=None):
        run = tmp_path / f"{name}.h5"
        done = nnlab(
            "train", fashion_file, "-o", run, "--model", "mlp", "--dropout", "0.3", "--epochs", 2,
            "--augment", "shift=2", *options, env=env,
        )  # fmt: skip
        assert done.code == 0, done.stderr
        return weights(run)

    return train


def test_the_same_command_gives_the_same_weights_bit_for_bit(trained):
    assert same(trained("a"), trained("b"))


def test_without_compiled_loops_the_weights_are_the_same_to_rounding(trained):
    compiled = trained("compiled", "--dtype", "float64")
    plain = trained("plain", "--dtype", "float64", env={"NNLAB_COMPILED": "0"})
    assert compiled.keys() == plain.keys()
    for name, array in compiled.items():
        np.testing.assert_allclose(array, plain[name], 1e-9, 1e-11, err_msg=name)


LONG = ("--model", "mlp", "--hidden", "64", "--dropout", "0.2", "--batch-norm", "--ema", "0.9",
        "--batch-size", 20, "--schedule", "cosine")  # fmt: skip


@pytest.mark.parametrize(
    ("number", "order"),
    [
        (signal.SIGTERM, ()),
        (signal.SIGINT, ()),
        (signal.SIGUSR1, ("--shuffle", "blocks", "--shuffle-window", 1)),
    ],
)
def test_a_stopped_run_goes_on_to_the_very_same_weights(
    nnlab, start_nnlab, fashion_file, tmp_path, number, order
):
    whole, parts = tmp_path / "whole.h5", tmp_path / "parts.h5"
    settings = (*LONG, *order, "--epochs", 40)
    assert nnlab("train", fashion_file, "-o", whole, *settings).code == 0
    process = start_nnlab("train", fashion_file, "-o", parts, *settings, "--json")
    for line in process.stderr:
        if line.startswith("epoch"):
            break
    time.sleep(0.05)
    process.send_signal(number)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    message = json.loads(out)["error"]
    assert message["code"] == 75
    assert "--resume goes on" in message["message"]
    assert "Traceback" not in err
    done = nnlab("train", fashion_file, "-o", parts, *settings, "--resume", "--json")
    assert done.code == 0
    assert done.json["epochs"] == 40
    assert same(weights(whole), weights(parts))
    with h5py.File(whole) as one, h5py.File(parts) as other:
        for name in one["history/step"]:
            np.testing.assert_array_equal(one["history/step"][name], other["history/step"][name])
        for name in one["history/epoch"]:
            if name != "seconds":
                np.testing.assert_array_equal(
                    one["history/epoch"][name], other["history/epoch"][name]
                )


def test_a_time_limit_stops_with_a_checkpoint_and_75(nnlab, fashion_file, tmp_path):
    run = tmp_path / "run.h5"
    arguments = ("train", fashion_file, "-o", run, *LONG, "--epochs", 5000)
    done = nnlab(*arguments, "--time-limit", "1s")
    assert done.code == 75
    assert "stopped by the time limit" in done.stderr
    done = nnlab(*arguments, "--time-limit", "1s", "--resume")
    assert done.code == 75


def test_a_checkpoint_is_a_run_that_eval_takes(nnlab, fashion_file, tmp_path):
    run = tmp_path / "run.h5"
    nnlab("train", fashion_file, "-o", run, *LONG, "--epochs", 5000, "--time-limit", "1s")
    assert nnlab("eval", run, "--json").json["n"] == 500


def test_a_killed_run_has_its_last_checkpoint(nnlab, start_nnlab, fashion_file, tmp_path):
    run = tmp_path / "run.h5"
    settings = (*LONG, "--epochs", 20, "--checkpoint-every", 30)
    process = start_nnlab("train", fashion_file, "-o", run, *settings)
    while not run.exists():
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    whole = tmp_path / "whole.h5"
    assert nnlab("train", fashion_file, "-o", run, *settings, "--resume").code == 0
    assert nnlab("train", fashion_file, "-o", whole, *settings).code == 0
    assert same(weights(run), weights(whole))


def test_resuming_a_finished_run_says_so_and_a_larger_epochs_goes_on(nnlab, fashion_file, tmp_path):
    run = tmp_path / "run.h5"
    first = nnlab("train", fashion_file, "-o", run, "--epochs", 2, "--json").json
    again = nnlab("train", fashion_file, "-o", run, "--epochs", 2, "--resume", "--json")
    assert again.code == 0
    assert again.json == first
    assert "was finished before" in again.stderr
    more = nnlab("train", fashion_file, "-o", run, "--epochs", 4, "--resume", "--json")
    assert more.json["epochs"] == 4


def test_resuming_with_other_settings_names_them(nnlab, fashion_file, softmax_run):
    done = nnlab("train", fashion_file, "-o", softmax_run, "--epochs", 2, "--lr", 0.5, "--resume")
    assert done.code == 2
    assert "--lr was 0.001, is 0.5" in done.stderr
    # The advice in the message works.
    advised = nnlab("train", "-o", softmax_run, "--config", softmax_run, "--resume")
    assert advised.code == 0, advised.stderr


def test_resume_without_a_file_starts_afresh(nnlab, fashion_file, tmp_path):
    run = tmp_path / "new.h5"
    done = nnlab("train", fashion_file, "-o", run, "--epochs", 1, "--resume")
    assert done.code == 0
    assert "starting afresh" in done.stderr


def test_divergence_exits_with_3_and_keeps_a_readable_run(nnlab, fashion_file, tmp_path):
    run = tmp_path / "run.h5"
    arguments = ("train", fashion_file, "-o", run, "--model", "mlp", "--optimizer", "sgd",
                 "--lr", 1e20, "--epochs", 2)  # fmt: skip
    done = nnlab(*arguments, "--json")
    assert done.code == 3
    assert "diverged" in done.json["error"]["message"]
    assert "Warning" not in done.stderr
    assert nnlab("eval", run, "--json").code == 0
    assert nnlab(*arguments, "--resume").code == 2


def test_a_configuration_file_speaks_before_the_defaults_and_after_the_options(
    nnlab, fashion_file, tmp_path
):
    config = tmp_path / "mlp.toml"
    config.write_text(
        f'data = "{fashion_file}"\nmodel = "mlp"\nhidden = [24]\nepochs = 5\nbatch-size = 50\n'
    )
    run = tmp_path / "run.h5"
    done = nnlab("train", "--config", config, "-o", run, "--epochs", 1, "--json")
    assert done.code == 0, done.stderr
    assert done.json["parameters"] == 784 * 24 + 24 + 240 + 10
    assert done.json["epochs"] == 1
    again = tmp_path / "again.h5"
    assert nnlab("train", "--config", run, "-o", again).code == 0
    assert same(weights(run), weights(again))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "cnn"), "--model is one of softmax, svm, mlp"),
        (("--epochs", "0"), "--epochs is a whole number of at least 1"),
        (("--epochs", "many"), "--epochs"),
        (("--epochs", str(2**63)), "--epochs is a whole number of at least 1 that fits in 64 bits"),
        (("--lr", "-1"), "--lr is a number above 0"),
        (("--hidden", "10"), "--hidden belongs to --model mlp"),
        (("--model", "mlp", "--hidden", "a"), "--hidden takes widths"),
        (("--delta", "0"), "--delta is a number above 0"),
        (("--augment", "spin"), "spin"),
        (("--val", "3000"), "cannot set aside 3000 of 2000"),
        (("--class-weight", "1,2"), "10 numbers of at least 0"),
        (("--time-limit", "soon"), "no duration"),
        (("--threads", "0"), "--threads"),
        (("--config", "missing.toml"), "missing.toml cannot be read"),
        (("--frobnicate",), "No such option"),
    ],
)
def test_a_wrong_option_is_one_line_and_2(nnlab, fashion_file, tmp_path, arguments, message):
    run = tmp_path / "run.h5"
    done = nnlab("train", fashion_file, "-o", run, *arguments)
    assert done.code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_bad_data_files_are_one_line_and_2(nnlab, fashion_file, softmax_run, tmp_path):
    foreign, cut = tmp_path / "notes.h5", tmp_path / "cut.h5"
    foreign.write_text("no HDF5 at all")
    cut.write_bytes(fashion_file.read_bytes()[:100_000])
    for bad in (tmp_path / "missing.h5", tmp_path, foreign, cut, softmax_run):
        done = nnlab("train", bad, "-o", tmp_path / "run.h5")
        assert done.code == 2, bad
        assert len(done.stderr.strip().splitlines()) == 1
        assert str(bad) in done.stderr
        assert not (tmp_path / "run.h5").exists()


def test_a_loss_beyond_reading_is_written_with_its_power_of_ten(nnlab, fashion_file, tmp_path):
    huge = ("--optimizer", "sgd", "--lr", 1e30, "--epochs", 1)
    done = nnlab("train", fashion_file, "-o", tmp_path / "run.h5", *huge)
    assert re.search(r"train loss \d\.\d{3}e\+\d\d  accuracy", done.stderr), done.stderr


def test_an_existing_run_is_not_replaced_without_force(nnlab, fashion_file, tmp_path):
    run = tmp_path / "run.h5"
    run.write_text("mine")
    done = nnlab("train", fashion_file, "-o", run, "--epochs", 1)
    assert done.code == 2
    assert "go on with --resume, choose another name, or replace it with --force" in done.stderr
    assert run.read_text() == "mine"
    assert nnlab("train", fashion_file, "-o", run, "--epochs", 1, "--force").code == 0
    no_folder = nnlab("train", fashion_file, "-o", tmp_path / "none" / "run.h5")
    assert no_folder.code == 2
    assert "does not exist" in no_folder.stderr


@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_a_place_that_cannot_be_written_is_refused_before_training(
    nnlab, fashion_file, tmp_path, resume
):
    gone = nnlab("train", fashion_file, "-o", tmp_path / "gone" / "run.h5", *resume)
    assert gone.code == 2
    assert "does not exist; make it first" in gone.stderr
    if not os.path.isdir("/proc/self"):
        pytest.skip("there is no folder that nobody can write to")
    closed = nnlab("train", fashion_file, "-o", "/proc/self/run.h5", *resume)
    assert closed.code == 2
    assert "cannot write /proc/self/run.h5" in closed.stderr
    assert "epoch" not in closed.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('threads = "two"', "threads is a whole number of at least 1, not 'two'"),
        ("threads = -3", "threads is a whole number of at least 1, not -3"),
        ("time-limit = 0", "'0' is no duration"),
        ("checkpoint-every = true", "checkpoint-every is no text: True"),
        ("output = 5", "output is no text: 5"),
    ],
)
def test_what_surrounds_a_run_is_checked_in_a_configuration_file(
    nnlab, fashion_file, tmp_path, line, message
):
    config = tmp_path / "run.toml"
    config.write_text(line)
    done = nnlab("train", fashion_file, "-o", tmp_path / "run.h5", "--config", config)
    assert done.code == 2
    assert message in done.stderr


def test_no_checkpoints_can_be_said_in_a_configuration_file(tmp_path, monkeypatch, fashion_file):
    from nnlab.cli import main
    from nnlab.training import session

    plans = []
    monkeypatch.setattr(session, "train", lambda *given: plans.append(given[2]) or (x for x in ()))
    monkeypatch.setattr("nnlab.cli.train._show", lambda *_: {})
    config = tmp_path / "run.toml"
    config.write_text("checkpoint-every = 0")
    arguments = ["train", str(fashion_file), "-o", str(tmp_path / "run.h5")]
    assert main.main([*arguments, "--config", str(config)]) == 0
    assert (plans[0].checkpoint_seconds, plans[0].checkpoint_steps) == (None, None)


def test_another_model_or_optimizer_than_the_runs_has_its_own_defaults(
    nnlab, fashion_file, tmp_path
):
    svm, other = tmp_path / "svm.h5", tmp_path / "other.h5"
    arguments = ("--model", "svm", "--epochs", 1, "--l2", 0.01)
    assert nnlab("train", fashion_file, "-o", svm, *arguments).code == 0
    done = nnlab("train", "--config", svm, "-o", other, "--model", "softmax", "--optimizer", "sgd")
    assert done.code == 0, done.stderr
    with h5py.File(other) as file:
        config = json.loads(file["config"][()])
    chosen = {key: config[key] for key in ("model", "loss", "optimizer", "lr", "l2", "epochs")}
    assert chosen == {
        "model": "softmax", "loss": "softmax", "optimizer": "sgd", "lr": 0.1, "l2": 0.01,
        "epochs": 1,
    }  # fmt: skip


def test_going_on_drops_what_was_measured_on_the_old_weights(nnlab, fashion_file, tmp_path):
    run = tmp_path / "run.h5"
    arguments = ("train", fashion_file, "-o", run)
    assert nnlab(*arguments, "--epochs", 1).code == 0
    assert nnlab("eval", run).code == 0
    stopped = nnlab(*arguments, "--epochs", 500, "--resume", "--time-limit", "0.01s")
    assert stopped.code == 75
    with h5py.File(run) as file:
        assert "result" not in file
        assert not len(file.get("evaluations", ()))


def test_force_replaces_files_alone(nnlab, fashion_file, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = nnlab("train", fashion_file, "-o", pipe, "--epochs", 1, "--force")
    assert done.code == 2
    assert "is no regular file" in done.stderr
    assert pipe.is_fifo()


def test_weights_without_a_finite_loss_are_no_result(nnlab, fashion_file, tmp_path):
    done = nnlab(
        "train", fashion_file, "-o", tmp_path / "run.h5", "--optimizer", "sgd", "--lr", 1e38,
        "--batch-size", 2000, "--epochs", 1, "--val", 0, "--json",
    )  # fmt: skip
    assert done.code == 3, done.stdout
    assert "diverged" in done.json["error"]["message"]
    assert "Warning" not in done.stderr
