"""Where scikit-learn defines the same, the core finds the same."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight

from nnlab.core.losses import SoftmaxCrossEntropy, balanced_class_weights
from nnlab.core.models import Architecture, build
from nnlab.core.network import Network
from nnlab.core.penalties import Penalty


@pytest.fixture(scope="module")
def digits():
    """1,797 real images of digits, 8 x 8."""
    images, labels = load_digits(return_X_y=True)
    return images / 16.0, labels


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_softmax_regression_has_scikit_learns_optimum(digits, l2):
    """scikit-learn minimizes C * sum of losses + sum(W^2) / 2; so l2 = 1 / (C N)."""
    x, labels = digits
    network = Network(build("softmax", Architecture(64, 10)), dtype=np.float64)
    loss, penalty = SoftmaxCrossEntropy(), Penalty(l2=l2)
    end = network.penalized

    def objective(theta):
        network.theta[...] = theta
        data_loss, dscores = loss(network.forward(x, training=True), labels)
        gradient = network.backward(dscores).copy()
        penalty.add_gradient(network.theta[:end], gradient[:end], np.empty(end))
        return data_loss + penalty.value(network.theta[:end]), gradient

    ours = minimize(
        objective, np.zeros(network.theta.size), jac=True, method="L-BFGS-B",
        options={"gtol": 1e-8, "ftol": 1e-15, "maxiter": 5000},
    )  # fmt: skip
    theirs = LogisticRegression(C=1 / (l2 * len(x)), tol=1e-8, max_iter=5000).fit(x, labels)
    scores = x @ theirs.coef_.T + theirs.intercept_
    their_loss = loss(scores, labels)[0] + penalty.value(theirs.coef_)
    assert ours.fun == pytest.approx(their_loss, rel=1e-9)
    np.testing.assert_allclose(network.layers[0].params["W"], theirs.coef_.T, atol=2e-4)


def test_balanced_class_weights_are_scikit_learns(digits):
    _, labels = digits
    some = labels[(labels != 3) | (np.arange(len(labels)) % 4 == 0)]
    np.testing.assert_allclose(
        balanced_class_weights(some, 10),
        compute_class_weight("balanced", classes=np.arange(10), y=some),
    )
