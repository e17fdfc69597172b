"""The search is exact: every kernel, every shape, every tie."""

import threading

import numpy as np
import pytest
from brute_force import brute_force
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nnlab.errors import InputError
from nnlab.neighbors import METRICS, exact_search, search
from nnlab.neighbors.levels import LEVELS, available, best_level, modules_of

METRIC_NAMES = list(METRICS)
INTEGER_METRICS = ["l1", "l2", "linf"]


@pytest.fixture(params=list(LEVELS))
def level(request):
    if request.param not in available():
        pytest.skip(f"this processor cannot run {request.param}")
    return request.param


def assert_same(found, expected):
    distances, rows = expected
    np.testing.assert_array_equal(found.indices, rows)
    if found.distances.dtype == np.int64:
        np.testing.assert_array_equal(found.distances, distances)
    else:
        np.testing.assert_allclose(found.distances, distances, rtol=0, atol=1e-15)


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_every_kernel_agrees_with_brute_force_on_real_images(small_fashion, metric, level):
    (training, _), (queries, _) = small_fashion
    found = search(queries[:60], training[:700], 20, metric, level=level)
    assert_same(found, brute_force(queries[:60], training[:700], 20, metric))


@pytest.mark.parametrize("metric", METRIC_NAMES)
@pytest.mark.parametrize("columns", [1, 2, 63, 64, 65, 129, 784])
def test_every_kernel_takes_rows_of_any_length(metric, columns, level):
    rng = np.random.default_rng(columns)
    queries = rng.integers(0, 256, (7, columns), dtype=np.uint8)
    training = rng.integers(0, 256, (33, columns), dtype=np.uint8)
    found = search(queries, training, 33, metric, level=level)
    assert_same(found, brute_force(queries, training, 33, metric))


@given(
    data=st.data(),
    columns=st.integers(1, 130),
    metric=st.sampled_from(METRIC_NAMES),
    level=st.sampled_from(available()),
    largest=st.sampled_from([1, 2, 255]),
)
@settings(max_examples=150, deadline=None)
def test_any_bytes_with_many_ties(data, columns, metric, level, largest):
    def images(most):
        shape = (data.draw(st.integers(1, most)), columns)
        return data.draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, largest)))

    queries, training = images(6), images(40)
    k = data.draw(st.integers(1, len(training)))
    found = search(queries, training, k, metric, level=level)
    assert_same(found, brute_force(queries, training, k, metric))


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_bytes_do_not_wrap_and_close_neighbours_are_told_apart(metric, level):
    # |3 - 5| is 254 in wrapping bytes; in expanded float32 a squared distance of 1 between images
    # of values near 200 comes out as 0.
    query = np.full((1, 3072), 200, dtype=np.uint8)
    training = np.repeat(query, 3, axis=0)
    training[0, 7] = 203
    training[1, 7] = 201
    found = search(query, training, 3, metric, level=level)
    assert found.indices.tolist() == [[2, 1, 0]]
    expected = {"l1": [0, 1, 3], "l2": [0, 1, 9], "linf": [0, 1, 3]}
    if metric in expected:
        assert found.distances.tolist() == [expected[metric]]
    else:
        assert found.distances[0, 0] == 0 < found.distances[0, 1] < found.distances[0, 2]


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_the_largest_sums_do_not_overflow(metric, level):
    columns = 1_100_000  # wider than the 32-bit lanes of the kernels for products allow
    training = np.full((4, columns), 255, dtype=np.uint8)
    training[:2] = 0
    training[2, :5] = 254
    query = np.full((1, columns), 255, dtype=np.uint8)
    found = search(query, training, 4, metric, level=level)
    assert found.indices.tolist() == [[3, 2, 0, 1]]
    black = {"l1": 255 * columns, "l2": 255**2 * columns, "linf": 255, "cosine": 1.0}
    assert found.distances[0, 2] == black[metric]


def test_equal_distances_come_in_the_order_of_rows_across_blocks(level, monkeypatch):
    monkeypatch.setattr(exact_search, "BLOCK_BYTES", 1 << 12)
    training = np.zeros((5000, 64), dtype=np.uint8)
    training[::7] = 9
    found = search(np.zeros((3, 64), np.uint8), training, 4500, "l1", level=level)
    expected = [*np.flatnonzero(training[:, 0] == 0), *np.flatnonzero(training[:, 0])][:4500]
    assert (found.indices == expected).all()


