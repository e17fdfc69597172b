"""The experiment: k by cross-validation, limits, the background report and the ledger."""

import numpy as np
import pytest
from brute_force import brute_force

from nnlab.errors import InputError
from nnlab.neighbors import KNNClassifier, Settings, baseline, cross_validate
from nnlab.neighbors.background import background, bias_curve, deciding_neighbors, in_words
from nnlab.neighbors.ledger import ledger
from nnlab.neighbors.regions import halve, pixel_parts
from nnlab.stratify import stratified_folds

CLASSES = [f"class {number}" for number in range(10)]


@pytest.fixture(scope="module")
def result(small_fashion):
    train, test = small_fashion
    return baseline(train, test, 10, Settings(ks=(3, 1), folds=0))


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine", "linf"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_cross_validation_equals_classifying_each_fold_by_the_others(
    small_fashion, metric, weights
):
    (x, y), _ = small_fashion
    x, y = x[:300], y[:300]
    found = cross_validate(
        x, y, (1, 4, 7), folds=3, seed=2, class_count=10, metric=metric, weights=weights
    )
    fold_of = stratified_folds(y, 3, 2)
    for row, k in enumerate((1, 4, 7)):
        for fold in range(3):
            inside = fold_of == fold
            model = KNNClassifier(k, metric, weights).fit(x[~inside], y[~inside], 10)
            expected = np.mean(model.predict(x[inside]) == y[inside])
            assert found.accuracy[row, fold] == expected


def test_cross_validation_of_a_part_of_the_rows(small_fashion):
    (x, y), _ = small_fashion
    rows = np.arange(0, 1500, 5)
    part = cross_validate(x, y, (1, 5), folds=4, seed=0, class_count=10, rows=rows)
    alone = cross_validate(x[rows], y[rows], (1, 5), folds=4, seed=0, class_count=10)
    np.testing.assert_array_equal(part.accuracy, alone.accuracy)


def test_the_best_k_is_chosen_of_equals_the_smallest(small_fashion):
    (x, y), _ = small_fashion
    found = cross_validate(x[:90], y[:90], (5, 1, 3), folds=3, seed=0, class_count=10)
    mean = dict(zip(found.ks, found.accuracy.mean(axis=1), strict=True))
    assert found.best == min(k for k in mean if mean[k] == max(mean.values()))


def test_baseline_chooses_k_on_the_training_images_alone(small_fashion):
    train, (q, z) = small_fashion
    settings = Settings(ks=(1, 3, 9), folds=4, seed=3)
    seen = []
    found = baseline(train, (q, z), 10, settings, lambda done, total: seen.append((done, total)))
    shuffled = baseline(train, (q, np.roll(z, 1)), 10, settings)
    assert found.k == shuffled.k == found.cross_validation.best
    assert set(found.record()["cross_validation"]) == {"1", "3", "9"}
    assert all(len(folds) == 4 for folds in found.record()["cross_validation"].values())
    assert found.record()["accuracy"] == found.accuracy_by_k[found.k]
    assert seen[-1][0] == seen[-1][1]
    assert seen == sorted(seen)


def test_without_folds_the_first_k_counts(result, small_fashion):
    (x, y), (q, z) = small_fashion
    assert result.k == 3
    assert result.cross_validation is None
    expected = KNNClassifier(3).fit(x, y).predict(q)
    np.testing.assert_array_equal(result.predicted, expected)
    assert result.record()["correct"] == (expected == z).sum()


def test_limits_take_a_stratified_part(small_fashion):
    train, test = small_fashion
    found = baseline(train, test, 10, Settings(ks=(1,), limit_train=500, limit_test=50))
    assert (len(found.train_rows), len(found.test_rows)) == (500, 50)
    shares = np.bincount(train[1][found.train_rows]) / 500 - np.bincount(train[1]) / 1500
    assert np.abs(shares).max() < 0.003
    assert np.isin(found.neighbors.indices, found.train_rows).all()
    _, local = brute_force(test[0][found.test_rows], train[0][found.train_rows], 1, "l1")
    np.testing.assert_array_equal(found.neighbors.indices, found.train_rows[local])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ks": ()}, "no k to try"),
        ({"ks": (0, 1)}, "k is 0"),
        ({"ks": (3, 3)}, "twice"),
        ({"ks": (2000,)}, "only 1500 training images"),
        ({"ks": (1, 1400), "folds": 5}, "leave only 1200"),
        ({"folds": 1}, "1 folds"),
        ({"folds": -2}, "-2 folds"),
        ({"metric": "l0"}, "no metric"),
        ({"weights": "no"}, "no weights"),
        ({"limit_train": 0}, "nothing"),
        ({"limit_test": -5}, "nothing"),
    ],
)
def test_settings_that_make_no_sense(small_fashion, settings, message):
    train, test = small_fashion
    with pytest.raises(InputError, match=message):
        baseline(train, test, 10, Settings(**settings))


