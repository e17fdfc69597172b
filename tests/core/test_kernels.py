"""Compiled loops give the answers of the NumPy code beside them; unless it is said, every bit."""

import numpy as np
import pytest

from nnlab.core import kernels, losses, update, workers
from nnlab.core.layers import LAYERS
from nnlab.core.losses import count_right, loss_from_spec
from nnlab.core.models import Architecture, build
from nnlab.core.network import Network
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.penalties import Penalty
from nnlab.core.update import Update
from nnlab.training.standardization import Standardization

DTYPES = [np.float32, np.float64]


def bits(array):
    return np.ascontiguousarray(array).tobytes()


@pytest.fixture
def numpy_alone(monkeypatch):
    """Whatever asks for compiled loops finds none."""

    def switch_off():
        for module in (workers, update, losses):
            monkeypatch.setattr(module, "kernels", lambda _: None)

    return switch_off


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("clip", [None, 0.5])
def test_every_optimizer_steps_alike_with_and_without_compilation(kind, dtype, clip, numpy_alone):
    results = []
    for compiled in (True, False):
        if not compiled:
            numpy_alone()
        network = Network(build("softmax", Architecture(1000, 40)), seed=1, dtype=dtype)
        step = Update(
            network, OPTIMIZERS[kind](), Penalty(l2=0.01, l1=0.003), 0.05, clip, averaging=0.9
        )
        assert (step._kernels is not None) == compiled
        rng = np.random.default_rng(0)
        for _ in range(5):
            network.grad[...] = rng.standard_normal(network.grad.size)
            network.grad[::7] = 0
            norm = step.apply(0.01)
        results.append((network.theta, step.average, *step.optimizer.block, norm))
    for one, other in zip(*results, strict=True):
        if clip is None and np.ndim(one):
            assert bits(one) == bits(other)
        else:  # the norm is a sum, and clipping scales by it
            digits = 1e-5 if dtype == np.float32 else 1e-13
            np.testing.assert_allclose(one, other, digits, digits)


@pytest.mark.parametrize("kind", ["linear", "relu"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_layers_compute_alike_with_and_without_compilation(kind, dtype, numpy_alone):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((33, 50)).astype(dtype)
    x[0, :4] = [np.inf, -np.inf, 0.0, np.nan]
    results = []
    for compiled in (True, False):
        if not compiled:
            numpy_alone()
        layer = LAYERS[kind](50, **({"outputs": 17} if kind == "linear" else {}))
        network = Network([layer], seed=3, dtype=dtype)
        network.theta += 0.1
        layer.input_gradient = True
        network.reserve(40)
        with np.errstate(invalid="ignore"):
            out = layer.forward(x[:30], training=True).copy()
            dx = layer.backward(np.ones_like(out)).copy()
        results.append((out, dx))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("spec", [
    {"kind": "softmax"}, {"kind": "softmax", "label_smoothing": 0.1},
    {"kind": "softmax", "class_weights": [1.0, 2.0, 0.5] * 4},
    {"kind": "hinge", "delta": 0.7}, {"kind": "squared_hinge"},
])  # fmt: skip
@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_are_alike_with_and_without_compilation(spec, dtype):
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((50, 12)).astype(dtype), rng.integers(0, 12, 50)
    scores[3] = 0.25  # all equal
    results = []
    for compiled in (True, False):
        loss = loss_from_spec(spec)
        loss.allocate(60, 12, np.dtype(dtype))
        assert loss._kernels is kernels
        if not compiled:
            loss._kernels = None
        value, gradient = loss(scores, labels)
        results.append((value, loss.per_image[:50].copy(), gradient.copy()))
    # Exponentials and sums are taken in another way.
    digits = 1e-6 if dtype == np.float32 else 1e-14
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, digits, digits)


@pytest.mark.parametrize("kind", ["softmax", "hinge"])
def test_a_score_that_is_not_a_number_shows_in_the_loss(kind):
    scores = np.zeros((3, 4), np.float32)
    scores[1, 2] = np.nan
    assert np.isnan(loss_from_spec({"kind": kind})(scores, np.array([0, 1, 2]))[0])


def test_counting_right_answers_takes_the_first_of_equals(monkeypatch):
    scores = np.array([[1, 2, 2], [3, 3, 0], [0, 0, 1]], np.float32)
    labels = np.array([1, 1, 2])
    assert count_right(scores, labels) == 2
    monkeypatch.setattr(losses, "kernels", lambda _: None)
    assert count_right(scores, labels) == 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_gathering_is_alike_with_and_without_compilation(dtype, numpy_alone):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
    applier = Standardization.fit("pixel", images, np.arange(40)).applier(dtype)
    flat, rows = images.reshape(40, -1), rng.permutation(40)[:13]
    pixels, out = np.empty((13, 90), np.uint8), np.empty((13, 90), dtype)
    compiled = applier.gather(flat, rows, pixels, out).copy()
    numpy_alone()
    assert bits(applier.gather(flat, rows, pixels, out)) == bits(compiled)


@pytest.mark.parametrize("dtype", DTYPES)
def test_standardization_is_alike_with_and_without_compilation(dtype, numpy_alone):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 5, 7, 3), dtype=np.uint8)
    applier = Standardization.fit("pixel", images, np.arange(20)).applier(dtype)
    pixels, out = images.reshape(20, -1), np.empty((20, 105), dtype)
    compiled = applier(pixels, out).copy()
    numpy_alone()
    assert bits(applier(pixels, out)) == bits(compiled)
