"""The search space: what can be said, what is drawn from it, and every wrong way to say it."""

import math
from collections import Counter

import numpy as np
import pytest

from nnlab.errors import InputError
from nnlab.randomness import generator
from nnlab.sweep.space import parse_space
from nnlab.training.settings import Settings


def draws(search, count=2000, fixed=None):
    space = parse_space(search, fixed or {})
    return [space.draw(generator(0, "sweep", trial)) for trial in range(count)]


def test_choices_are_drawn_alike_and_ranges_evenly():
    points = draws(
        {
            "optimizer": ["adam", "sgd", "momentum"],
            "dropout": {"low": 0.1, "high": 0.5},
            "lr": {"low": 1e-4, "high": 1e-1, "log": True},
            "epochs": {"low": 3, "high": 5},
            "batch-size": {"low": 32, "high": 256, "step": 32},
        }
    )
    assert all(580 < count < 750 for count in Counter(p["optimizer"] for p in points).values())
    rates = np.array([p["lr"] for p in points])
    assert rates.min() >= 1e-4
    assert rates.max() <= 1e-1
    assert abs((rates < math.sqrt(1e-4 * 1e-1)).mean() - 0.5) < 0.05
    assert abs(np.mean([p["dropout"] for p in points]) - 0.3) < 0.01
    assert {p["epochs"] for p in points} == {3, 4, 5}
    assert {p["batch_size"] for p in points} == set(range(32, 257, 32))
    assert all(type(p["batch_size"]) is int for p in points)


def test_a_logarithmic_range_of_whole_numbers_gives_the_ends_their_share():
    points = draws({"batch-size": {"low": 1, "high": 8, "log": True}})
    shares = Counter(p["batch_size"] for p in points)
    for value in range(1, 9):
        expected = math.log((value + 0.5) / (value - 0.5)) / math.log(8.5 / 0.5)
        assert abs(shares[value] / len(points) - expected) < 0.04


def test_a_trial_is_a_function_of_the_seed_and_its_number():
    space = parse_space({"lr": {"low": 0.1, "high": 1.0}}, {})
    one, other = (space.draw(generator(0, "sweep", trial)) for trial in (7, 8))
    assert space.draw(generator(0, "sweep", 7)) == one
    assert one != other


def test_a_parameter_counts_only_under_its_conditions():
    search = {
        "model": ["softmax", "mlp"],
        "dropout": {"low": 0.1, "high": 0.5, "when": {"model": "mlp"}},
        "optimizer": ["adam", "momentum", "nesterov"],
        "momentum": {"low": 0.5, "high": 0.9, "when": {"optimizer": ["momentum", "nesterov"]}},
    }
    points = draws(search, 200)
    for point in points:
        assert ("dropout" in point) == (point["model"] == "mlp")
        assert ("momentum" in point) == (point["optimizer"] != "adam")
        Settings.of(parse_space(search, {}).settings(point))
    # A condition may name what is fixed, or left at its default.
    assert all("l2" in p for p in draws({"l2": {"low": 0, "high": 1, "when": {"model": "svm"}}}, 3,
                                        {"model": "svm"}))  # fmt: skip
    assert draws({"l2": {"choices": [0.1], "when": {"model": "svm"}}}, 1) == [{}]


def test_hidden_layers_have_units_of_their_own():
    search = {"hidden": {"layers": [1, 2, 3], "units": {"low": 16, "high": 64, "log": True}}}
    space = parse_space(search, {"model": "mlp"})
    depths = Counter()
    for point in draws(search, 300, {"model": "mlp"}):
        hidden = space.settings(point)["hidden"]
        widths = [int(part) for part in hidden.split(",")]
        assert len(widths) == point["hidden.layers"] == len(point) - 1
        assert all(16 <= width <= 64 for width in widths)
        depths[len(widths)] += 1
    assert set(depths) == {1, 2, 3}


