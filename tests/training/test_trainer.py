"""The trainer: what it learns, what it records, and that it goes on exactly where it stood."""

from dataclasses import replace

import numpy as np
import pytest

from nnlab.errors import DivergedError, InputError
from nnlab.training.assembly import divide, make_trainer
from nnlab.training.events import EpochDone, StepDone
from nnlab.training.images import ImageSet
from nnlab.training.inference import performance
from nnlab.training.settings import Settings
from nnlab.training.trainer import TOGETHER


def trainer_of(train, validation=None, **settings):
    chosen = Settings.of({"epochs": 3, "batch_size": 100, **settings})
    return make_trainer(chosen, divide(chosen, train, validation), 10)[0]


def run(trainer):
    return [event for event in trainer.run() if isinstance(event, EpochDone)]


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        ({"model": "softmax"}, 0.78),
        ({"model": "svm"}, 0.74),
        ({"model": "svm", "loss": "squared_hinge"}, 0.70),
        ({"model": "mlp", "hidden": "100,50", "dropout": 0.2}, 0.75),
        ({"model": "mlp", "batch_norm": True}, 0.80),
        ({"model": "mlp", "layer_norm": True, "activation": "gelu"}, 0.80),
        ({"model": "mlp", "optimizer": "momentum", "ema": 0.95, "standardize": "zca"}, 0.70),
        ({"model": "softmax", "augment": "flip,shift=1,mixup=0.2"}, 0.70),
    ],
)
def test_a_model_learns_real_images(fashion, settings, least):
    train, test = fashion
    trainer = trainer_of(train, **settings, epochs=5)
    records = [event.record for event in run(trainer)]
    assert records[-1]["train_loss"] < records[0]["train_loss"]
    with trainer.best_weights():
        measured = performance(trainer.network, trainer.loss, trainer.applier, test)
    assert measured.accuracy >= least


def test_an_epochs_record_is_what_its_steps_were(fashion):
    train, _ = fashion
    trainer = trainer_of(train, model="mlp", l2=1e-3, val=500, epochs=2)
    events = list(trainer.run())
    assert [type(event) for event in events] == ([StepDone] * 24 + [EpochDone]) * 2
    record, steps = events[24].record, trainer.step_history
    assert record["train_loss"] == pytest.approx(steps["loss"][:25].mean())
    assert record["gradient_norm"] == pytest.approx(steps["gradient_norm"][:25].mean())
    assert record["penalty"] > 0
    whole = {"train_loss", "train_accuracy", "penalty", "val_loss", "val_accuracy"}
    descent = {"learning_rate", "gradient_norm", "seconds"}
    layers = {
        f"{what}_{layer}"
        for what in ("gradient_norm", "update_ratio")
        for layer in ("0_linear", "2_linear")
    }
    assert set(record) == whole | descent | layers
    assert {len(values) for values in trainer.epoch_history.values()} == {2}


