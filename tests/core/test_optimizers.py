"""Optimizers by their formulas, and everything else that one step does."""

import numpy as np
import pytest

from nnlab.core.models import Architecture, build
from nnlab.core.network import Network
from nnlab.core.optimizers import OPTIMIZERS, SGD
from nnlab.core.penalties import Penalty, limit_norms
from nnlab.core.update import STRETCH, Update


def network_of(parameters: int = 300, dtype=np.float64) -> Network:
    return Network(build("softmax", Architecture(parameters, 3)), seed=2, dtype=dtype)


def reference(kind, gradients, theta, rate):
    """The formulas of the module's docstring, written once more without chunks."""
    m, v, theta = np.zeros_like(theta), np.zeros_like(theta), theta.copy()
    for t, g in enumerate(gradients, start=1):
        if kind == "sgd":
            theta -= rate * g
        elif kind == "momentum":
            m = 0.9 * m + g
            theta -= rate * m
        elif kind == "nesterov":
            m = 0.9 * m + g
            theta -= rate * (g + 0.9 * m)
        elif kind == "adagrad":
            v += g**2
            theta -= rate * g / (np.sqrt(v) + 1e-10)
        elif kind == "rmsprop":
            v = 0.99 * v + 0.01 * g**2
            theta -= rate * g / (np.sqrt(v) + 1e-8)
        else:
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g**2
            theta -= rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return theta


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("width", [5, STRETCH])  # STRETCH * 3 weights: several stretches and a rest
def test_an_optimizer_is_its_formula_in_every_chunk(kind, width):
    network = network_of(width)
    start = network.theta.copy()
    update = Update(network, OPTIMIZERS[kind]())
    gradients = np.random.default_rng(0).standard_normal((5, network.theta.size))
    for gradient in gradients:
        network.grad[...] = gradient
        norm = update.apply(0.01)
        assert norm == pytest.approx(np.linalg.norm(gradient))
    np.testing.assert_allclose(
        network.theta, reference(kind, gradients, start, 0.01), rtol=1e-10, atol=1e-13
    )


def test_sgd_with_momentum_is_momentum():
    results = []
    for optimizer in (SGD(momentum=0.9), OPTIMIZERS["momentum"]()):
        network = network_of()
        update = Update(network, optimizer)
        for _ in range(3):
            network.grad[...] = network.theta
            update.apply(0.1)
        results.append(network.theta)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("clip", [None, 1.0])
def test_penalty_and_decay_reach_the_weights_and_not_the_biases(clip):
    network = network_of()
    network.theta[...] = 2.0
    network.grad[...] = 0.0
    Update(network, SGD(), Penalty(l2=0.5, l1=0.25), weight_decay=0.1, clip=clip).apply(0.1)
    weights, biases = network.theta[: network.penalized], network.theta[network.penalized :]
    gradient = 0.5 * 2 + 0.25
    if clip is not None:
        gradient /= gradient * np.sqrt(network.penalized)
    np.testing.assert_allclose(weights, 2 * (1 - 0.1 * 0.1) - 0.1 * gradient)
    np.testing.assert_array_equal(biases, 2.0)


def test_clipping_scales_a_long_gradient_and_leaves_a_short_one():
    for length, expected in ((10.0, 3.0), (2.0, 2.0)):
        network = network_of()
        before = network.theta.copy()
        network.grad[...] = length / np.sqrt(network.grad.size)
        norm = Update(network, SGD(), clip=3.0).apply(1.0)
        assert norm == pytest.approx(length)
        assert np.linalg.norm(network.theta - before) == pytest.approx(expected)


def test_max_norm_bounds_the_weights_into_each_unit():
    weights = np.array([[3.0, 0.3], [4.0, 0.4]])
    limit_norms(weights, 1.0)
    np.testing.assert_allclose(weights, [[0.6, 0.3], [0.8, 0.4]])
    network = network_of()
    network.theta *= 1000
    network.grad[...] = 0
    Update(network, SGD(), max_norm=2.0).apply(0.1)
    norms = np.linalg.norm(network.layers[0].params["W"], axis=0)
    np.testing.assert_allclose(norms, 2.0)


def test_the_average_stays_within_max_norm_too():
    network = network_of()
    limit = 1.0
    for weights in network.weight_matrices():
        limit_norms(weights, limit)
    update = Update(network, SGD(), max_norm=limit, averaging=0.5)
    for _ in range(3):
        network.grad[...] = -10
        update.apply(1.0)
    averages = dict(network.named_parameters(update.average))
    norms = np.linalg.norm(averages["0_linear/W"], axis=0)
    assert norms.max() <= limit * (1 + 1e-6)


def test_the_average_follows_the_weights():
    network = network_of()
    network.theta[...] = 0
    update = Update(network, SGD(), averaging=0.9)
    expected = 0.0
    for step in range(1, 50):
        network.grad[...] = -1.0
        update.apply(1.0)
        factor = min(0.9, (1 + step) / (10 + step))
        expected = factor * expected + (1 - factor) * step
        np.testing.assert_allclose(update.average, expected)


def test_a_gradient_that_is_not_finite_shows_in_the_norm():
    network = network_of()
    network.grad[...] = 0
    network.grad[-1] = np.nan
    assert not np.isfinite(Update(network, SGD()).apply(0.1))


def test_a_step_allocates_nothing_that_grows():
    import tracemalloc

    network = network_of(STRETCH, np.float32)
    update = Update(network, OPTIMIZERS["adamw"](), Penalty(0.1, 0.1), 0.1, clip=1.0, averaging=0.9)
    update.apply(0.1)
    tracemalloc.start()
    try:
        update.apply(0.1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024