def test_a_grid_has_every_combination_once_the_last_parameter_changing_fastest():
    search = {
        "lr": {"low": 1e-3, "high": 1e-1, "log": True, "points": 3},
        "batch-size": [32, 64],
        "optimizer": ["adam", "momentum"],
        "momentum": {"low": 0.5, "high": 0.9, "step": 0.2, "when": {"optimizer": "momentum"}},
    }
    points = list(parse_space(search, {}).grid())
    assert len(points) == 3 * 2 * (1 + 3)
    assert points[0] == {"lr": 1e-3, "batch_size": 32, "optimizer": "adam"}
    assert [p.get("momentum") for p in points[:4]] == [None, 0.5, 0.7, 0.9]
    assert [p["lr"] for p in points[::8]] == [1e-3, pytest.approx(1e-2), 1e-1]
    layers = parse_space({"hidden": {"layers": [1, 2], "units": [8, 16]}}, {"model": "mlp"})
    assert [layers.settings(p)["hidden"] for p in layers.grid()] == [
        "8", "16", "8,8", "8,16", "16,8", "16,16",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"learning-rate": [1]}, "search.learning-rate: train has no option --learning-rate"),
        ({"lr": 0.1}, "a single value belongs under [fixed]"),
        ({"lr": []}, "nothing to choose from"),
        ({"lr": ["fast"]}, "the choices are numbers, not 'fast'"),
        ({"lr": [0.1, 0.1]}, "0.1 stands there twice"),
        ({"lr": {"low": 0.1}}, "high is missing"),
        ({"lr": {"low": 1, "high": 0.1}}, "low is 1, above high, 0.1"),
        ({"lr": {"low": 0, "high": 1, "log": True}}, "a logarithmic range begins above 0"),
        ({"lr": {"low": -1, "high": 1}}, "--lr is a number above 0, not -1"),
        ({"lr": {"low": 0.1, "high": 1, "steps": 3}}, "unknown key 'steps'"),
        ({"lr": {"low": 0.1, "high": 1, "step": 0.1, "log": True}}, "step goes with neither"),
        ({"lr": {"low": math.nan, "high": 1}}, "low is a number, not nan"),
        ({"lr": {"low": True, "high": 1}}, "low is a number, not True"),
        ({"epochs": {"low": 1.5, "high": 3}}, "low is a whole number, not 1.5"),
        ({"epochs": [1.5]}, "the choices are whole numbers"),
        ({"epochs": {"low": 0, "high": 3}}, "--epochs is a whole number of at least 1"),
        ({"optimizer": ["adam", "adom"]}, "--optimizer is one of"),
        ({"optimizer": {"low": 1, "high": 2}}, "has no range"),
        ({"batch-norm": ["yes"]}, "the choices are true and false"),
        ({"seed": [1, 2]}, "search.seed cannot be searched; say repeats instead"),
        ({"val": [0.1, 0.2]}, "search.val cannot be searched"),
        ({"l2": [0.1, 0.2]}, "stands under [search] and under [fixed]"),
        ({"lr": {"choices": [0.1], "when": {"speed": 1}}}, "when names speed"),
        ({"lr": {"choices": [0.1], "when": {"model": "mlp"}}, "model": ["mlp"]}, "move it up"),
        ({"hidden": {"layers": [1, 2]}}, "layers needs units"),
        ({"hidden": {"layers": [0, 1], "units": [8]}}, "from 1 to 64 hidden layers"),
        ({"hidden": {"layers": [1], "units": [0, 8]}}, "at least 1 unit"),
        ({"hidden": {"layers": [1], "units": [8], "width": 1}}, "unknown key 'width'"),
    ],
)  # fmt: skip
def test_a_wrong_space_is_refused_where_it_stands(search, message):
    with pytest.raises(InputError) as caught:
        parse_space(search, {"l2": 0.1})
    assert message in str(caught.value)


def test_a_grid_needs_a_number_of_values():
    with pytest.raises(InputError, match="a grid needs to know how many"):
        list(parse_space({"batch-size": {"low": 1, "high": 9}}, {}).grid())