@pytest.mark.parametrize("size", [(3, 3), (4, 7), (28, 28), (32, 32), (96, 64)])
def test_the_ring_holds_about_half_the_pixels(size):
    regions = halve(*size)
    ring = regions.border.sum() / regions.border.size
    assert regions.border_share == ring
    assert regions.border[0].all()
    assert not regions.border[size[0] // 2, size[1] // 2]
    if min(size) >= 28:
        assert abs(ring - 0.5) < 0.08


def test_too_small_an_image_has_no_centre():
    with pytest.raises(InputError, match="no border"):
        halve(2, 9)


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine", "linf"])
def test_pixel_parts_add_up_to_the_distance(small_fashion, metric):
    (x, _), (q, _) = small_fashion
    distances, rows = brute_force(q[:20], x, 1, metric)
    parts = pixel_parts(q[:20], x[rows[:, 0]], metric)
    assert parts.shape == (20, 28, 28)
    if metric in {"l1", "l2"}:
        np.testing.assert_array_equal(parts.sum(axis=(1, 2)), distances[:, 0])
    else:
        np.testing.assert_allclose(parts.sum(axis=(1, 2)), distances[:, 0], rtol=1e-9)


def test_pixel_parts_do_not_wrap():
    dark, bright = np.full((1, 1, 1, 3), 3, np.uint8), np.full((1, 1, 1, 3), 5, np.uint8)
    assert pixel_parts(dark, bright, "l1").tolist() == [[[6]]]
    assert pixel_parts(dark, bright, "l2").tolist() == [[[12]]]


def test_the_background_report_counts_what_it_says(small_fashion, result):
    (x, y), (q, z) = small_fashion
    report = background((x, y), (q, z), result, swapped=(q[:50], z[:50]))
    border = np.repeat(report.regions.border.ravel(), 1)
    flat, queries = x.reshape(1500, -1), q.reshape(200, -1)
    answers = {
        "centre": KNNClassifier(3).fit(flat[:, ~border], y, 10).predict(queries[:, ~border]),
        "border": KNNClassifier(3).fit(flat[:, border], y, 10).predict(queries[:, border]),
        "all": result.predicted,
    }
    for name, answer in answers.items():
        assert report.accuracy[name] == np.mean(answer == z)
        assert report.swapped[name] == np.mean(answer[:50] == z[:50])
    wrong = result.predicted != z
    blamed = wrong & (answers["border"] == result.predicted)
    repeated = (wrong & (answers["centre"] == result.predicted)).sum()
    assert (report.errors, report.repeated_by_border) == (wrong.sum(), blamed.sum())
    assert report.repeated_by_centre == repeated
    assert sum(c.count for c in report.confusions) <= blamed.sum()
    for confusion in report.confusions:
        pair = (z == confusion.true) & (result.predicted == confusion.predicted)
        assert confusion.count == (blamed & pair).sum()
    rows = deciding_neighbors(result, y)
    assert (y[rows] == result.predicted).all()
    share = [
        np.abs(a[border] - b[border]).sum() / np.abs(a - b).sum()
        for a, b in zip(queries.astype(int), flat[rows].astype(int), strict=True)
    ]
    assert report.border_share_wrong == pytest.approx(np.array(share)[wrong].mean())
    assert report.border_share_right == pytest.approx(np.array(share)[~wrong].mean())
    text = "\n".join(in_words(report, CLASSES))
    assert f"Of {wrong.sum()} errors the border alone makes {blamed.sum()} (" in text


def test_a_background_of_another_class_is_seen_as_such():
    """Subjects that are all alike on backgrounds that tell the class: only the border decides."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = rng.integers(0, 20, (60, 16, 16, 1), dtype=np.uint8)
    images += (labels * 80).astype(np.uint8)[:, None, None, None]
    images[:, 2:14, 2:14] = rng.integers(0, 20, (60, 12, 12, 1), dtype=np.uint8)
    swapped = images[:30].copy()
    test = baseline((images[30:], labels[30:]), (images[:30], labels[:30]), 3, Settings(ks=(1,)))
    report = background(
        (images[30:], labels[30:]), (images[:30], labels[:30]), test,
        swapped=(swapped, (labels[:30] + 1) % 3),
    )  # fmt: skip
    assert report.accuracy["all"] == report.accuracy["border"] == 1.0
    assert report.accuracy["centre"] < 0.7
    assert report.swapped["all"] == 0.0
    assert "100.0% to 0.0%" in in_words(report, CLASSES)[-1]


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
def test_the_ledger_splits_the_difference_without_a_rest(small_fashion, metric):
    train, test = small_fashion
    found = baseline(train, test, 10, Settings(ks=(1,), metric=metric))
    wrong = int(np.flatnonzero(found.predicted != found.labels)[0])
    right = int(np.flatnonzero(found.predicted == found.labels)[0])
    for index in (wrong, right):
        account = ledger(train, test, index, found)
        difference = account.wrong_distance - account.right_distance
        if metric == "cosine":
            assert account.total == pytest.approx(difference, abs=1e-12)
            assert account.border + account.centre == pytest.approx(account.total, abs=1e-12)
        else:
            assert account.total == difference == account.border + account.centre
            assert account.entries.dtype == np.int64
        assert (account.total < 0) == (index == wrong)
        assert train[1][account.right_row] == account.true == test[1][index]
        assert train[1][account.wrong_row] == account.rival != account.true
        for row, of_class in ((account.right_row, True), (account.wrong_row, False)):
            same = train[1] == (account.true if of_class else account.rival)
            _, nearest = brute_force(test[0][[index]], train[0][same], 1, metric)
            if of_class or index == wrong:
                assert np.flatnonzero(same)[nearest[0, 0]] == row
        assert account.record(CLASSES)["difference"] == account.total


def test_the_ledger_of_an_image_made_by_hand():
    """The wrong neighbour is nearer by 6: the border gives it 9, the centre takes 3 back."""
    query = np.zeros((1, 5, 5, 1), dtype=np.uint8)
    right, wrong = query[0].copy(), query[0].copy()
    right[0, 0], right[2, 2] = 10, 1
    wrong[0, 0], wrong[2, 2] = 1, 4
    train = np.stack([right, wrong]), np.array([0, 1])
    found = baseline(train, (query, np.array([0])), 2, Settings(ks=(1,)))
    account = ledger(train, (query, np.array([0])), 0, found)
    assert (account.true, account.predicted) == (0, 1)
    assert (account.total, account.border, account.centre) == (-6, -9, 3)
    assert account.border_share_for_wrong == 1.0


@pytest.mark.parametrize(
    ("metric", "index", "message"), [("linf", 0, "no sum over pixels"), ("l1", 200, "0 to 199")]
)
def test_a_ledger_that_cannot_be_drawn_up(small_fashion, metric, index, message):
    train, test = small_fashion
    found = baseline(train, test, 10, Settings(ks=(1,), metric=metric, limit_train=100))
    with pytest.raises(InputError, match=message):
        ledger(train, test, index, found)


def test_the_curve_over_the_bias_follows_the_data(small_fashion):
    (x, y), (q, z) = small_fashion

    def make(bias):
        moved = np.roll(z, 1) if bias == 0 else z
        return {"train": (x, y), "test": (q, moved), "test_swapped": (q, z)}

    points = bias_curve(make, Settings(ks=(1,)), (0.0, 1.0))
    assert [point.bias for point in points] == [0.0, 1.0]
    assert points[0].test < points[1].test == points[1].swapped


def test_folds_of_the_data_choose_k_unless_a_number_of_folds_is_asked_for(small_fashion):
    train, test = small_fashion
    fold_of = np.arange(len(train[1])) % 3
    own = baseline(train, test, 10, Settings(ks=(1, 3)), fold_of=fold_of)
    assert own.folds_of_data
    assert own.settings.folds == own.cross_validation.accuracy.shape[1] == 3
    inside = np.flatnonzero(fold_of == 1)
    alone = KNNClassifier(3).fit(np.delete(train[0], inside, 0), np.delete(train[1], inside))
    right = np.mean(alone.predict(train[0][inside]) == train[1][inside])
    assert own.cross_validation.accuracy[1, 1] == right
    for settings in (Settings(ks=(1, 3), folds=2), Settings(ks=(3,))):
        assert not baseline(train, test, 10, settings, fold_of=fold_of).folds_of_data