def test_parallel_images_of_other_brightness_are_at_angle_zero(level):
    query = np.array([[1, 2, 3]], dtype=np.uint8)
    training = np.array([[50, 100, 151], [2, 4, 6], [80, 160, 240], [0, 0, 0]], dtype=np.uint8)
    found = search(query, training, 4, "cosine", level=level)
    assert found.indices.tolist() == [[1, 2, 0, 3]]
    assert found.distances[0, :2].tolist() == [0.0, 0.0]
    assert 0 < found.distances[0, 2] < 1e-4
    assert found.distances[0, 3] == 1.0


@pytest.mark.parametrize("module", sorted({modules_of(level)[1] for level in available()}, key=str))
def test_angles_closer_than_floating_point_can_tell(module):
    """dot_a^2 / square_a < dot_b^2 / square_b by less than a float64 holds."""
    dot_a, square_a = (1 << 37) + 12345, (1 << 38) - 54321
    gap, dot_b = min(
        (-(square_a * (dot_a + more) ** 2) % dot_a**2, dot_a + more) for more in range(1, 20_000)
    )
    square_b = -(-square_a * dot_b**2 // dot_a**2)  # the least that makes b no nearer than a
    assert 0 < gap < 2.0**-54 * dot_a**2 * square_a
    for order in ([0, 1], [1, 0]):
        products = np.array([[dot_a, dot_b]])[:, order].copy()
        row_squares = np.array([square_a, square_b])[order].copy()
        dots, squares = np.full((1, 1), -1), np.ones((1, 1), dtype=np.int64)
        rows = np.zeros((1, 1), dtype=np.int64)
        for j in range(2):  # one tile each, so that the second one meets a full list
            module.keep_smallest_angles(
                products[:, j : j + 1].copy(), np.zeros(1, np.int64), row_squares[j : j + 1], j,
                dots, squares, rows,
            )  # fmt: skip
        assert rows[0, 0] == order.index(0)  # a is nearer


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_real_numbers_agree_with_bytes_to_the_documented_tolerance(small_fashion, metric, level):
    (training, _), (queries, _) = small_fashion
    exact = search(queries[:20], training[:200], 200, metric, level=level)
    found = search(queries[:20] / 1.0, training[:200].astype(np.float32), 200, metric, level=level)
    tolerance = 786 * 2.0**-53
    np.testing.assert_allclose(found.distances, exact.distances, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(found.indices[:, 0], exact.indices[:, 0])


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_parts_of_the_rows_and_columns(small_fashion, metric):
    (training, _), (queries, _) = small_fashion
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(1500, 300, replace=False))
    picked = np.sort(rng.choice(200, 30, replace=False))
    columns = np.sort(rng.choice(784, 200, replace=False))
    found = search(
        queries, training, 5, metric, query_rows=picked, training_rows=rows, columns=columns
    )
    q = queries.reshape(200, -1)[picked][:, columns]
    distances, local = brute_force(q, training.reshape(1500, -1)[rows][:, columns], 5, metric)
    assert_same(found, (distances, rows[local]))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_does_not_matter(small_fashion, threads):
    (training, _), (queries, _) = small_fashion
    found = search(queries, training, 3, "l2", threads=threads)
    assert_same(found, brute_force(queries, training, 3, "l2"))


def test_progress_goes_to_the_end(small_fashion):
    (training, _), (queries, _) = small_fashion
    seen = []
    search(queries, training, 1, "l1", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (200 * 1500, 200 * 1500)
    assert seen == sorted(seen)


def test_an_interrupt_ends_the_threads_and_passes_on(small_fashion):
    (training, _), (queries, _) = small_fashion

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(queries, training, 1, "l1", progress=interrupt)
    assert threading.active_count() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": 11}, "only 10 training images"),
        ({"metric": "l3"}, "known: l1, l2, cosine, linf"),
        ({"queries": np.zeros((2, 5), np.uint8)}, "images of 5 values"),
        ({"queries": np.full((2, 4), np.nan)}, "not finite"),
        ({"queries": np.array([["a"] * 4] * 2)}, "cannot be compared"),
        ({"queries": np.zeros(4, np.uint8)}, "expected (N, height"),
        ({"level": "mmx"}, "cannot run here"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(change, message):
    arguments = {
        "queries": np.zeros((2, 4), np.uint8),
        "training": np.zeros((10, 4), np.uint8),
        "k": 1,
        "metric": "l1",
    }
    with pytest.raises(InputError) as caught:
        search(**{**arguments, **change})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_levels_fall_back_where_numba_is_switched_off(monkeypatch):
    from nnlab import jit

    available.cache_clear()
    monkeypatch.setattr(jit, "kernels", lambda module: None)
    try:
        assert best_level() == "numpy"
    finally:
        available.cache_clear()
