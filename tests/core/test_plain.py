"""The whole step of a plain network in one call is what its layers do one by one."""

import numpy as np
import pytest

from nnlab.core.blas import find_blas
from nnlab.core.descent import MANY_ROWS
from nnlab.core.losses import count_right, loss_from_spec
from nnlab.core.network import Network
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.penalties import Penalty
from nnlab.core.plain import LITTLE, MANY_IMAGES, Gathered, PlainNetwork, PlainScores, is_plain
from nnlab.core.plain_kernels import NARROW
from nnlab.core.update import Update
from nnlab.core.workers import at_work

LINEAR, RELU = {"kind": "linear"}, {"kind": "relu"}
PLAIN = {
    "linear": [LINEAR | {"outputs": 10}],
    "one hidden": [LINEAR | {"outputs": 100}, RELU, LINEAR | {"outputs": 10}],
    "narrow": [LINEAR | {"outputs": NARROW - 1}, RELU, LINEAR | {"outputs": 5}, RELU,
               LINEAR | {"outputs": 3}],
    "two hidden": [LINEAR | {"outputs": 70}, RELU, LINEAR | {"outputs": 513}, RELU,
                   LINEAR | {"outputs": 3}],
}  # fmt: skip
# So large that many images are scored together.
BROAD = [LINEAR | {"outputs": 700}, RELU, LINEAR | {"outputs": 6}]
SOFTMAX = {"kind": "softmax"}
INPUTS, IMAGES = 217, 45


def update_of(layers, dtype=np.float32, optimizer="momentum", **settings):
    network = Network.from_spec({"inputs": INPUTS, "layers": layers}, seed=1, dtype=dtype)
    return Update(network, OPTIMIZERS[optimizer](), **settings)


def step(plain, x, labels, rate=0.01):
    (said,) = plain.steps(Gathered.already(x), labels, [rate])
    return said


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
            said.append(step(plain, x, labels))
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


def test_it_is_ready_where_there_is_a_team():
    plain = PlainNetwork(update_of(PLAIN["linear"]), loss_from_spec(SOFTMAX), 4)
    assert not plain.is_ready
    with at_work():
        assert plain.is_ready


def test_it_leaves_the_same_bits_where_a_layer_has_many_inputs(threads):
    inputs = MANY_ROWS * threads + 19
    layers = [LINEAR | {"outputs": 150}, RELU, LINEAR | {"outputs": 4}]
    rng, ways = np.random.default_rng(0), []
    x, labels = rng.standard_normal((IMAGES, inputs), np.float32), rng.integers(0, 4, IMAGES)
    for in_one_call in (True, False):
        network = Network.from_spec({"inputs": inputs, "layers": layers}, seed=1)
        update, loss = Update(network, OPTIMIZERS["adam"]()), loss_from_spec(SOFTMAX)
        with at_work():
            if in_one_call:
                said = step(PlainNetwork(update, loss, IMAGES), x, labels)
            else:
                scores = network.forward(x, training=True)
                value, dscores = loss(scores, labels)
                said = (value, count_right(scores, labels), update.descend(dscores, 0.01))
        ways.append((said, [network.theta, update.optimizer.block]))
    assert_same(*ways)


@pytest.mark.parametrize("averaging", [0, 0.9])
@pytest.mark.parametrize("layers", PLAIN.values(), ids=PLAIN)
def test_steps_that_follow_one_another_are_those_one_by_one(averaging, layers, threads):
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (200, INPUTS), dtype=np.uint8)
    scale, shift = rng.random((2, INPUTS), np.float32) / 100
    places, labels = rng.integers(0, 200, 5 * IMAGES), rng.integers(0, 3, 5 * IMAGES)
    rates, ways = [0.1, 0.05, 0.2, 0.0, 0.1], []
    for together in (True, False):
        update = update_of(layers, weight_decay=0.01, averaging=averaging)
        plain = PlainNetwork(update, loss_from_spec(SOFTMAX), IMAGES)
        x = np.empty((IMAGES, INPUTS), np.float32)
        with at_work():
            if together:
                said = plain.steps(Gathered(pixels, places, scale, shift, x), labels, rates)
            else:
                parts = zip(np.split(places, 5), np.split(labels, 5), rates, strict=True)
                said = [step(plain, pixels[p] * scale + shift, y, r) for p, y, r in parts]
        ways.append((said, [update.network.theta, update.optimizer.block, update.average]))
        assert update.optimizer.steps == 5
    assert_same(*ways)


def test_no_step_is_taken_after_one_that_is_not_finite():
    pixels, labels = np.full((30, INPUTS), 7, np.uint8), np.zeros(30, np.int64)
    factors = np.ones((2, INPUTS), np.float32)
    update = update_of(PLAIN["linear"], optimizer="sgd")
    plain = PlainNetwork(update, loss_from_spec(SOFTMAX), 10)
    x = np.empty((10, INPUTS), np.float32)
    with at_work():
        said = plain.steps(
            Gathered(pixels, np.arange(30), *factors, x), labels, [float("inf"), 1.0, 1.0]
        )
    assert len(said) == update.optimizer.steps == 2
    assert np.isfinite(said[0]).all()
    assert not np.isfinite(said[1]).all()


@pytest.mark.parametrize("kind", ["softmax", "hinge"])
def test_what_is_not_a_number_shows_in_loss_and_norm(kind):
    update = update_of(PLAIN["linear"])
    x = np.ones((4, INPUTS), np.float32)
    x[2, 5] = np.nan
    with at_work():
        plain = PlainNetwork(update, loss_from_spec({"kind": kind}), 4)
        loss, _, norm = step(plain, x, np.array([0, 3, 9, 1]))
    assert np.isnan(loss)
    if kind == "softmax":  # no slope of a hinge is anything but a whole number
        assert np.isnan(norm)


@pytest.mark.parametrize("layers", [*PLAIN.values(), BROAD], ids=[*PLAIN, "broad"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 128, 2 * MANY_IMAGES + 188])
def test_scores_of_many_images_are_those_of_a_forward_pass(layers, dtype, count, threads):
    network = Network.from_spec({"inputs": INPUTS, "layers": layers}, seed=1, dtype=dtype)
    assert (network.inputs * layers[0]["outputs"] > LITTLE) == (layers is BROAD)
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 256, (count, INPUTS), dtype=np.uint8)
    pixels.flags.writeable = False  # like those of a mapped file
    scale, shift = rng.random((2, INPUTS)).astype(dtype) / 100
    places = rng.permutation(count)
    found = np.empty((count, network.outputs), dtype)
    with at_work() as workers:
        assert workers.threads == threads
        PlainScores(network, 2 * MANY_IMAGES).write(pixels, places, scale, shift, found)
        wanted = network.forward(pixels[places] * scale + shift)
        np.testing.assert_array_equal(found, wanted)


def test_scores_are_written_by_more_threads_than_there_were_before():
    network = Network.from_spec({"inputs": INPUTS, "layers": PLAIN["linear"]}, seed=1)
    scorer = PlainScores(network, 40)
    pixels = np.random.default_rng(4).integers(0, 256, (40, INPUTS), dtype=np.uint8)
    factors, blas = np.ones((2, INPUTS), np.float32), find_blas()
    before = blas.get_threads()
    found = []
    for threads in (1, 5, 2):
        blas.set_threads(threads)
        with at_work() as workers:
            assert workers.threads == threads
            found.append(np.empty((40, 10), np.float32))
            scorer.write(pixels, np.arange(40), *factors, found[-1])
    blas.set_threads(before)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])