@pytest.mark.parametrize("settings", [
    {"model": "softmax"}, {"model": "svm", "l2": 1e-3}, {"model": "mlp", "optimizer": "adamw"},
    {"model": "mlp", "augment": "mixup=0.2"},
])  # fmt: skip
def test_steps_in_one_call_are_those_of_layer_after_layer(fashion, monkeypatch, settings):
    ways = []
    for plain in (True, False):
        if not plain:
            monkeypatch.setattr("nnlab.training.trainer.is_plain", lambda *_: False)
        trainer = trainer_of(fashion[0], **settings, batch_size=128, epochs=2)
        assert (trainer._plain is not None) == plain
        run(trainer)
        ways.append([trainer.network.theta, *trainer.step_history.values()])
    for one, other in zip(*ways, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("settings", [
    {"model": "softmax", "warmup": 1, "schedule": "one_cycle"}, {"model": "svm", "ema": 0.9},
    {"model": "mlp", "optimizer": "adamw"}, {"model": "mlp", "shuffle": "blocks"},
    {"model": "mlp", "augment": "shift=2"}, {"model": "softmax", "standardize": "zca"},
])  # fmt: skip
def test_how_many_steps_are_taken_together_changes_no_bit(fashion, settings):
    """Not even on the way: whoever stops between two events has what single steps lead to."""
    ways = []
    for together in (1, 5, TOGETHER):
        trainer = trainer_of(fashion[0], **settings, batch_size=31, epochs=2)
        trainer.together, at = together, {}
        for _ in trainer.run():
            at[trainer.steps_done] = trainer.network.theta.tobytes()
        state = trainer.counters, *trainer.step_history.values(), trainer.update.optimizer.block
        ways.append((at, replace(state[0], seconds=0.0), *map(np.copy, state[1:])))
    for at, counters, *arrays in ways[1:]:
        assert len(at) <= len(ways[0][0])
        assert at.items() <= ways[0][0].items()
        assert counters == ways[0][1]
        for mine, theirs in zip(arrays, ways[0][2:], strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_steps_are_taken_together_up_to_one_that_is_looked_into(fashion, monkeypatch):
    monkeypatch.setattr("nnlab.training.trainer.TOGETHER_SECONDS", 3600.0)
    trainer = trainer_of(fashion[0], val=0, epochs=2)
    trainer.together = TOGETHER
    steps = [trainer.steps_done for _ in trainer.run()]
    # Steps 0, 1, 2, 4, 8, 16, 32 are sampled, the last of an epoch (29, 59) is measured.
    assert steps == [1, 2, 3, 4, 5, 8, 9, 16, 17, 29, 30, 32, 33, 59, 60]


def test_who_walks_is_not_kept_waiting(fashion, monkeypatch):
    monkeypatch.setattr("nnlab.training.trainer.TOGETHER_SECONDS", 1e-9)
    trainer = trainer_of(fashion[0], val=0, epochs=1)
    trainer.together = TOGETHER
    assert [trainer.steps_done for _ in trainer.run()] == list(range(1, 31))


def test_of_steps_taken_together_the_first_that_diverges_is_named(fashion, monkeypatch):
    monkeypatch.setattr("nnlab.training.trainer.TOGETHER_SECONDS", 3600.0)
    said = []
    for together in (1, TOGETHER):
        trainer = trainer_of(fashion[0], model="mlp", optimizer="sgd", schedule="constant", val=0)
        trainer.together, events = together, trainer.run()
        next(event for event in events if event.step == 17)
        trainer.schedule.learning_rate = 1e4
        with pytest.raises(DivergedError) as caught:
            list(events)
        assert 18 < caught.value.details["step"] < 29  # within steps 18 to 29, taken together
        done = trainer.steps_done
        assert trainer.update.optimizer.steps == done + 1 == caught.value.details["step"]
        said.append((str(caught.value), trainer.step_history["loss"][:done].tolist()))
    assert said[0] == said[1]


def test_the_best_weights_are_those_of_the_best_validation_accuracy(fashion):
    train, _ = fashion
    trainer = trainer_of(train, model="mlp", lr=0.01, schedule="constant", epochs=6)
    records = [event.record for event in run(trainer)]
    accuracies = [record["val_accuracy"] for record in records]
    assert trainer.counters.best_accuracy == max(accuracies)
    last = trainer.network.theta.copy()
    with trainer.best_weights():
        measured = performance(trainer.network, trainer.loss, trainer.applier, trainer.validation)
    assert measured.accuracy == max(accuracies)
    np.testing.assert_array_equal(trainer.network.theta, last)


def test_early_stopping_waits_for_so_many_epochs(fashion):
    train, _ = fashion
    trainer = trainer_of(train, lr=0.01, schedule="constant", epochs=200, early_stopping=3)
    run(trainer)
    assert trainer.stopped_early
    assert trainer.counters.epoch == trainer.counters.best_epoch + 3 < 200


def test_without_validation_the_last_weights_are_the_best(fashion):
    train, _ = fashion
    trainer = trainer_of(train, val=0, epochs=2)
    records = [event.record for event in run(trainer)]
    assert "val_loss" not in records[0]
    assert trainer.counters.best_epoch == 2
    np.testing.assert_array_equal(trainer.best_theta, trainer.network.theta)


@pytest.mark.parametrize("model", ["softmax", "mlp"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(fashion, model):
    train, _ = fashion
    options = {"dropout": 0.5, "hidden": "20"} if model == "mlp" else {}
    thetas = []
    for seed in (1, 1, 2):
        trainer = trainer_of(train, model=model, seed=seed, augment="shift=2", epochs=2, **options)
        run(trainer)
        thetas.append(trainer.network.theta.tobytes())
    assert thetas[0] == thetas[1] != thetas[2]


def test_divergence_is_an_error_and_keeps_the_last_whole_epochs_weights(fashion):
    train, _ = fashion
    trainer = trainer_of(train, model="mlp", optimizer="sgd", lr=0.05, schedule="constant")
    events = trainer.run()
    next(event for event in events if isinstance(event, EpochDone))
    good = trainer.network.theta.copy()
    trainer.schedule.learning_rate = 1e30
    with pytest.raises(DivergedError, match="not finite at epoch 2, step"):
        list(events)
    np.testing.assert_array_equal(trainer.network.theta, good)


def test_validation_images_never_train(fashion):
    train, _ = fashion
    chosen = Settings.of({"val": 600, "limit_train": 1000, "seed": 4})
    division = divide(chosen, train, None)
    assert len(division.train) == 1000
    assert len(division.validation) == 600
    assert not set(division.train.rows) & set(division.validation.rows)
    counts = np.bincount(division.validation.chosen_labels) / np.bincount(train.labels)
    np.testing.assert_allclose(counts, 0.2, atol=0.01)


def test_the_datas_own_validation_split_is_used_unless_told(fashion):
    train, test = fashion
    assert divide(Settings(), train, test).validation is test
    assert divide(Settings(), train, test).notice == ""
    assert divide(Settings(val=0.0), train, test).validation is None
    own = divide(Settings(val=100), train, test).validation
    assert own.images is train.images
    assert "a tenth of train is set aside" in divide(Settings(), train, None).notice


def test_standardization_sees_the_training_images_alone(fashion):
    train, _ = fashion
    changed = train.images.copy()
    chosen = Settings(val=500)
    held_out = divide(chosen, train, None).validation.rows
    changed[held_out] = 255
    scales = [
        make_trainer(chosen, divide(chosen, ImageSet.of(images, train.labels), None), 10)[1].scale
        for images in (train.images, changed)
    ]
    np.testing.assert_array_equal(*scales)


def test_a_last_short_batch_and_a_batch_of_one_train(fashion):
    train, _ = fashion
    few = ImageSet.of(train.images[:21], train.labels[:21])
    trainer = trainer_of(few, model="mlp", batch_norm=True, val=0, batch_size=20)
    assert trainer.batches.steps == 2
    run(trainer)
    assert np.isfinite(trainer.network.theta).all()


@pytest.mark.parametrize("images", [0, 1])
def test_hardly_any_images_are_no_traceback(fashion, images):
    train, _ = fashion
    few = ImageSet.of(train.images[:images], train.labels[:images])
    if images == 0:
        with pytest.raises(InputError, match="no images to train on"):
            trainer_of(few)
    else:
        run(trainer_of(few))


def test_plateau_without_validation_is_refused(fashion):
    with pytest.raises(InputError, match="needs --val above 0"):
        trainer_of(fashion[0], schedule="plateau", val=0)


def test_one_class_is_nothing_to_choose_between(fashion):
    train, _ = fashion
    alike = ImageSet.of(train.images[:50], np.zeros(50, int))
    with pytest.raises(InputError, match="one class only"):
        make_trainer(Settings(), divide(Settings(), alike, None), 1)


def test_early_stopping_without_validation_is_refused(fashion):
    with pytest.raises(InputError, match="needs --val above 0"):
        trainer_of(fashion[0], early_stopping=2, val=0)


def test_a_validation_share_of_no_image_is_refused(fashion):
    with pytest.raises(InputError, match=r"--val 0\.0001 of 3000 images is none"):
        trainer_of(fashion[0], val=0.0001)


def test_too_few_images_to_set_some_aside_are_not_said_to_be(fashion):
    train, _ = fashion
    division = divide(Settings(), ImageSet.of(train.images[:9], train.labels[:9]), None)
    assert division.validation is None
    assert "too few images" in division.notice
    assert "tenth" not in division.notice


@pytest.mark.parametrize("val", [0, 500])
@pytest.mark.filterwarnings("error")
def test_divergence_in_the_last_step_is_noticed(fashion, val):
    # One step an epoch: none follows that would meet the spoilt weights.
    trainer = trainer_of(
        fashion[0], model="mlp", optimizer="sgd", lr=3e38, epochs=1, batch_size=3000, val=val,
        ema=0.5,
    )  # fmt: skip
    first = trainer.network.theta.copy()
    trainer.network.theta *= 100
    with pytest.raises(DivergedError, match="epoch 1, step 1"):
        run(trainer)
    np.testing.assert_array_equal(trainer.network.theta, first)
    np.testing.assert_array_equal(trainer.best_theta, first)


def test_any_number_of_epochs_can_be_asked_for(fashion):
    trainer = trainer_of(fashion[0], epochs=10**12, limit_train=100, val=50)
    losses = []
    for event in trainer.run():
        losses.append(trainer.step_history["loss"][trainer.steps_done - 1])
        if event.epoch == 130:
            break
    np.testing.assert_array_equal(trainer.step_history["loss"][:130], losses)
    assert len(trainer.step_history["loss"]) < 300


def test_a_fold_validates_and_the_others_train(fashion):
    train, test = fashion
    folds = np.arange(len(train)) % 5
    dealt = ImageSet.of(train.images, train.labels, folds=folds)
    division = divide(Settings(fold=2, limit_train=1000), dealt, None)
    np.testing.assert_array_equal(division.validation.rows, np.arange(2, 3000, 5))
    assert len(division.train) == 1000
    assert not (folds[division.train.rows] == 2).any()
    assert division.notice == ""
    for images, settings, message in (
        (train, {"fold": 0}, "the data has no folds; make them with nnlab preprocess --folds"),
        (dealt, {"fold": 5}, "the folds are 0 to 4"),
        (dealt, {"fold": 0, "val": 0.1}, "leave --val out"),
    ):
        with pytest.raises(InputError, match=message):
            divide(Settings(**settings), images, test)
