"""Signs of trouble: each is said once, when it is there, and not when it is not."""

import numpy as np
import pytest

from nnlab.core.losses import Hinge, SoftmaxCrossEntropy, SquaredHinge
from nnlab.runs import Run, open_run
from nnlab.training import advice
from nnlab.training.assembly import divide, make_trainer
from nnlab.training.events import EpochDone
from nnlab.training.runstate import restore, store
from nnlab.training.settings import Settings

DEEP = {"model": "mlp", "hidden": "50,50,50,50,50,50"}


def trainer_of(train, **settings):
    chosen = Settings.of({"epochs": 2, "batch_size": 50, "limit_train": 1500, **settings})
    return make_trainer(chosen, divide(chosen, train, None), 10)[0]


def warned(train, **settings):
    trainer = trainer_of(train, **settings)
    said = [text for event in trainer.run() for text in event.warnings]
    assert said == list(trainer.warnings.values())
    return trainer.warnings


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model": "svm"},
        {"model": "svm", "loss": "squared_hinge"},
        {"model": "svm", "delta": 10.0},
        {"model": "mlp"},
        {"model": "mlp", "optimizer": "momentum"},
        {"class_weight": "1,2,3,4,5,6,7,8,9,10", "label_smoothing": 0.1, "augment": "mixup=0.4"},
        DEEP,
        {**DEEP, "activation": "sigmoid", "batch_norm": True},
    ],
)
def test_the_defaults_on_real_images_give_no_warning(fashion, settings):
    assert warned(fashion[0], **settings) == {}


@pytest.mark.parametrize(
    ("sign", "settings", "words"),
    [
        ("vanishing_gradient", {**DEEP, "activation": "sigmoid"}, "under sigmoid: that of 0_lin"),
        ("dead_relus", {"model": "mlp", "lr": 0.3}, "of the units of 1_relu are off"),
        (
            "saturated_units",
            {"model": "mlp", "activation": "tanh", "init": "he_normal", "lr": 0.1},
            "of the outputs of 1_tanh are saturated",
        ),
        ("learning_rate_high", {"lr": 3.0}, "above the 2.303 of equal scores"),
        ("learning_rate_low", {"optimizer": "sgd", "lr": 1e-7}, "may be too low"),
    ],
)
def test_what_is_wrong_is_said(fashion, sign, settings, words):
    found = warned(fashion[0], **settings)
    assert words in found[sign]
    for text in found.values():
        assert "\n" not in text
        assert "--" in text, "says what to try"


def test_weights_that_are_too_large_show_in_the_first_loss(fashion):
    trainer = trainer_of(fashion[0])
    trainer.network.theta *= 300
    first = next(trainer.run())
    assert "equal scores would give 2.303 (-log(1/10))" in first.warnings[0]
    assert list(trainer.warnings) == ["initial_loss"]


@pytest.mark.parametrize(
    ("loss", "equal", "formula"),
    [
        (SoftmaxCrossEntropy(), 2.302585, "-log(1/10)"),
        (Hinge(delta=2.0), 18.0, "(10 - 1) * delta)"),
        (SquaredHinge(delta=2.0), 36.0, "(10 - 1) * delta squared"),
    ],
)
def test_the_expected_first_loss_is_that_of_equal_scores(loss, equal, formula):
    scores, labels = np.zeros((4, 10)), np.array([0, 3, 3, 9])
    assert loss(scores, labels)[0] == pytest.approx(equal)
    assert formula in advice.initial_loss(loss, 10, 3 * equal, equal)
    assert formula in advice.initial_loss(loss, 10, equal / 3, equal)
    assert advice.initial_loss(loss, 10, 1.5 * equal, equal) is None


def losses_alone(**epochs):
    return advice.Evidence(None, epochs, {}, [1.0], 2.3, 2.3)


@pytest.mark.parametrize(
    ("training", "validation", "said"),
    [
        ([1.0, 0.8, 0.6, 0.4, 0.2], [0.9, 0.8, 0.85, 0.9, 0.95], True),
        ([1.0, 0.8, 0.6, 0.4, 0.2], [0.9, 0.8, 0.81, 0.82, 0.83], False),
        ([1.0, 0.8, 0.6, 0.4, 0.9], [0.9, 0.8, 0.85, 0.9, 0.95], False),
        ([1.0, 0.8, 0.6], [0.7, 0.8, 0.95], False),
    ],
)
def test_a_rising_validation_loss_is_overfitting_if_training_goes_on(training, validation, said):
    rule = advice.RULES["validation_rising"]
    found = rule(losses_alone(train_loss=training, val_loss=validation))
    assert bool(found) == said
    if said:
        assert "from 0.8 (epoch 2) to 0.95" in found
    assert rule(losses_alone(train_loss=training)) is None


def test_a_low_rate_at_the_end_of_a_schedule_is_no_sign(fashion):
    assert warned(fashion[0], epochs=8, schedule="exponential", lr_decay=1e-3) == {}


def test_a_warning_is_not_said_again_by_a_resumed_run(fashion, tmp_path):
    settings = {"optimizer": "sgd", "lr": 1e-7, "epochs": 3}
    begun, resumed = trainer_of(fashion[0], **settings), trainer_of(fashion[0], **settings)
    run = Run(kind="network", command=[], config={}, classes=[])
    for event in begun.run():
        if isinstance(event, EpochDone):
            store(begun, run)
            run.save(tmp_path / "run.h5")
            break
    assert list(begun.warnings) == ["learning_rate_low"]
    restore(resumed, open_run(tmp_path / "run.h5"))
    assert resumed.warnings == begun.warnings
    assert not [text for event in resumed.run() for text in event.warnings]
