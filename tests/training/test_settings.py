"""Settings: every wrong value is one line that names the option."""

import numpy as np
import pytest

from nnlab.errors import InputError
from nnlab.training.durations import format_duration, parse_duration
from nnlab.training.settings import Settings, parse_class_weight, parse_hidden


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "cnn"}, "--model is one of softmax, svm, mlp, not 'cnn'"),
        ({"epochs": 0}, "--epochs is a whole number of at least 1 that fits in 64 bits, not 0"),
        ({"epochs": 1.5}, "--epochs is a whole number"),
        ({"epochs": True}, "--epochs is a whole number"),
        ({"batch_size": -1}, "--batch-size is a whole number of at least 1"),
        ({"lr": 0}, "--lr is a number above 0"),
        ({"lr": float("nan")}, "--lr is a number above 0"),
        ({"lr": "fast"}, "--lr is a number above 0"),
        ({"delta": -1.0}, "--delta is a number above 0"),
        ({"dropout": 1.0}, "--dropout is at least 0 and below 1"),
        ({"l2": float("inf")}, "--l2 is a number of at least 0"),
        ({"model": "mlp", "hidden": "512,x"}, "--hidden takes widths such as 512,256"),
        ({"model": "mlp", "hidden": "0"}, "each at least 1"),
        ({"hidden": "10"}, "--hidden belongs to --model mlp"),
        ({"dropout": 0.5}, "--dropout belongs to --model mlp"),
        ({"model": "svm", "batch_norm": True}, "--batch-norm belongs to --model mlp"),
        ({"model": "svm", "label_smoothing": 0.1}, "--label-smoothing belongs to --loss softmax"),
        ({"delta": 2.0}, "--delta is the margin of the hinge losses"),
        ({"seed": -1}, "--seed is a whole number of at least 0"),
        ({"optimizer": "adam", "momentum": 0.9}, "--momentum belongs to sgd, momentum"),
        ({"batch_norm": True, "layer_norm": True}, "exclude each other"),
        ({"batch_norm": "yes"}, "--batch-norm cannot be 'yes'"),
        ({"augment": 3}, "--augment cannot be 3"),
        ({"seed": None}, "--seed needs a value"),
        ({"speed": 3}, "unknown setting 'speed'"),
    ],
)
def test_a_wrong_setting_is_named(values, message):
    with pytest.raises(InputError, match=message):
        Settings.of(values)


def test_keys_may_be_written_as_options_or_as_names():
    assert Settings.of({"batch-size": 32}) == Settings.of({"batch_size": 32})
    assert Settings.of({"model": "mlp", "hidden": [512, 256]}).hidden == "512,256"
    assert Settings.of({"model": "mlp", "hidden": 100}).hidden == "100"


def test_numpys_numbers_and_tuples_are_as_good():
    given = Settings.of(
        {"model": "mlp", "lr": np.float32(0.5), "epochs": np.int64(3), "hidden": (8, 4)}
    )
    assert (given.lr, given.epochs, given.hidden) == (0.5, 3, "8,4")


def test_resolving_fills_in_what_the_model_and_the_optimizer_decide():
    resolved = Settings(model="mlp", optimizer="adamw").resolve()
    assert (resolved.loss, resolved.hidden, resolved.lr) == ("softmax", "100", 0.001)
    assert resolved.weight_decay == 0.01
    assert Settings(model="svm").resolve().loss == "hinge"
    assert Settings(lr=0.5, weight_decay=0.0).resolve().lr == 0.5
    assert resolved.resolve() == resolved


def test_hidden_widths():
    assert parse_hidden("512, 256") == (512, 256)
    assert parse_hidden(None) == ()


@pytest.mark.parametrize("text", ["1,2", "1,2,-3", "a,b,c", "1,2,nan", "0,0,0"])
def test_class_weights_are_one_number_a_class(text):
    with pytest.raises(InputError, match="3 numbers of at least 0"):
        parse_class_weight(text, 3)


def test_class_weights_that_are_right():
    assert parse_class_weight("1,2,0.5", 3) == [1.0, 2.0, 0.5]
    assert parse_class_weight("balanced", 3) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("0.5h", 1800)],
)
def test_durations_are_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "soon", "5x", "-3m", "m"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(InputError, match="no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.23, "4.2 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_are_written(seconds, text):
    assert format_duration(seconds) == text
