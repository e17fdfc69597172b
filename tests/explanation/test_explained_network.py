"""The whole way of one image through a network, and back."""

import json
from dataclasses import replace

import numpy as np
import pytest

from nnlab.core.losses import LOSSES, Hinge, SoftmaxCrossEntropy, loss_from_spec
from nnlab.errors import InputError
from nnlab.explanation import loss_part
from nnlab.explanation.losses import STAGES
from nnlab.explanation.record import record
from nnlab.explanation.tensor import FORMULAS, tensor_part
from nnlab.training.standardization import STANDARDIZATIONS
from nnlab.training.trained import TrainedNetwork


def test_every_loss_and_standardization_can_be_explained():
    assert set(STAGES) == set(LOSSES)
    assert set(FORMULAS) == set(STANDARDIZATIONS)


def test_a_courses_hinge_example():
    part = loss_part(Hinge(delta=10.0), np.array([13.0, 8.0, -2.0]), 0)
    assert part.margins.tolist() == [0.0, 5.0, 0.0]
    assert part.value == 5.0
    assert part.inside == 1
    assert part.gradient.tolist() == [-1.0, 1.0, 0.0]


def test_a_courses_softmax_example():
    part = loss_part(SoftmaxCrossEntropy(), np.array([3.2, 5.1, -1.7]), 0)
    np.testing.assert_allclose(part.probabilities, [0.13, 0.87, 0.00], atol=0.005)
    assert part.value == pytest.approx(2.04, abs=0.005)  # the note's 0.89 is to base 10
    assert part.total == pytest.approx(np.exp(part.shifted).sum())


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 1.0, 3.0]])
def test_the_stages_give_the_loss_that_trains(kind, weights):
    options = {"label_smoothing": 0.1} if kind == "softmax" else {"delta": 0.7}
    if weights:
        options["class_weights"] = weights
    loss = loss_from_spec({"kind": kind, **options})
    scores = np.array([1.5, -0.3, 1.2, 400.0])
    for label in range(4):
        part = loss_part(loss, scores, label)
        value, gradient = loss(scores[None], np.array([label]))
        assert part.data_loss == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(part.gradient, gradient[0])


def test_a_linear_models_pixels_add_up_to_its_products(fashion, trained_run, explained):
    run = trained_run(fashion, model="svm", l2=1e-3)
    e = explained(run, fashion[0][5], int(fashion[1][5]))
    assert e.scores.linear
    assert len(e.scores.evidence) == 10
    for found in e.scores.evidence:
        assert found.total == pytest.approx(e.scores.products[found.label], rel=1e-9)
        assert found.pixels.shape == (28, 28)
        best = found.strongest_for[0]
        assert found.pixels[best.row, best.column] == best.value == found.pixels.max()
    np.testing.assert_allclose(e.scores.products + e.scores.biases, e.scores.scores)


def test_of_many_classes_the_best_and_the_right_one_are_shown(fashion, trained_run, explained):
    run = trained_run(fashion, model="softmax")
    run.classes = [f"class {number}" for number in range(30)]
    weights = run.arrays["best/weights/0_linear/W"]
    run.arrays["best/weights/0_linear/W"] = np.tile(weights, (1, 3)) * np.linspace(1, 2, 30)
    run.arrays["best/weights/0_linear/b"] = np.zeros(30)
    run.spec["network"]["layers"][0]["outputs"] = 30
    e = explained(run, fashion[0][0], 3)
    best = np.argsort(-e.scores.scores)[:5].tolist()
    assert [found.label for found in e.scores.evidence] == [*best, 3]


def test_scores_are_those_of_prediction(fashion, trained_run, explained):
    run = trained_run(
        fashion, model="mlp", hidden="20,10", batch_norm=True, dropout=0.5, standardize="pixel"
    )
    e = explained(run, fashion[0][7], None)
    scores = TrainedNetwork.from_run(run, np.float64).scores(fashion[0][7:8])
    np.testing.assert_allclose(e.scores.scores, scores[0], rtol=1e-9)
    assert not e.subject.label_is_known
    assert e.subject.label == e.scores.predicted


