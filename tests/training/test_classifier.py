"""The Python face: build, fit, evaluate, save, open."""

import numpy as np
import pytest

import nnlab
from nnlab.errors import InputError
from nnlab.training.images import ImageSet


@pytest.fixture(scope="module")
def fitted(fashion):
    train, _ = fashion
    return nnlab.Classifier("mlp", hidden="64", epochs=4, seed=3).fit(train.images, train.labels)


def test_fit_evaluate_and_predict_agree(fitted, fashion):
    _, test = fashion
    metrics = fitted.evaluate(test.images, test.labels)
    predicted = fitted.predict(test.images)
    assert metrics.n == 1000
    assert metrics.accuracy == np.mean(predicted == test.labels) > 0.7
    assert metrics.loss == pytest.approx(metrics.log_loss, rel=1e-5)
    chances = fitted.probabilities(test.images)
    assert chances.shape == (1000, 10)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    np.testing.assert_array_equal(chances.argmax(axis=1), predicted)
    np.testing.assert_array_equal(fitted.scores(test.images[..., 0]).argmax(axis=1), predicted)
    assert len(fitted.history["val_accuracy"]) == 4


def test_a_saved_classifier_opens_as_the_same(fitted, fashion, tmp_path):
    _, test = fashion
    path = tmp_path / "mlp.h5"
    fitted.save(path)
    opened = nnlab.Classifier.open(path)
    np.testing.assert_array_equal(opened.scores(test.images), fitted.scores(test.images))
    assert opened.settings == fitted.settings.resolve()
    assert opened.history == fitted.history
    with pytest.raises(InputError, match="--force"):
        fitted.save(path)
    fitted.save(path, force=True)


def test_the_commands_take_a_saved_classifier(fitted, nnlab, tmp_path):
    path = tmp_path / "mlp.h5"
    fitted.save(path)
    assert nnlab("gradcheck", path, "--entries", 5).code == 0


def test_callbacks_see_every_epoch(fashion):
    train, test = fashion
    seen = []
    nnlab.Classifier(epochs=3).fit(
        train.images, train.labels, validation=(test.images, test.labels), on_epoch=seen.append
    )
    assert [event.epoch for event in seen] == [1, 2, 3]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 4, 4)), [0, 1, 0], "must be uint8"),
        (np.zeros((3, 16), np.uint8), [0, 1, 0], "shape"),
        (np.zeros((3, 4, 4), np.uint8), [0, 1], "one label an image"),
        (np.zeros((3, 4, 4), np.uint8), [0.0, 1.0, 2.0], "whole numbers"),
        (np.zeros((3, 4, 4), np.uint8), [0, -1, 1], "negative"),
        (np.zeros((3, 4, 4), np.uint8), [0, 0, 0], "one class only"),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(images, labels, message):
    with pytest.raises(InputError, match=message):
        nnlab.Classifier().fit(images, np.array(labels))


def test_images_of_another_size_are_one_line(fitted):
    with pytest.raises(InputError, match="takes images of 28 x 28 x 1, not 8 x 8 x 1"):
        fitted.predict(np.zeros((2, 8, 8, 1), np.uint8))


@pytest.mark.parametrize("label", [-1, 10, 10**9])
def test_labels_beyond_the_classes_are_one_line(fitted, label):
    with pytest.raises(InputError, match=f"label {label} names none of the 10 classes"):
        fitted.evaluate(np.zeros((2, 28, 28, 1), np.uint8), np.array([0, label]))


def test_an_unfitted_classifier_says_so(tmp_path):
    with pytest.raises(InputError, match="call fit first"):
        nnlab.Classifier().predict(np.zeros((1, 2, 2), np.uint8))
    with pytest.raises(InputError, match="call fit first"):
        nnlab.Classifier().save(tmp_path / "run.h5")


def test_no_images_are_no_traceback(fitted, fashion):
    _, test = fashion
    assert fitted.predict(test.images[:0]).shape == (0,)
    assert fitted.probabilities(test.images[:0]).shape == (0, 10)
    with pytest.raises(InputError, match="no images to measure on"):
        fitted.evaluate(test.images[:0], test.labels[:0])
    with pytest.raises(InputError, match="have no pixels"):
        nnlab.Classifier().fit(test.images[:, :0], test.labels)


def test_transposed_images_are_copied_once(fashion):
    _, test = fashion
    turned = ImageSet.of(test.images.transpose(0, 2, 1, 3), test.labels)
    assert np.shares_memory(turned.flat, turned.images)
    straight = ImageSet.of(test.images, test.labels)
    assert np.shares_memory(straight.images, test.images)
