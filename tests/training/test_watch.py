"""What is sampled while a network trains: gradients, updates, units that are off."""

import numpy as np
import pytest

from nnlab.core.activations import ACTIVATIONS
from nnlab.core.network import Network
from nnlab.runs import Run, open_run
from nnlab.training.assembly import divide, make_trainer
from nnlab.training.events import StepDone
from nnlab.training.runstate import restore, store
from nnlab.training.settings import Settings
from nnlab.training.watch import Watch, next_sample


def trainer_of(train, **settings):
    chosen = Settings.of({"epochs": 1, "batch_size": 100, "val": 0, **settings})
    return make_trainer(chosen, divide(chosen, train, None), 10)[0]


def test_steps_are_sampled_closely_at_first_and_then_every_128th():
    sampled = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 384, 512]
    assert [step for step in range(513) if next_sample(step) == step] == sampled
    assert all(next_sample(step) in sampled for step in range(513))


def test_samples_have_their_step_and_every_quantity_of_every_layer(fashion):
    train, _ = fashion
    trainer = trainer_of(train, model="mlp", hidden="30,20", activation="sigmoid", epochs=3)
    list(trainer.run())
    sampled = trainer.watch.arrays()
    assert sampled["step"].tolist() == [0, 1, 2, 4, 8, 16, 32, 64]
    assert set(sampled) == {
        "step",
        *(f"{what}_{layer}" for what in ("gradient_norm", "update_ratio")
          for layer in ("0_linear", "2_linear", "4_linear")),
        *(f"{what}_{layer}" for what in ("slope", "saturated", "dead")
          for layer in ("1_sigmoid", "3_sigmoid")),
    }  # fmt: skip
    assert {len(values) for values in sampled.values()} == {8}


def test_gradient_and_update_are_those_of_the_step(fashion):
    train, _ = fashion
    trainer = trainer_of(train, model="mlp", optimizer="sgd", lr=0.1, schedule="constant")
    before = trainer.network.theta.copy()
    next(trainer.run())
    sampled = trainer.watch.arrays()
    for name, gradient in trainer.network.named_parameters(trainer.network.grad):
        layer, parameter = name.split("/")
        if parameter == "W":
            weights = dict(trainer.network.named_parameters(before))[name]
            norm = np.linalg.norm(gradient)
            assert sampled[f"gradient_norm_{layer}"][0] == pytest.approx(norm, rel=1e-5)
            ratio = 0.1 * norm / np.linalg.norm(weights)
            assert sampled[f"update_ratio_{layer}"][0] == pytest.approx(ratio, rel=1e-3)


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("compiled", ["1", "0"])
def test_units_are_measured_by_their_local_derivative(kind, compiled, monkeypatch):
    monkeypatch.setenv("NNLAB_COMPILED", compiled)
    spec = {"inputs": 6, "layers": [{"kind": "linear", "outputs": 5}, {"kind": kind},
                                    {"kind": "linear", "outputs": 3}]}  # fmt: skip
    network = Network.from_spec(spec, seed=1, dtype=np.float64)
    x = np.random.default_rng(2).normal(size=(40, 6))
    # One unit can never be on; the slope of the others is taken by a difference of two sums.
    network.layers[0].params["b"][2] = -60.0
    sums = x @ network.layers[0].params["W"] + network.layers[0].params["b"]

    def activation(value):
        layer = ACTIVATIONS[kind](5)
        layer.allocate(40, np.dtype(np.float64))
        return layer.forward(value.copy(), training=False).copy()

    slopes = (activation(sums + 1e-6) - activation(sums - 1e-6)) / 2e-6
    flat = slopes < 0.1 * {"sigmoid": 0.25, "gelu": 1.129}.get(kind, 1.0)
    network.forward(x, training=True)
    network.backward(np.ones((40, 3)))
    found = Watch(network, 64, np.empty_like(network.theta)).units(40)
    assert found[f"slope_1_{kind}"] == pytest.approx(slopes.mean(), abs=1e-6)
    assert found[f"saturated_1_{kind}"] == flat.mean()
    assert found[f"dead_1_{kind}"] == flat.all(axis=0).mean() >= 0.2
    assert ACTIVATIONS[kind].steepest >= slopes.max() - 1e-3


def test_a_linear_model_has_no_units_to_measure(fashion):
    train, _ = fashion
    trainer = trainer_of(train, model="softmax")
    list(trainer.run())
    assert set(trainer.watch.arrays()) == {
        "step", "gradient_norm_0_linear", "update_ratio_0_linear",
    }  # fmt: skip


def test_watching_changes_no_weight(fashion, monkeypatch):
    train, _ = fashion
    thetas = []
    for watching in (True, False):
        trainer = trainer_of(train, model="mlp", activation="gelu", dropout=0.3)
        if not watching:
            monkeypatch.setattr(
                "nnlab.training.watch.next_sample", lambda step: 1000 if step else 0
            )
        list(trainer.run())
        thetas.append(trainer.network.theta.tobytes())
    assert thetas[0] == thetas[1]


def test_a_resumed_run_has_the_samples_of_one_that_was_never_stopped(fashion, tmp_path):
    settings = {"model": "mlp", "hidden": "20", "epochs": 3}
    whole = trainer_of(fashion[0], **settings)
    list(whole.run())
    begun, resumed = (trainer_of(fashion[0], **settings) for _ in range(2))
    stopped = Run(kind="network", command=[], config={}, classes=[])
    for event in begun.run():
        if isinstance(event, StepDone) and event.epoch == 1 and event.step == 12:
            store(begun, stopped)
            stopped.save(tmp_path / "run.h5")
            break
    restore(resumed, open_run(tmp_path / "run.h5"))
    list(resumed.run())
    expected, found = whole.watch.arrays(), resumed.watch.arrays()
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert found["step"].tolist() == [0, 1, 2, 4, 8, 16, 32, 64]