def test_dropout_and_batch_norm_leave_the_gradient_alone_as_in_prediction(
    fashion, trained_run, explained
):
    run = trained_run(
        fashion, model="mlp", hidden="20,10", batch_norm=True, dropout=0.5, standardize="pixel"
    )
    e = explained(run, fashion[0][7], 2)
    for layer in e.backward:
        if layer.kind == "dropout":
            assert layer.incoming == layer.outgoing > 0


def test_one_step_lowers_the_loss_by_what_the_gradient_promises(fashion, trained_run, explained):
    run = trained_run(fashion, model="mlp", hidden="20", activation="tanh", l2=1e-3, l1=1e-5)
    run.config["lr"] = 1e-7
    e = explained(run, fashion[0][1], 4)
    change = e.step.total_after - e.step.total_before
    assert change == pytest.approx(e.step.expected_change, rel=1e-3)
    assert e.step.total_before == e.loss.data_loss + e.penalty.value == e.total_loss
    assert e.penalty.value == pytest.approx(e.penalty.l2_part + e.penalty.l1_part)


def test_explaining_changes_no_weight_and_no_gradient_of_the_model(fashion, trained_run):
    from nnlab.explanation import explain_network

    run = trained_run(fashion, model="mlp", hidden="20", activation="tanh", l2=1e-3, l1=1e-5)
    model = TrainedNetwork.from_run(run)
    before = (model.network.theta.copy(), model.network.running.copy())
    explain_network(model, fashion[0][0], 0, config=run.config)
    np.testing.assert_array_equal(model.network.theta, before[0])
    np.testing.assert_array_equal(model.network.running, before[1])


def test_changes_name_the_pixel_and_the_unit(coloured, trained_run, explained):
    run = trained_run(coloured, model="mlp", hidden="8")
    e = explained(run, coloured[0][3], 1)
    weights = run.arrays["best/weights/0_linear/W"]
    assert e.backward[-1].name == "0_linear"
    for change in e.backward[-1].changes:
        row, column, channel = change.pixel
        assert (row * 13 + column) * 3 + channel == change.row
        assert change.weight == pytest.approx(weights[change.row, change.column])
        assert change.change == pytest.approx(-run.config["lr"] * change.gradient)
    assert e.backward[0].changes[0].pixel is None


def test_the_middle_stands_for_a_corner_of_one_colour():
    image = np.zeros((12, 20, 3), np.uint8)
    image[5, 9] = (1, 2, 3)
    part = tensor_part(image)
    assert (part.row, part.column) == (2, 6)
    assert [window.name for window in part.windows] == ["red", "green", "blue"]
    assert [int(window.values[3, 3]) for window in part.windows] == [1, 2, 3]
    assert part.head_start == (2 * 20 + 6) * 3
    image[0, 1] = 9
    assert (tensor_part(image).row, tensor_part(image).column) == (0, 0)
    tiny = tensor_part(np.full((1, 2, 1), 7, np.uint8))
    assert tiny.windows[0].values.tolist() == [[7, 7]]


def test_other_shapes_and_unknown_classes_are_refused(fashion, trained_run, explained):
    run = trained_run(fashion, model="softmax")
    with pytest.raises(InputError, match="takes images of 28 x 28 x 1, not 28 x 27 x 1"):
        explained(run, fashion[0][0][:, :27], 0)
    with pytest.raises(InputError, match="label 10 names none"):
        explained(run, fashion[0][0], 10)


def test_a_record_is_plain_json(fashion, trained_run, explained):
    e = explained(trained_run(fashion, model="softmax"), fashion[0][0], 9)
    found = json.loads(json.dumps(record(replace(e))))
    assert found["scores"]["scores"] == e.scores.scores.tolist()
    assert found["subject"]["classes"][9] == "boot"
    assert len(found["tensor"]["pixels"]) == 28
