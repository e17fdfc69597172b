"""Every backward pass against finite differences, because it is registered.

A new layer, activation, loss or penalty is checked by standing in its table.
"""

import numpy as np
import pytest

from nnlab.core.activations import ACTIVATIONS
from nnlab.core.gradcheck import AGREEMENT, check_array, check_network
from nnlab.core.initializers import INITIALIZERS
from nnlab.core.layers import LAYERS, NORMALIZATIONS
from nnlab.core.linear import Linear
from nnlab.core.losses import LOSSES, loss_from_spec
from nnlab.core.models import MODELS, Architecture, build
from nnlab.core.network import Network
from nnlab.core.penalties import Penalty

IMAGES, INPUTS, CLASSES = 6, 7, 4
# What a layer takes besides its number of inputs, where it has to be told.
ARGUMENTS = {"linear": {"outputs": 5}, "dropout": {"rate": 0.4}}


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def batch(rng, inputs=INPUTS):
    return rng.standard_normal((IMAGES, inputs)), rng.integers(0, CLASSES, IMAGES)


def randomize(network, rng):
    # Biases of 0 and gains of 1 would hide a gradient that ignores them.
    network.theta += 0.3 * rng.standard_normal(len(network.theta))


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layers_gradients_by_its_input_and_its_parameters_are_right(kind, rng):
    first = Linear(INPUTS, INPUTS)  # so that the layer under test has to give an input gradient
    layer = LAYERS[kind](INPUTS, **ARGUMENTS.get(kind, {}))
    network = Network([first, layer], dtype=np.float64)
    randomize(network, rng)
    network.begin_step(0, 0)
    x = rng.standard_normal((IMAGES, INPUTS))
    weights = rng.standard_normal((IMAGES, layer.outputs))  # loss = sum of weights * output

    def loss():
        return float(np.sum(weights * network.forward(x, training=True)))

    loss()
    gradient = network.backward(weights.copy()).copy()
    analytic = dict(network.named_parameters(gradient))
    for name, values in network.named_parameters():
        check = check_array(name, loss, values, analytic[name])
        assert check.passed, check


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_gives_the_images_gradient_when_it_stands_behind_parameters(kind, rng):
    layer = LAYERS[kind](INPUTS, **ARGUMENTS.get(kind, {}))
    network = Network([layer], dtype=np.float64)
    randomize(network, rng)
    network.begin_step(0, 0)
    layer.input_gradient = True
    network.reserve(IMAGES)
    x = rng.standard_normal((IMAGES, INPUTS))
    weights = rng.standard_normal((IMAGES, layer.outputs))

    def loss():
        return float(np.sum(weights * layer.forward(x, training=True)))

    loss()
    dx = layer.backward(weights.copy()).copy()
    assert check_array("x", loss, x, dx).passed


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("class_weights", [None, [0.5, 2.0, 0.0, 1.0]])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_losss_gradient_by_the_scores_is_right(kind, class_weights, mixed, rng):
    loss = loss_from_spec({"kind": kind, "class_weights": class_weights})
    scores, labels = batch(rng, CLASSES)
    mixture = (rng.integers(0, CLASSES, IMAGES), rng.random(IMAGES)) if mixed else ()
    _, gradient = loss(scores, labels, *mixture)
    analytic = gradient.copy()
    assert check_array("scores", lambda: loss(scores, labels, *mixture)[0], scores, analytic).passed


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "softmax", "label_smoothing": 0.1},
        {"kind": "hinge", "delta": 10.0},
        {"kind": "squared_hinge", "delta": 0.01},
    ],
)
def test_a_losss_options_keep_its_gradient_right(spec, rng):
    loss = loss_from_spec(spec)
    scores, labels = batch(rng, CLASSES)
    analytic = loss(scores, labels)[1].copy()
    assert check_array("scores", lambda: loss(scores, labels)[0], scores, analytic).passed


@pytest.mark.parametrize("penalty", [Penalty(l2=0.3), Penalty(l1=0.2), Penalty(l2=0.3, l1=0.2)])
def test_a_penaltys_gradient_is_right(penalty, rng):
    weights = rng.standard_normal((5, 4))
    gradient = np.zeros_like(weights)
    penalty.add_gradient(weights, gradient, np.empty_like(weights))
    assert check_array("W", lambda: penalty.value(weights), weights, gradient).passed


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normalization", ["none", *NORMALIZATIONS])
def test_a_whole_networks_gradients_are_right(model, activation, normalization, rng):
    architecture = Architecture(INPUTS, CLASSES, (6, 5), activation, normalization, dropout=0.3)
    network = Network(build(model, architecture), seed=3, dtype=np.float64)
    randomize(network, rng)
    x, labels = batch(rng)
    loss = LOSSES[MODELS[model].loss]()
    for check in check_network(network, loss, x, labels, Penalty(l2=0.1, l1=0.01)):
        assert check.worst <= AGREEMENT, check


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains_an_mlp_with_right_gradients(loss, rng):
    network = Network(build("mlp", Architecture(INPUTS, CLASSES, (6,))), dtype=np.float64)
    x, labels = batch(rng)
    assert all(check.passed for check in check_network(network, LOSSES[loss](), x, labels))


def test_a_weight_at_a_kink_is_not_skipped():
    # A first layer of zeros puts every unit exactly on ReLU's kink.
    network = Network(build("mlp", Architecture(3, 2, (4,), initializer="zeros")), dtype=np.float64)
    network.layers[-1].params["W"][...] = [[1, -1], [-1, 1], [2, 1], [0, 1]]
    x, labels = np.array([[1.0, 2.0, 3.0]]), np.array([0])
    checks = list(check_network(network, LOSSES["softmax"](), x, labels))
    assert checks[0].checked == 12
    assert checks[0].kinks > 0
    assert all(check.passed for check in checks)


@pytest.mark.parametrize("factor", [0.0, -1.0, 0.999, 1.0001])
def test_a_wrong_derivative_is_found(factor, rng, monkeypatch):
    backward = Linear.backward

    def wrong(self, dout, **relu):
        out = backward(self, dout, **relu)
        self.grads["W"] *= factor
        return out

    monkeypatch.setattr(Linear, "backward", wrong)
    network = Network(build("mlp", Architecture(INPUTS, CLASSES, (6,))), dtype=np.float64)
    x, labels = batch(rng)
    checks = {c.name: c for c in check_network(network, LOSSES["softmax"](), x, labels)}
    assert not checks["0_linear/W"].passed
    assert checks["0_linear/b"].passed


def test_a_gradient_check_wants_float64(rng):
    network = Network(build("softmax", Architecture(INPUTS, CLASSES)))
    x, labels = batch(rng)
    with pytest.raises(ValueError, match="float64"):
        list(check_network(network, LOSSES["softmax"](), x, labels))


@pytest.mark.parametrize("kind", INITIALIZERS)
def test_an_initializers_variance_is_its_formula(kind, rng):
    fan_in, fan_out = 300, 200
    name = kind.split("_")[0]
    variance = {
        "he": 2 / fan_in,
        "xavier": 2 / (fan_in + fan_out),
        "lecun": 1 / fan_in,
        "gaussian": 1e-4,
        "zeros": 0.0,
    }[name]
    weights = INITIALIZERS[kind](rng, fan_in, fan_out)
    assert np.mean(weights) == pytest.approx(0, abs=4 * np.sqrt(variance / weights.size))
    assert np.var(weights) == pytest.approx(variance, rel=0.02)
