"""The classifier: votes, scikit-learn's answers, and bad input."""

import numpy as np
import pytest
from brute_force import brute_force
from sklearn.neighbors import KNeighborsClassifier

from nnlab.errors import InputError
from nnlab.neighbors import METRICS, KNNClassifier, restore, search
from nnlab.neighbors.vote import count_votes

SKLEARN = {"l1": "manhattan", "l2": "euclidean", "cosine": "cosine", "linf": "chebyshev"}


@pytest.mark.parametrize(
    ("metric", "right"),
    [
        ("l1", {1: 8526, 3: 8575, 5: 8623, 9: 8601}),
        ("l2", {1: 8497, 3: 8541, 5: 8554, 9: 8519}),
    ],
)
def test_the_known_counts_on_the_whole_of_fashion_mnist(fashion, metric, right):
    (x, y), (q, z) = fashion
    found = search(q, x, 9, metric)
    counts = {
        k: int((count_votes(y[found.indices[:, :k]], found.distances[:, :k], 10, "uniform")
                .argmax(axis=1) == z).sum())
        for k in right
    }  # fmt: skip
    assert counts == right


@pytest.mark.parametrize("metric", list(METRICS))
@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("k", [1, 4, 10])
def test_the_same_answers_as_scikit_learn(small_fashion, metric, weights, k):
    """On every query without a tie of distances at the k-th place, where the choice is free."""
    (x, y), (q, _) = small_fashion
    x, y, q = x[:800], y[:800], q[:100]
    ours = KNNClassifier(k, metric, weights).fit(x, y)
    theirs = KNeighborsClassifier(k, metric=SKLEARN[metric], weights=weights, algorithm="brute")
    theirs.fit(x.reshape(len(x), -1).astype(np.float64), y)
    flat = q.reshape(len(q), -1).astype(np.float64)
    distances, _ = ours.kneighbors(q, k + 1)
    their_distances, _ = theirs.kneighbors(flat)
    np.testing.assert_allclose(distances[:, :k], their_distances, rtol=1e-9, atol=1e-7)
    clear = distances[:, k - 1] < distances[:, k] * (1 - 1e-12)
    assert clear.mean() > (0.05 if metric == "linf" else 0.99)
    np.testing.assert_allclose(
        ours.predict_proba(q)[clear], theirs.predict_proba(flat)[clear], rtol=1e-6, atol=1e-9
    )
    np.testing.assert_array_equal(ours.predict(q)[clear], theirs.predict(flat)[clear])


def test_an_exact_match_votes_alone_when_votes_weigh_by_distance(small_fashion):
    (x, y), _ = small_fashion
    twice = np.concatenate([x, x[:50]])
    labels = np.concatenate([y, y[:50]])
    theirs = KNeighborsClassifier(4, metric="manhattan", weights="distance", algorithm="brute")
    theirs.fit(twice.reshape(len(twice), -1).astype(float), labels)
    ours = KNNClassifier(4, "l1", "distance").fit(twice, labels)
    shares = ours.predict_proba(x[:50])
    np.testing.assert_array_equal(shares, theirs.predict_proba(x[:50].reshape(50, -1) / 1.0))
    np.testing.assert_array_equal(shares.argmax(axis=1), y[:50])


def test_most_votes_win_and_of_equals_the_smallest_class():
    classes = np.array([[2, 1, 1, 2], [3, 0, 3, 3]])
    votes = count_votes(classes, np.ones((2, 4)), 4, "uniform")
    assert votes.tolist() == [[0, 2, 2, 0], [1, 0, 0, 3]]
    assert votes.argmax(axis=1).tolist() == [1, 3]


def test_votes_by_distance_worked_by_hand():
    votes = count_votes(np.array([[0, 1, 1]]), np.array([[1, 4, 2]]), 2, "distance")
    assert votes.tolist() == [[1.0, 0.75]]


def test_distances_are_the_metrics_own_and_labels_may_be_names(small_fashion):
    (x, y), (q, _) = small_fashion
    names = np.array([f"class {label}" for label in y])
    model = KNNClassifier(3, "l2").fit(x, names)
    distances, rows = model.kneighbors(q)
    squared, expected = brute_force(q, x, 3, "l2")
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(distances, np.sqrt(squared))
    assert model.predict(q[:5]).tolist() == [
        f"class {label}" for label in KNNClassifier(3, "l2").fit(x, y).predict(q[:5])
    ]


def test_a_run_s_description_makes_the_same_classifier(small_fashion):
    (x, y), (q, _) = small_fashion
    spec = {
        "metric": "l1", "weights": "distance", "k": 3, "class_count": 10, "limit_train": 400,
        "seed": 5, "images": 1500, "image_shape": [28, 28, 1],
    }  # fmt: skip
    model = restore(spec, x, y)
    assert model.images.shape == (400, 28, 28, 1)
    np.testing.assert_array_equal(model.predict(q), restore(spec, x, y).predict(q))
    with pytest.raises(InputError, match="1500 training images of shape"):
        restore(spec, x[:1499], y[:1499])


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda x, y: KNNClassifier(0), "k is 0"),
        (lambda x, y: KNNClassifier(metric="l7"), "l7"),
        (lambda x, y: KNNClassifier(weights="heavy"), "known: uniform, distance"),
        (lambda x, y: KNNClassifier().kneighbors(x), "call fit first"),
        (lambda x, y: KNNClassifier(11).fit(x[:10], y[:10]), "only 10 training images"),
        (lambda x, y: KNNClassifier().fit(x, y[1:]), "1500 images, but labels"),
        (lambda x, y: KNNClassifier().fit(x, y).predict(x[:, :14]), "392 values"),
        (lambda x, y: KNNClassifier().fit(x, y).predict(x[:1] * np.nan), "not finite"),
        (lambda x, y: KNNClassifier().fit(x[:9] / 0.0, y[:9]).predict(x[:1]), "not finite"),
    ],
)
def test_bad_input_is_refused_in_one_line(small_fashion, attempt, message):
    (x, y), _ = small_fashion
    with np.errstate(all="ignore"), pytest.raises(InputError) as caught:
        attempt(x, y)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
