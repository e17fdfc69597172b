"""A team does every part of a job once, whoever is there to help."""

import os
import signal
import threading

import numpy as np
import pytest

from nnlab.core import products, workers
from nnlab.core.blas import find_blas
from nnlab.core.layers import LAYERS
from nnlab.core.network import Network
from nnlab.core.workers import at_work, current
from nnlab.jit import compiled
from nnlab.team import Team, shared


@compiled
def _mark_part(part, parts, marks, weight):
    for i in range(part, marks.size, parts):
        marks[i] += weight


_mark_parts = shared(_mark_part)


@compiled
def mark(team, parts, marks, weight):
    _mark_parts(team, parts, (marks, weight))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("parts", [1, 2, 7, 300])
def test_every_part_of_every_job_is_done_once(threads, parts):
    team, marks = Team(threads), np.zeros(300)
    for _ in range(500):
        mark(team.address, parts, marks, 1.0)
    np.testing.assert_array_equal(marks, 500)


def test_a_job_is_done_while_the_helpers_sleep():
    team, marks = Team(3), np.zeros(300)
    assert all(
        helper.join(0.05) is None and helper.is_alive() for helper in threads_of_teams()
    )  # long enough for them to have gone to sleep
    mark(team.address, 9, marks, 1.0)
    np.testing.assert_array_equal(marks, 1)


def threads_of_teams():
    return [thread for thread in threading.enumerate() if "_help" in thread.name]


def test_the_helpers_go_with_their_team():
    before = len(threads_of_teams())
    team = Team(4)
    assert len(threads_of_teams()) == before + 3
    del team
    assert len(threads_of_teams()) == before


def test_a_forked_process_works_without_the_helpers():
    team, marks = Team(2), np.zeros(300)
    mark(team.address, 2, marks, 1.0)
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # whoever waits for ever is ended
        mark(team.address, 50, marks, 1.0)
        os._exit(0 if (marks == 2).all() else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.fixture
def two_threads():
    blas = find_blas()
    before = blas.get_threads()
    blas.set_threads(2)
    yield blas
    blas.set_threads(before)
    workers._mine.known.clear()  # no threads are left for the tests that follow


def test_a_team_takes_the_place_of_the_threads_of_the_blas(two_threads):
    assert current().products is None
    with at_work() as outer:
        assert current() is outer
        assert outer.threads == 2
        assert two_threads.get_threads() == 1
        with at_work() as inner:
            assert inner is outer
        assert two_threads.get_threads() == 1
    assert two_threads.get_threads() == 2
    assert current().products is None


def test_two_python_threads_have_two_teams(two_threads):
    def work():
        with at_work() as mine:
            teams.append(mine.team)

    teams = []
    with at_work() as own:
        other = threading.Thread(target=work)
        other.start()
        other.join()
    assert teams
    assert teams[0] != own.team


def test_without_a_blas_that_can_be_called_products_are_numpys(monkeypatch):
    monkeypatch.setattr("nnlab.core.blas.find_blas", lambda: None)
    with at_work() as found:
        assert found.products is None
        assert found.threads == 1


def layer_of(rows, inputs, outputs, dtype):
    rng = np.random.default_rng(0)
    shapes = [(rows, inputs), (rows, outputs), (inputs, outputs), (outputs,)]
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def products_of(parts, x, dy, w, b):
    """y, dx, dW and db, computed in so many parts."""
    y, dx, dw, db = (np.full_like(array, np.nan) for array in (dy, x, w, b))
    how = (0, parts, products.scratch(parts, x.dtype))
    products.forward(*how, x, w, b, y, False)
    products.weight_gradient(*how, x, dy, dw, db)
    products.input_gradient(*how, dy, w, dx, x, False)
    return y, dx, dw, db


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 2, 31, 64, 400])
@pytest.mark.parametrize(
    ("inputs", "outputs"), [(1, 1), (3, 50), (130, 7), (200, 300), (401, 193), (67, 1100)]
)
@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_products_in_parts_are_numpys(dtype, rows, inputs, outputs, parts):
    x, dy, w, b = layer_of(rows, inputs, outputs, dtype)
    y, dx, dw, db = products_of(parts, x, dy, w, b)
    digits = 1e-3 if dtype == np.float32 else 1e-11
    np.testing.assert_allclose(y, x @ w + b, digits, digits)
    np.testing.assert_allclose(dx, dy @ w.T, digits, digits)
    np.testing.assert_allclose(dw, x.T @ dy, digits, digits)
    np.testing.assert_allclose(db, dy.sum(axis=0), digits, digits)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("inputs", "outputs"), [(5, 3), (401, 193), (193, 401)])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_relu_beside_a_product_is_that_of_its_results(dtype, inputs, outputs, parts):
    x, dy, w, b = layer_of(21, inputs, outputs, dtype)
    x[3, 2] = dy[4, 1] = np.nan  # what is not a number stays so
    x[5] = b[2] = 0.0  # a sum of zero has no slope
    plain, slopes, _, _ = products_of(parts, x, dy, w, b)
    output = np.maximum(x, 0)
    how, y, dx = (0, parts, products.scratch(parts, x.dtype)), np.empty_like(dy), np.empty_like(x)
    products.forward(*how, x, w, b, y, True)
    products.input_gradient(*how, dy, w, dx, output, True)
    np.testing.assert_array_equal(y, np.maximum(plain, 0))
    np.testing.assert_array_equal(dx, slopes * (output > 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("parts", [2, 3, 8])
def test_products_have_the_same_bits_in_any_number_of_parts(dtype, parts):
    layer = layer_of(400, 410, 403, dtype)  # all sums are longer than a panel is deep
    for whole, cut in zip(products_of(1, *layer), products_of(parts, *layer), strict=True):
        np.testing.assert_array_equal(whole, cut)


def test_the_scores_of_an_image_do_not_depend_on_those_beside_it():
    x, dy, w, b = layer_of(50, 784, 100, np.float32)
    together = products_of(1, x, dy, w, b)[0]
    for i in (0, 7, 49):
        alone = products_of(1, x[i : i + 1], dy[i : i + 1], w, b)[0]
        np.testing.assert_array_equal(alone[0], together[i])


def test_what_stands_around_a_result_is_left_alone():
    x, _, w, b = layer_of(13, 40, 21, np.float32)
    around = np.full((15, 21), 7, np.float32)
    products.forward(0, 1, products.scratch(1, x.dtype), x, w, b, around[1:14], False)
    np.testing.assert_array_equal(around[[0, 14]], 7)
    np.testing.assert_allclose(around[1:14], x @ w + b, 1e-4, 1e-4)


def test_a_layer_computes_alike_at_work_and_outside(two_threads):
    layer = LAYERS["linear"](300, outputs=200)
    network = Network([layer], seed=1)
    layer.input_gradient = True
    network.reserve(150)
    x = np.random.default_rng(0).standard_normal((150, 300), np.float32)
    results = []
    for used in (True, False):
        with at_work() if used else np.errstate():
            assert (current().products is not None) == used
            out = network.forward(x).copy()
            results.append((out, layer.backward(np.ones_like(out)).copy(), network.grad.copy()))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, 1e-4, 1e-4)


def test_images_that_are_not_contiguous_are_left_to_numpy(two_threads):
    network = Network([LAYERS["linear"](30, outputs=20)], seed=1)
    x = np.random.default_rng(0).standard_normal((30, 10), np.float32).T
    with at_work():
        assert not workers.current().can_multiply(x, x)
        found = network.forward(x).copy()
    np.testing.assert_allclose(found, network.forward(x), 1e-5, 1e-5)
