"""One image and its nearest neighbours."""

import numpy as np
import pytest

from nnlab.errors import InputError
from nnlab.explanation import explain_neighbors
from nnlab.explanation.neighbors import SUMS
from nnlab.neighbors import METRICS, Settings, baseline

CLASSES = [f"class {number}" for number in range(10)]


@pytest.fixture(scope="module")
def search(fashion):
    """Make the description of a nearest-neighbour run."""
    images, labels = fashion

    def make(**settings):
        chosen = Settings(ks=(5,), folds=0, **settings)
        train = (images[:500], labels[:500])
        result = baseline(train, (images[500:], labels[500:]), 10, chosen)
        return result.spec("data.h5", "fashion", "0" * 64), train

    return make


def explained(search, fashion, index=500, label=None, **settings):
    spec, train = search(**settings)
    return explain_neighbors(
        spec, train, fashion[0][index], label, classes=CLASSES, config={}, run="r", image="i"
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_neighbours_votes_and_parts_agree_with_a_search_by_hand(search, fashion, metric, weights):
    images, labels = fashion
    e = explained(search, fashion, metric=metric, weights=weights)
    a, b = images[500].reshape(-1).astype(float), images[:500].reshape(500, -1).astype(float)
    distances = {
        "l1": np.abs(b - a).sum(axis=1),
        "l2": np.sqrt(np.square(b - a).sum(axis=1)),
        "linf": np.abs(b - a).max(axis=1),
        "cosine": 1 - b @ a / np.linalg.norm(b, axis=1) / np.linalg.norm(a),
    }[metric]
    order = np.argsort(distances, kind="stable")[:5]
    assert [n.row for n in e.neighbors] == order.tolist()
    assert [n.label for n in e.neighbors] == labels[order].tolist()
    votes = np.zeros(10)
    for n in e.neighbors:
        assert n.distance == pytest.approx(distances[n.row], rel=1e-9)
        assert n.parts_sum == pytest.approx(n.distance ** (2 if metric == "l2" else 1), rel=1e-9)
        assert n.border + n.centre == pytest.approx(n.parts_sum)
        ring = n.parts.copy()
        inner = e.border_width
        ring[inner:-inner, inner:-inner] = 0
        assert n.border == pytest.approx(ring.sum())
        votes[n.label] += 1 if weights == "uniform" else 1 / n.distance
    np.testing.assert_allclose(e.votes, votes)
    assert e.predicted == votes.argmax()
    assert metric in SUMS


def test_rows_are_those_of_the_whole_split_where_a_part_was_searched(search, fashion):
    e = explained(search, fashion, index=3, limit_train=200)
    assert e.searched == 200
    images, labels = fashion
    for n in e.neighbors:
        np.testing.assert_array_equal(n.pixels, images[n.row])
        assert n.label == labels[n.row]
        assert n.distance == np.abs(images[n.row].astype(int) - images[3]).sum()


def test_an_image_of_the_training_split_finds_itself(search, fashion):
    e = explained(search, fashion, index=7, label=int(fashion[1][7]))
    assert e.neighbors[0].row == 7
    assert e.neighbors[0].border_share is None


def test_another_shape_is_refused(search, fashion):
    spec, train = search()
    with pytest.raises(InputError, match="compares images of shape"):
        explain_neighbors(
            spec, train, np.zeros((3, 3, 1), np.uint8), None, classes=CLASSES, config={}
        )
