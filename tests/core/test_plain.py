"""The whole step of a plain network in one call is what its layers do one by one."""

import numpy as np
import pytest

from nnlab.core.losses import count_right, loss_from_spec
from nnlab.core.network import Network
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.penalties import Penalty
from nnlab.core.plain import PlainNetwork, is_plain
from nnlab.core.update import Update
from nnlab.core.workers import at_work

LINEAR, RELU = {"kind": "linear"}, {"kind": "relu"}
PLAIN = {
    "linear": [LINEAR | {"outputs": 10}],
    "one hidden": [LINEAR | {"outputs": 100}, RELU, LINEAR | {"outputs": 10}],
    "two hidden": [LINEAR | {"outputs": 70}, RELU, LINEAR | {"outputs": 513}, RELU,
                   LINEAR | {"outputs": 3}],
}  # fmt: skip
SOFTMAX = {"kind": "softmax"}
INPUTS, IMAGES = 217, 45


def update_of(layers, dtype=np.float32, optimizer="momentum", **settings):
    network = Network.from_spec({"inputs": INPUTS, "layers": layers}, seed=1, dtype=dtype)
    return Update(network, OPTIMIZERS[optimizer](), **settings)


def train(in_one_call, layers, spec=SOFTMAX, dtype=np.float32, optimizer="momentum", **settings):
    """Take four steps, of fewer and fewer images; return what was said and what has become."""
    update, loss = update_of(layers, dtype, optimizer, **settings), loss_from_spec(spec)
    network = update.network
    assert is_plain(network, loss, update)
    plain = PlainNetwork(update, loss, IMAGES)
    rng, said = np.random.default_rng(0), []
    for number in range(4):
        x = rng.standard_normal((IMAGES - 11 * number, INPUTS)).astype(dtype)
        labels = rng.integers(0, network.outputs, len(x))
        if in_one_call:
            said.append(plain.step(x, labels, 0.01))
        else:
            scores = network.forward(x, training=True)
            value, dscores = loss(scores, labels)
            said.append((value, count_right(scores, labels), update.descend(dscores, 0.01)))
    return said, [network.theta, update.optimizer.block, update.average]


def assert_same(one, other):
    assert one[0] == other[0]
    for mine, theirs in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("layers", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spec", [
    SOFTMAX, {"kind": "softmax", "label_smoothing": 0.2}, {"kind": "hinge", "delta": 0.3},
], ids=str)  # fmt: skip
def test_it_leaves_the_same_bits(layers, dtype, spec, threads):
    with at_work() as found:
        assert found.threads == threads
        assert_same(train(True, layers, spec, dtype), train(False, layers, spec, dtype))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_whatever_becomes_of_the_gradient(optimizer):
    settings = {
        "optimizer": optimizer, "penalty": Penalty(l2=0.01, l1=0.003), "weight_decay": 0.05,
        "averaging": 0.9,
    }  # fmt: skip
    layers = PLAIN["two hidden"]
    with at_work():
        assert_same(train(True, layers, **settings), train(False, layers, **settings))


@pytest.mark.parametrize(("layers", "spec", "settings"), [
    ([RELU, *PLAIN["linear"]], SOFTMAX, {}),
    ([*PLAIN["linear"], RELU], SOFTMAX, {}),
    ([*PLAIN["linear"], *PLAIN["linear"]], SOFTMAX, {}),
    ([LINEAR | {"outputs": 9}, {"kind": "tanh"}, *PLAIN["linear"]], SOFTMAX, {}),
    ([LINEAR | {"outputs": 9}, {"kind": "batch_norm"}, RELU, *PLAIN["linear"]], SOFTMAX, {}),
    ([LINEAR | {"outputs": 9}, RELU, {"kind": "dropout", "rate": 0.5}, *PLAIN["linear"]], SOFTMAX,
     {}),
    (PLAIN["linear"], {"kind": "squared_hinge"}, {}),
    (PLAIN["linear"], SOFTMAX | {"class_weights": [1.0] * 10}, {}),
    (PLAIN["linear"], SOFTMAX, {"clip": 1.0}),
    (PLAIN["linear"], SOFTMAX, {"max_norm": 1.0}),
])  # fmt: skip
def test_what_is_not_plain(layers, spec, settings):
    update = update_of(layers, **settings)
    assert not is_plain(update.network, loss_from_spec(spec), update)


def test_nothing_is_plain_without_compiled_loops(monkeypatch):
    update = update_of(PLAIN["linear"])
    monkeypatch.setattr("nnlab.core.plain.kernels", lambda _: None)
    assert not is_plain(update.network, loss_from_spec(SOFTMAX), update)


def test_without_a_team_nothing_happens():
    update = update_of(PLAIN["one hidden"])
    before = update.network.theta.copy()
    plain = PlainNetwork(update, loss_from_spec(SOFTMAX), 4)
    assert plain.step(np.ones((4, INPUTS), np.float32), np.zeros(4, np.int64), 0.1) is None
    np.testing.assert_array_equal(update.network.theta, before)
    assert update.optimizer.steps == 0


@pytest.mark.parametrize("kind", ["softmax", "hinge"])
def test_what_is_not_a_number_shows_in_loss_and_norm(kind):
    update = update_of(PLAIN["linear"])
    x = np.ones((4, INPUTS), np.float32)
    x[2, 5] = np.nan
    with at_work():
        plain = PlainNetwork(update, loss_from_spec({"kind": kind}), 4)
        loss, _, norm = plain.step(x, np.array([0, 3, 9, 1]), 0.1)
    assert np.isnan(loss)
    if kind == "softmax":  # no slope of a hinge is anything but a whole number
        assert np.isnan(norm)
