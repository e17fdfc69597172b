"""Losses against published values, hand-worked examples, scikit-learn, and hard numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from nnlab.core.activations import ReLU
from nnlab.core.layer import Layer
from nnlab.core.linear import Linear
from nnlab.core.losses import (
    LOSSES,
    Hinge,
    SoftmaxCrossEntropy,
    SquaredHinge,
    balanced_class_weights,
    loss_from_spec,
    probabilities,
)
from nnlab.core.network import Network
from nnlab.core.penalties import Penalty


def two_layer_net(W1, b1, W2, b2) -> Network:
    layers: list[Layer] = [
        Linear(W1.shape[0], W1.shape[1]),
        ReLU(W1.shape[1]),
        Linear(W2.shape[0], W2.shape[1]),
    ]
    network = Network(layers, dtype=np.float64)
    for layer, W, b in ((layers[0], W1, b1), (layers[2], W2, b2)):
        layer.params["W"][...] = W
        layer.params["b"][...] = b
    return network


def test_cs231n_toy_net_a_gives_the_published_loss():
    np.random.seed(0)
    W1, W2 = 0.1 * np.random.randn(4, 10), 0.1 * np.random.randn(10, 3)
    np.random.seed(1)
    X, y = 10 * np.random.randn(5, 4), np.array([0, 1, 2, 2, 1])
    network = two_layer_net(W1, np.zeros(10), W2, np.zeros(3))
    data_loss, _ = SoftmaxCrossEntropy()(network.forward(X), y)
    assert data_loss == pytest.approx(1.265857052118, abs=1e-12)
    penalty = Penalty(l2=0.1).value(network.theta[: network.penalized])  # 0.05 * sum(W^2)
    assert data_loss + penalty == pytest.approx(1.30378789133, abs=1e-11)


def test_cs231n_toy_net_b_gives_the_published_loss():
    network = two_layer_net(
        np.linspace(-0.7, 0.3, 250).reshape(5, 50),
        np.linspace(-0.1, 0.9, 50),
        np.linspace(-0.3, 0.4, 350).reshape(50, 7),
        np.linspace(-0.9, 0.1, 7),
    )
    X, y = np.ascontiguousarray(np.linspace(-5.5, 4.5, 15).reshape(5, 3).T), np.array([0, 5, 1])
    data_loss, _ = SoftmaxCrossEntropy()(network.forward(X), y)
    assert data_loss == pytest.approx(3.4702243556, abs=1e-10)
    penalty = Penalty(l2=1.0).value(network.theta[: network.penalized])
    assert data_loss + penalty == pytest.approx(26.5948426952, abs=1e-10)


def test_the_worked_hinge_example_is_8():
    loss, gradient = Hinge(delta=10.0)(np.array([[13.0, -7.0, 11.0]]), np.array([0]))
    assert loss == 8.0
    np.testing.assert_array_equal(gradient, [[-1, 0, 1]])


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
@pytest.mark.parametrize("delta", [0.1, 1.0, 10.0])
def test_equal_scores_give_ln_c_and_c_minus_1_deltas(classes, delta):
    scores, labels = np.zeros((4, classes)), np.arange(4) % classes
    assert SoftmaxCrossEntropy()(scores, labels)[0] == pytest.approx(np.log(classes), rel=1e-15)
    assert Hinge(delta)(scores, labels)[0] == pytest.approx((classes - 1) * delta, rel=1e-14)
    assert SquaredHinge(delta)(scores, labels)[0] == pytest.approx((classes - 1) * delta**2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_huge_scores_neither_overflow_nor_lose_the_loss(dtype, smoothing):
    scores = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0]], dtype)
    loss, gradient = SoftmaxCrossEntropy(smoothing)(scores, np.array([0, 0]))
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    if not smoothing:
        assert loss == pytest.approx(1e4)  # (0 + 2e4) / 2
        np.testing.assert_allclose(gradient, [[0, 0, 0], [-0.5, 0.5, 0]])
    hinge, _ = Hinge()(scores, np.array([0, 0]))
    assert hinge == pytest.approx(0.5 * (20001 + 10001))


def test_float32_agrees_with_float64():
    rng = np.random.default_rng(0)
    scores, labels = 5 * rng.standard_normal((64, 10)), rng.integers(0, 10, 64)
    for kind in LOSSES:
        exact, exact_gradient = LOSSES[kind]()(scores, labels)
        single, gradient = LOSSES[kind]()(scores.astype(np.float32), labels)
        assert single == pytest.approx(exact, rel=1e-6)
        np.testing.assert_allclose(gradient, exact_gradient, atol=2e-7)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_batch_of_one_and_a_class_that_is_missing_are_ordinary(kind):
    loss = LOSSES[kind]()
    whole, gradient = loss(np.array([[1.0, 2.0, 3.0], [0.5, 0.1, 0.2]]), np.array([2, 0]))
    gradient = gradient.copy()
    first = loss(np.array([[1.0, 2.0, 3.0]]), np.array([2]))[0]
    second, second_gradient = loss(np.array([[0.5, 0.1, 0.2]]), np.array([0]))
    assert whole == pytest.approx((first + second) / 2, rel=1e-15)
    np.testing.assert_allclose(gradient[1], second_gradient[0] / 2)


def test_log_and_hinge_loss_are_scikit_learns():
    rng = np.random.default_rng(3)
    scores, labels = rng.standard_normal((50, 4)), rng.integers(0, 4, 50)
    ours = SoftmaxCrossEntropy()(scores, labels)[0]
    assert ours == pytest.approx(sklearn_metrics.log_loss(labels, probabilities(scores)), rel=1e-12)
    # With two classes Weston and Watkins' hinge is the binary one on the difference of scores.
    two = labels % 2
    ours = Hinge()(scores[:, :2], two)[0]
    theirs = sklearn_metrics.hinge_loss(two, scores[:, 1] - scores[:, 0])
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_class_weights_multiply_each_image_and_divide_by_the_number_of_images():
    scores, labels = np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([0, 1])
    plain, weighted = SoftmaxCrossEntropy(), SoftmaxCrossEntropy(class_weights=np.array([3.0, 0.5]))
    plain(scores, labels)
    each = plain.per_image[:2].copy()
    assert weighted(scores, labels)[0] == pytest.approx((3 * each[0] + 0.5 * each[1]) / 2)


def test_balanced_weights_have_the_mean_1_over_the_images_and_none_for_an_absent_class():
    labels = np.array([0] * 6 + [1] * 2 + [3] * 4)
    weights = balanced_class_weights(labels, 4)
    np.testing.assert_allclose(weights, [12 / 18, 2, 0, 1])
    assert weights[labels].mean() == pytest.approx(1)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_mixture_of_one_label_with_itself_is_that_label(kind):
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    loss = LOSSES[kind]()
    value, gradient = loss(scores, labels)
    gradient = gradient.copy()
    mixed, mixed_gradient = loss(scores, labels, labels, rng.random(6))
    assert mixed == pytest.approx(value)
    np.testing.assert_allclose(mixed_gradient, gradient, atol=1e-16)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "hinge", "delta": 0}, "above 0"),
        ({"kind": "hinge", "delta": float("nan")}, "above 0"),
        ({"kind": "softmax", "label_smoothing": 1.0}, "label smoothing"),
        ({"kind": "cubic"}, "unknown loss"),
    ],
)
def test_an_impossible_loss_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        loss_from_spec(spec)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_losss_spec_builds_it_again(kind):
    loss = loss_from_spec({"kind": kind, "class_weights": [1.0, 2.0]})
    assert loss_from_spec(loss.spec()).spec() == loss.spec()


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    delta=st.floats(0.05, 20),
    l2=st.floats(0, 0.5),
    rate=st.floats(1e-4, 0.05),
)
def test_hinge_training_scales_with_delta(seed, delta, l2, rate):
    """(delta, l2, lr, W0) gives delta times what (1, l2 delta, lr / delta, W0 / delta) gives.

    The hinge is positively homogeneous: with W = delta V, the data loss of W is delta times that
    of V with margin 1. The gradient by W stays the same, so a step of lr in W is one of lr / delta
    in V; the penalty's gradient l2 W = l2 delta V follows.
    """
    rng = np.random.default_rng(seed)
    x, labels = rng.standard_normal((8, 5)), rng.integers(0, 3, 8)
    W = rng.standard_normal((5, 3))
    V = W / delta
    for _ in range(5):
        _, dW = Hinge(delta)(x @ W, labels)
        _, dV = Hinge(1.0)(x @ V, labels)
        W = W - rate * (x.T @ dW + l2 * W)
        V = V - rate / delta * (x.T @ dV + l2 * delta * V)
        np.testing.assert_allclose(W, delta * V, rtol=1e-9, atol=1e-9)
