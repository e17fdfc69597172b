"""The network: one flat vector, no allocation in a step, the same numbers again."""

import tracemalloc

import numpy as np
import pytest

from nnlab.core.activations import ReLU
from nnlab.core.layers import LAYERS
from nnlab.core.linear import Linear
from nnlab.core.losses import SoftmaxCrossEntropy
from nnlab.core.models import Architecture, build
from nnlab.core.network import Network
from nnlab.core.normalization import BatchNorm


def mlp(**options) -> Network:
    architecture = Architecture(20, 5, **{"hidden": (16, 8), **options})
    return Network(build("mlp", architecture), seed=1)


def test_parameters_are_views_of_one_vector_with_the_weight_matrices_first():
    network = mlp(normalization="batch_norm")
    views = dict(network.named_parameters())
    assert sum(view.size for view in views.values()) == network.theta.size
    assert all(np.shares_memory(view, network.theta) for view in views.values())
    matrices = sum(view.size for name, view in views.items() if name.endswith("/W"))
    assert network.penalized == matrices
    network.theta[...] = 0
    network.theta[: network.penalized] = 1
    assert all((view == name.endswith("/W")).all() for name, view in views.items())


def test_an_mlp_is_linear_normalization_activation_dropout():
    network = mlp(normalization="layer_norm", dropout=0.5)
    kinds = [layer.kind for layer in network.layers]
    assert kinds == ["linear", "layer_norm", "relu", "dropout"] * 2 + ["linear"]


def test_a_spec_builds_the_same_network():
    network = mlp(normalization="batch_norm", dropout=0.25, activation="gelu")
    again = Network.from_spec(network.spec(), seed=1)
    np.testing.assert_array_equal(again.theta, network.theta)
    assert again.spec() == network.spec()


@pytest.mark.parametrize(
    ("layer", "message"),
    [({"kind": "convolution"}, "unknown layer"), ({"kind": "relu", "slope": 2}, "does not take")],
)
def test_an_impossible_spec_is_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        Network.from_spec({"inputs": 4, "layers": [layer]})


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="linear takes 5 inputs, linear gives 4"):
        Network([Linear(3, 4), Linear(5, 2)])


@pytest.mark.parametrize("kind", LAYERS)
def test_no_layer_changes_the_callers_images(kind):
    network = Network([LAYERS[kind](6, **({"outputs": 3} if kind == "linear" else {}))])
    network.begin_step(0, 0)
    x = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    before = x.copy()
    network.forward(x, training=True)
    np.testing.assert_array_equal(x, before)


def test_the_first_layer_computes_no_input_gradient():
    network = mlp()
    assert not network.layers[0].input_gradient
    assert all(layer.input_gradient for layer in network.layers[1:])


def test_a_dropout_mask_is_a_function_of_seed_epoch_and_step():
    network, x = mlp(dropout=0.5), np.ones((4, 20), np.float32)

    def scores(epoch, step):
        network.begin_step(epoch, step)
        return network.forward(x, training=True).copy()

    np.testing.assert_array_equal(scores(2, 3), scores(2, 3))
    assert not np.array_equal(scores(2, 3), scores(2, 4))
    assert not np.array_equal(scores(2, 3), scores(3, 3))


def test_dropout_keeps_the_expected_output_and_is_off_in_inference():
    layer = LAYERS["dropout"](100_000, rate=0.3)
    network = Network([layer])
    network.begin_step(0, 0)
    x = np.ones((1, 100_000), np.float32)
    out = network.forward(x, training=True)
    assert set(np.unique(out)) == {0, np.float32(1 / 0.7)}
    assert out.mean() == pytest.approx(1, abs=0.01)
    assert network.forward(x) is x


def test_a_short_batch_after_a_long_one_gives_its_own_scores():
    network, rng = mlp(activation="tanh"), np.random.default_rng(0)
    x = rng.standard_normal((50, 20)).astype(np.float32)
    whole = network.forward(x).copy()
    np.testing.assert_allclose(network.forward(x[:7]), whole[:7], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(network.forward(x[:1]), whole[:1], rtol=1e-5, atol=1e-6)


def test_batch_normalization_tracks_what_it_has_seen_and_then_uses_it():
    layer = BatchNorm(3)
    network = Network([layer], dtype=np.float64)
    rng = np.random.default_rng(0)
    x = 5 + 2 * rng.standard_normal((64, 3))
    out = network.forward(x, training=True)
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(layer.buffers["mean"], 0.1 * x.mean(axis=0))
    np.testing.assert_allclose(layer.buffers["variance"], 0.9 + 0.1 * x.var(axis=0, ddof=1))
    for _ in range(300):
        network.forward(x, training=True)
    np.testing.assert_allclose(network.forward(x), (x - x.mean(0)) / x.std(0, ddof=1), atol=1e-3)


def test_batch_normalization_of_one_image_is_finite_and_leaves_the_statistics_alone():
    network = Network([Linear(4, 3), BatchNorm(3), ReLU(3), Linear(3, 2)])
    before = network.running.copy()
    x = np.ones((1, 4), np.float32)
    _, dscores = SoftmaxCrossEntropy()(network.forward(x, training=True), np.array([1]))
    assert np.isfinite(network.backward(dscores)).all()
    np.testing.assert_array_equal(network.running, before)


def test_a_constant_input_passes_normalization_as_the_bias():
    for kind in ("batch_norm", "layer_norm"):
        network = Network([LAYERS[kind](5)])
        out = network.forward(np.full((8, 5), 7, np.float32), training=True)
        np.testing.assert_allclose(out, 0, atol=1e-3)


def test_a_step_allocates_nothing_that_grows():
    network = mlp(hidden=(512, 256), normalization="batch_norm", dropout=0.3)
    loss = SoftmaxCrossEntropy()
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((256, 20)).astype(np.float32), rng.integers(0, 5, 256)

    def step(number):
        network.begin_step(0, number)
        network.backward(loss(network.forward(x, training=True), labels)[1])

    step(0)
    tracemalloc.start()
    try:
        for number in range(1, 4):
            step(number)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One array of this batch by 512 units would be 512 KiB.
    assert peak < 64 * 1024
