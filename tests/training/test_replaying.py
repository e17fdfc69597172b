"""Steps made again: the very batch, the very masks, and the first number that is not finite."""

from pathlib import Path

import numpy as np
import pytest

from nnlab.errors import DivergedError, InputError
from nnlab.runs import open_run
from nnlab.training import trainer as trainer_module
from nnlab.training.images import ImageSet
from nnlab.training.replay import Replay
from nnlab.training.session import Plan, TrainingData, train
from nnlab.training.settings import Settings

MLP = {"model": "mlp", "hidden": "16", "epochs": 3, "batch_size": 40, "val": 50}


@pytest.fixture(scope="module")
def data(fashion):
    images = ImageSet.of(fashion[0].images[:250], fashion[0].labels[:250])
    names = [str(number) for number in range(10)]
    return TrainingData("fashion", Path("fashion.h5"), "0" * 64, names, images, None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.h5"


def walk(data, path, plan=(), **settings):
    return list(train(Settings.of({**MLP, **settings}), data, Plan(path, [], **dict(plan))))


def replay_of(data, path):
    return Replay(open_run(path), data.train, None)


class Watching:
    """Keeps what every step of a training saw, where steps are taken one by one."""

    def __init__(self, monkeypatch):
        self.batches, self.masks = [], []
        go_on = trainer_module.Trainer._go_on

        def watched(trainer):
            batch = trainer.batches.batch(trainer.counters.epoch, trainer.counters.step)
            self.batches.append((batch.x.copy(), batch.labels.copy()))
            go_on(trainer)
            for layer in trainer.network.layers:
                if layer.kind == "dropout":
                    self.masks.append(layer._kept[: len(batch.labels)].copy())

        monkeypatch.setattr(trainer_module.Trainer, "_go_on", watched)
        monkeypatch.setattr("nnlab.training.session.rehearse", lambda *_: None)


def test_a_step_is_the_one_that_was_trained_on(data, path, monkeypatch):
    watching = Watching(monkeypatch)
    walk(data, path, dropout=0.4, augment="shift=2,flip", standardize="none", epochs=2)
    replay = replay_of(data, path)
    assert replay.steps == 5
    run = open_run(path)
    for place, (x, labels) in enumerate(watching.batches):
        made = replay.step(*divmod(place, 5))
        np.testing.assert_array_equal(made.labels, labels)
        np.testing.assert_array_equal(data.train.labels[made.rows], labels)
        np.testing.assert_allclose(made.images.reshape(len(x), -1) / 255, x, atol=1e-6)
        (mask,) = made.masks
        assert mask.layer == "2_dropout"
        assert mask.shape == watching.masks[place].shape
        assert mask.kept == watching.masks[place].mean()
        assert made.global_step == place + 1
        assert made.taken
        assert made.loss == run.history["step"]["loss"][place]
        assert made.learning_rate == run.history["step"]["learning_rate"][place]
    assert len({replay.step(0, step).masks[0].sha256 for step in range(5)}) == 5


def test_mixtures_are_shown_as_they_were_mixed(data, path, monkeypatch):
    watching = Watching(monkeypatch)
    walk(data, path, augment="mixup=0.5", standardize="none", epochs=1)
    made = replay_of(data, path).step(0, 1)
    x, _ = watching.batches[1]
    np.testing.assert_allclose(made.images.reshape(len(x), -1) / 255, x, atol=0.51 / 255)
    image = made.record(data.classes)["images"][0]
    assert image["mixed_with"] in data.classes
    assert 0 <= image["share"] <= 1


def test_a_step_to_come_can_be_made_too(data, path):
    walk(data, path, epochs=1)
    run = open_run(path)
    run.config["epochs"] = 4
    made = Replay(run, data.train, None).step(3, 4)
    assert not made.taken
    assert made.loss is None
    assert len(made.images) == 40


def test_steps_are_named_from_1(data, path):
    walk(data, path)
    replay = replay_of(data, path)
    assert replay.place(1, None) == (0, 0)
    assert replay.place(6, None) == (1, 0)
    assert replay.place(5, 3) == (2, 4)
    for step, epoch in ((0, None), (16, None), (6, 1), (1, 4), (1, 0)):
        with pytest.raises(InputError, match="3 epochs of 5 steps, 15 in all"):
            replay.place(step, epoch)
    with pytest.raises(InputError, match="the run did not diverge"):
        replay.place(None, None)
    assert replay.divergence() is None


@pytest.mark.parametrize("every", [None, 3], ids=["no checkpoint", "a checkpoint"])
def test_a_divergence_is_found_where_it_began(data, path, monkeypatch, every):
    go_on = trainer_module.Trainer._go_on

    def poisoned(trainer):
        # What a fault of the memory would do: one weight of the hidden layer is infinite.
        if (trainer.counters.epoch, trainer.counters.step) == (1, 3):
            trainer.network.layers[0].params["W"][5, 7] = np.inf
        go_on(trainer)

    plan = {"checkpoint_seconds": None, "checkpoint_steps": every}
    with monkeypatch.context() as patched:
        patched.setattr(trainer_module.Trainer, "_go_on", poisoned)
        patched.setattr(trainer_module, "TOGETHER", 1)
        with pytest.raises(
            DivergedError, match="epoch 2, step 4, with a learning rate of"
        ) as caught:
            walk(data, path, plan, standardize="none")
        assert caught.value.details["global_step"] == 9
        assert caught.value.details["run"] == str(path)
    replay = replay_of(data, path)
    assert replay.place(None, None) == (1, 3)
    walked = []
    healthy = replay.divergence(lambda *counts: walked.append(counts))
    assert healthy.dissection.finding is None, "without the fault the step is finite"
    assert healthy.walked_from == (0 if every is None else 6)
    assert walked[-1] == (8 - healthy.walked_from,) * 2
    with monkeypatch.context() as patched:
        dissect = replay_module().dissect

        def with_fault(trainer):
            trainer.network.layers[0].params["W"][5, 7] = np.inf
            return dissect(trainer)

        patched.setattr(replay_module(), "dissect", with_fault)
        found = replay.divergence().dissection.finding
    assert found.layer == "0_linear"
    assert found.array == "output of 0_linear"
    assert found.index[1] == 7


def replay_module():
    from nnlab.training import replay

    return replay


def test_the_walk_ends_at_the_weights_of_the_training(data, path, monkeypatch):
    weights = {}
    go_on = trainer_module.Trainer._go_on

    def kept(trainer):
        weights[trainer.steps_done] = trainer.network.theta.copy()
        if trainer.steps_done == 8:
            trainer._diverged("the loss", trainer.counters.epoch, trainer.counters.step)
        go_on(trainer)

    plan = {"checkpoint_seconds": None, "checkpoint_steps": 3}
    with monkeypatch.context() as patched:
        patched.setattr(trainer_module.Trainer, "_go_on", kept)
        with pytest.raises(DivergedError):
            walk(data, path, plan, dropout=0.3, optimizer="momentum", ema=0.9, batch_norm=True)
    arrived = []
    monkeypatch.setattr(
        replay_module(), "dissect", lambda trainer: arrived.append(trainer.network.theta.copy())
    )
    replay_of(data, path).divergence()
    np.testing.assert_array_equal(arrived[0], weights[8])


def test_a_rate_that_is_too_large_is_traced_to_its_layer(data, path):
    with pytest.raises(DivergedError):
        walk(data, path, optimizer="sgd", lr=1e20)
    dissection = replay_of(data, path).divergence().dissection
    assert dissection.finding.layer
    assert dissection.finding.value in {"inf", "-inf", "nan"}
    assert dissection.stages[0].name == "standardized batch"
    assert all(np.isfinite(stage.largest) for stage in dissection.stages)
