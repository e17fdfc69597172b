"""The metrics: against scikit-learn on predictions of a real classifier, and by hand."""

import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from nnlab.metrics import measure


@pytest.fixture(scope="module")
def digits():
    """Labels and probabilities of a weak classifier on 1,297 handwritten digits."""
    images, labels = load_digits(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is stopped early on purpose: it has to err
        model = LogisticRegression(max_iter=2).fit(images[:500], labels[:500])
    probabilities = model.predict_proba(images[500:])
    return labels[500:], probabilities.argmax(axis=1), probabilities


def test_agrees_with_scikit_learn_on_real_predictions(digits):
    labels, predicted, probabilities = digits
    found = measure(labels, predicted, 10, probabilities, loss=1.5)
    assert 0.5 < found.accuracy < 0.95  # there are mistakes to count
    assert (found.n, found.loss) == (len(labels), 1.5)
    assert found.accuracy == reference.accuracy_score(labels, predicted)
    np.testing.assert_array_equal(
        found.confusion_matrix, reference.confusion_matrix(labels, predicted)
    )
    expected = reference.precision_recall_fscore_support(labels, predicted)
    for ours, theirs in zip(
        (found.precision, found.recall, found.f1, found.support), expected, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-14)
    assert found.log_loss == pytest.approx(reference.log_loss(labels, probabilities), rel=1e-12)
    assert found.top5_accuracy == reference.top_k_accuracy_score(labels, probabilities, k=5)


def test_calibration_error_agrees_with_its_definition(digits):
    labels, predicted, probabilities = digits
    confidence = probabilities.max(axis=1)
    error = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            accuracy = (labels == predicted)[inside].mean()
            error += inside.mean() * abs(accuracy - confidence[inside].mean())
    found = measure(labels, predicted, 10, probabilities).expected_calibration_error
    assert found == pytest.approx(error, rel=1e-12)
    assert found > 0.01


def test_means_over_classes_agree_with_scikit_learn(digits):
    labels, predicted, _ = digits
    few = labels < 3  # other classes are predicted, or do not occur at all
    for truth, guess in ((labels, predicted), (labels[few], predicted[few]), (labels[:4], [1] * 4)):
        found = measure(truth, guess, 10)
        for weighted, name in ((False, "macro"), (True, "weighted")):
            expected = reference.precision_recall_fscore_support(
                truth, guess, average=name, zero_division=0
            )
            np.testing.assert_allclose(list(found.mean(weighted).values()), expected[:3])


def test_the_brier_score_agrees_with_scikit_learn(digits):
    labels, predicted, probabilities = digits
    expected = reference.brier_score_loss(labels, probabilities, scale_by_half=False)
    found = measure(labels, predicted, 10, probabilities)
    assert found.brier_score == pytest.approx(expected, rel=1e-12)


def test_the_hinge_loss_agrees_with_its_definition():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(40, 6)).astype(np.float32) * 3, rng.integers(0, 6, 40)
    expected = np.mean([
        sum(max(0.0, float(s[j]) - float(s[y]) + 2.5) for j in range(6) if j != y)
        for s, y in zip(scores, labels, strict=True)
    ])  # fmt: skip
    found = measure(labels, scores.argmax(axis=1), 6, scores=scores, delta=2.5)
    assert found.hinge_loss == pytest.approx(expected, rel=1e-6)
    two = measure([0, 1, 1], [0, 1, 0], 2, scores=(two_scores := rng.normal(size=(3, 2))))
    binary = reference.hinge_loss([0, 1, 1], two_scores[:, 1] - two_scores[:, 0])
    assert two.hinge_loss == pytest.approx(binary, rel=1e-12)


def test_reliability_agrees_with_scikit_learn(digits):
    labels, predicted, probabilities = digits
    found = measure(labels, predicted, 10, probabilities).reliability
    share, confidence = calibration_curve(labels == predicted, probabilities.max(axis=1), n_bins=15)
    filled = found.count > 0
    np.testing.assert_allclose(found.accuracy[filled], share)
    np.testing.assert_allclose(found.confidence[filled], confidence)
    assert found.count.sum() == len(labels)


