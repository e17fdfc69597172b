"""A step taken layer by layer, and the layers that compute together, are what they stand for."""

import numpy as np
import pytest

from nnlab.core.descent import MANY_ROWS
from nnlab.core.losses import LOSSES
from nnlab.core.network import Network
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.penalties import Penalty
from nnlab.core.products import BLOCK, COLUMNS, DEPTH
from nnlab.core.update import Update
from nnlab.core.workers import at_work

LINEAR, RELU = {"kind": "linear"}, {"kind": "relu"}
# More rows than a block, more columns than one may have, and layers with parameters of other kinds.
NETWORKS = {
    "linear": [LINEAR | {"outputs": 10}],
    "wide": [LINEAR | {"outputs": COLUMNS + 70}, RELU, LINEAR | {"outputs": 7}],
    "narrow": [LINEAR | {"outputs": 33}, RELU, LINEAR | {"outputs": BLOCK + 9}, RELU,
               LINEAR | {"outputs": 3}],
    "normalized": [LINEAR | {"outputs": 40}, {"kind": "batch_norm"}, RELU,
                   {"kind": "dropout", "rate": 0.5}, LINEAR | {"outputs": 5}],
    "odd": [RELU, LINEAR | {"outputs": 40}, RELU, RELU, LINEAR | {"outputs": 30},
            {"kind": "tanh"}, LINEAR | {"outputs": 5}, RELU],
}  # fmt: skip
INPUTS, IMAGES = 2 * BLOCK + 17, 45


def network_of(name, dtype=np.float32):
    return Network.from_spec({"inputs": INPUTS, "layers": NETWORKS[name]}, seed=1, dtype=dtype)


def train(name, steps, dtype=np.float32, optimizer="momentum", **settings):
    """Train with `steps`, of an update and the gradient by the scores, and return all there is."""
    network = network_of(name, dtype)
    update = Update(network, OPTIMIZERS[optimizer](), **settings)
    loss = LOSSES["softmax"]()
    loss.allocate(IMAGES, network.outputs, network.dtype)
    rng, norms = np.random.default_rng(0), []
    for number, step in enumerate(steps):
        x = rng.standard_normal((IMAGES - number, INPUTS)).astype(dtype)
        labels = rng.integers(0, network.outputs, len(x))
        network.begin_step(0, number)
        norms.append(step(update, loss(network.forward(x, training=True), labels)[1]))
    vectors = network.theta, network.running, update.optimizer.block, update.average
    return [None if v is None else v.copy() for v in vectors], norms


def at_once(update, dscores):
    return update.descend(dscores, 0.01)


def one_after_the_other(update, dscores):
    update.network.backward(dscores)
    return update.apply(0.01)


def assert_same(one, other):
    for mine, theirs in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(one[1], other[1], 1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_at_once_leaves_the_same_bits(name, dtype, threads):
    with at_work() as found:
        assert found.descent is not None
        assert found.threads == threads
        assert_same(
            train(name, [at_once] * 3, dtype), train(name, [one_after_the_other] * 3, dtype)
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("images", "outputs"), [
    (DEPTH + 16, 75), (30, 1000), (3, COLUMNS + 5),
])  # fmt: skip
def test_many_rows_of_weights_take_the_same_step(images, outputs, dtype, threads):
    inputs = MANY_ROWS * threads + 19
    rng = np.random.default_rng(0)
    x = rng.standard_normal((images, inputs)).astype(dtype)
    dscores = rng.standard_normal((images, outputs)).astype(dtype)
    thetas = []
    for step in (at_once, one_after_the_other):
        layers = [LINEAR | {"outputs": outputs}]
        network = Network.from_spec({"inputs": inputs, "layers": layers}, seed=1, dtype=dtype)
        update = Update(network, OPTIMIZERS["sgd"]())
        with at_work() as workers:
            assert workers.threads == threads
            network.forward(x, training=True)
            step(update, dscores)
        thetas.append(network.theta)
    np.testing.assert_array_equal(*thetas)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("settings", [
    {}, {"penalty": Penalty(l2=0.01, l1=0.003), "weight_decay": 0.05, "averaging": 0.9},
    {"clip": 0.1}, {"max_norm": 0.5, "averaging": 0.9},
])  # fmt: skip
def test_whatever_a_step_does_with_a_gradient(optimizer, settings):
    with at_work():
        assert_same(
            train("narrow", [at_once] * 3, optimizer=optimizer, **settings),
            train("narrow", [one_after_the_other] * 3, optimizer=optimizer, **settings),
        )


def test_steps_of_both_kinds_follow_one_another():
    mixed = [at_once, one_after_the_other, at_once]
    with at_work():
        assert_same(train("wide", mixed), train("wide", [one_after_the_other] * 3))


def test_a_step_at_once_outside_of_work_and_without_compiled_loops(monkeypatch):
    for _ in range(2):
        assert_same(train("narrow", [at_once] * 3), train("narrow", [one_after_the_other] * 3))
        monkeypatch.setattr("nnlab.core.update.kernels", lambda _: None)


def test_a_gradient_that_is_not_finite_shows_in_the_norm():
    with at_work(), np.errstate(all="ignore"):
        network = network_of("wide")
        update = Update(network, OPTIMIZERS["momentum"]())
        dscores = np.zeros_like(network.forward(np.ones((4, INPUTS), np.float32), training=True))
        dscores[2, 1] = np.nan
        assert not np.isfinite(update.descend(dscores, 0.1))


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_that_compute_together_are_those_that_compute_alone(name):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((IMAGES, INPUTS)).astype(np.float32)
    network = network_of(name)
    results = []
    with at_work():
        network.reserve(IMAGES)
        dscores = rng.standard_normal((IMAGES, network.outputs)).astype(np.float32)
        network.begin_step(0, 0)
        results.append((network.forward(x, True).copy(), network.backward(dscores.copy()).copy()))
        network.grad[...] = np.nan
        current, gradient = x, dscores.copy()
        for layer in network.layers:
            current = layer.forward(current, True)
        scores = current.copy()
        for layer in reversed(network.layers):
            gradient = layer.backward(gradient)
        results.append((scores, network.grad.copy()))
    for together, alone in zip(*results, strict=True):
        np.testing.assert_array_equal(together, alone)


def test_a_relu_that_a_linear_layer_computes_knows_its_slopes():
    network = network_of("narrow")
    x = np.random.default_rng(0).standard_normal((IMAGES, INPUTS)).astype(np.float32)
    with at_work():
        network.forward(x, training=True)
        relu = network.layers[1]
        output = relu.forward(network.layers[0].forward(x, True), True).copy()
        network.forward(x, training=True)
        np.testing.assert_array_equal(relu.slopes(IMAGES), output > 0)