def test_the_most_confident_mistakes_come_first(digits):
    labels, predicted, probabilities = digits
    found = measure(labels, predicted, 10, probabilities).mistakes
    assert len(found.index) == 24
    assert (labels[found.index] == found.label).all()
    assert (predicted[found.index] == found.predicted).all()
    assert (found.label != found.predicted).all()
    wrong = np.flatnonzero(labels != predicted)
    surest = wrong[probabilities[wrong].max(axis=1).argmax()]
    assert found.index[0] == surest
    assert (np.diff(found.probability) <= 0).all()
    rows = np.arange(len(labels)) * 3
    named = measure(labels, predicted, 10, probabilities, rows=rows).mistakes
    np.testing.assert_array_equal(named.index, 3 * found.index)


def test_by_hand():
    labels, predicted = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 1]
    found = measure(labels, predicted, 4)
    assert found.accuracy == 3 / 6
    np.testing.assert_array_equal(
        found.confusion_matrix, [[2, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    )
    np.testing.assert_allclose(found.precision, [2 / 3, 1 / 3, 0, 0])
    np.testing.assert_allclose(found.recall, [2 / 3, 1 / 2, 0, 0])
    np.testing.assert_allclose(found.f1, [2 / 3, 2 / 5, 0, 0])
    np.testing.assert_array_equal(found.support, [3, 2, 1, 0])


def test_equally_probable_classes_rank_by_index():
    # Six classes, all alike: the five lowest indices are the top five.
    alike = np.full((6, 6), 1 / 6)
    assert measure(np.arange(6), np.zeros(6, int), 6, alike).top5_accuracy == 5 / 6


def test_top_five_of_fewer_than_five_classes_is_none():
    found = measure([0, 1], [0, 1], 4, np.full((2, 4), 0.25))
    assert found.top5_accuracy is None
    assert found.log_loss == pytest.approx(math.log(4))


def test_without_probabilities_what_needs_them_is_none():
    found = measure([0, 1], [0, 1], 10)
    assert found.log_loss is found.top5_accuracy is found.expected_calibration_error is None
    assert found.brier_score is found.hinge_loss is found.reliability is found.mistakes is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_impossible_truth_costs_a_finite_log_loss(dtype):
    certain_and_wrong = np.array([[1, 0]], dtype=dtype)
    found = measure([1], [0], 2, certain_and_wrong)
    assert found.log_loss == pytest.approx(-math.log(np.finfo(dtype).tiny), rel=1e-6)
    assert found.expected_calibration_error == 1.0


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    # 1/3 is the upper edge of bin 5; 0.34 and 0.4 share bin 6, their errors cancel in part.
    chance = np.array([[1 / 3, 1 / 3, 1 / 3], [0.4, 0.3, 0.3], [0.34, 0.33, 0.33]])
    found = measure([1, 0, 1], [0, 0, 0], 3, chance)
    expected = (1 / 3 + abs((1 - 0.4) + (0 - 0.34))) / 3
    assert found.expected_calibration_error == pytest.approx(expected)


def test_record_has_the_keys_of_eval():
    record = measure([0, 1], [0, 0], 2).record(["cat", "dog"])
    assert record["per_class"][1] == {
        "class": "dog", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1,
    }  # fmt: skip
    assert record["confusion_matrix"] == [[1, 0], [1, 0]]
    assert list(record) == [
        "n", "accuracy", "loss", "log_loss", "top5_accuracy", "expected_calibration_error",
        "brier_score", "hinge_loss", "macro", "weighted", "per_class", "confusion_matrix",
        "reliability", "mistakes",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "predicted", "shape"),
    [([], [], None), ([0], [0, 1], None), ([2], [0], None), ([0], [-1], None), ([0.5], [0], None),
     ([0], [0], (1, 3))],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(labels, predicted, shape):
    probabilities = None if shape is None else np.full(shape, 0.5)
    with pytest.raises(ValueError, match=r"no images|labels for|outside|1-D array|probabilities"):
        measure(np.array(labels, dtype=int if labels != [0.5] else float), predicted, 2,
                probabilities)  # fmt: skip
