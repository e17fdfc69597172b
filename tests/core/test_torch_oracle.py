"""PyTorch as oracle: the same weights, batches and settings, 200 steps, the same parameters.

Everything that both define alike is here, built from nnlab's own tables: a new optimizer, loss,
activation, normalization or schedule without an entry below fails the test of completeness.
Dropout masks come from generators that cannot agree; max-norm and averaged weights are defined
differently.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from nnlab.core.activations import ACTIVATIONS
from nnlab.core.layers import NORMALIZATIONS
from nnlab.core.losses import LOSSES, Hinge, Loss, SoftmaxCrossEntropy, SquaredHinge
from nnlab.core.models import Architecture, build
from nnlab.core.network import Network
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.penalties import Penalty
from nnlab.core.schedules import SCHEDULES, Schedule
from nnlab.core.update import Update
from nnlab.randomness import generator

torch = pytest.importorskip("torch", reason="the oracle is not installed: pip install .[oracle]")
pytestmark = pytest.mark.oracle

torch.set_num_threads(1)  # the arrays are small, and others use the machine too

STEPS, EPOCHS, STEPS_PER_EPOCH = 200, 10, 20
INPUTS, HIDDEN, CLASSES = 30, (24, 16), 7
CLASS_WEIGHTS = np.array([0.2, 1.0, 3.0, 0.5, 1.5, 0.0, 0.8])
RATES = {"sgd": 0.1, "momentum": 0.05, "nesterov": 0.05, "adagrad": 0.05, "rmsprop": 0.002}
# Validation losses by epoch, for the schedule that follows them.
LOSSES_SEEN = [2.0, 1.5, 1.6, 1.5, 1.49999, 1.7, 1.2, 1.3, 1.4, 1.5]

# nnlab's name -> the same in PyTorch.
TORCH_ACTIVATIONS: dict[str, Callable[[], Any]] = {
    "relu": torch.nn.ReLU,
    "leaky_relu": torch.nn.LeakyReLU,
    "elu": torch.nn.ELU,
    "gelu": lambda: torch.nn.GELU(approximate="tanh"),
    "sigmoid": torch.nn.Sigmoid,
    "tanh": torch.nn.Tanh,
}
TORCH_NORMALIZATIONS = {"batch_norm": torch.nn.BatchNorm1d, "layer_norm": torch.nn.LayerNorm}
TORCH_OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": torch.optim.SGD,
    "momentum": lambda groups, lr: torch.optim.SGD(groups, lr, momentum=0.9),
    "nesterov": lambda groups, lr: torch.optim.SGD(groups, lr, momentum=0.9, nesterov=True),
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
SCHEDULERS = torch.optim.lr_scheduler
TORCH_SCHEDULES: dict[str, Callable[[Any, Schedule], Any]] = {
    "constant": lambda optimizer, _: SCHEDULERS.ConstantLR(optimizer, factor=1.0),
    "step": lambda optimizer, s: SCHEDULERS.StepLR(
        optimizer, s.period * s.steps_per_epoch, s.factor
    ),
    "exponential": lambda optimizer, s: SCHEDULERS.StepLR(optimizer, s.steps_per_epoch, s.factor),
    "cosine": lambda optimizer, s: SCHEDULERS.CosineAnnealingLR(optimizer, s.total - s.warmup),
    "one_cycle": lambda optimizer, s: SCHEDULERS.OneCycleLR(
        optimizer, s.learning_rate, s.total - s.warmup, cycle_momentum=False
    ),
    "plateau": lambda optimizer, s: SCHEDULERS.ReduceLROnPlateau(
        optimizer, factor=s.factor, patience=s.patience
    ),
}


def torch_loss(loss: Loss) -> Callable[..., Any]:
    """The sum over a batch of nnlab's loss, in PyTorch's words."""
    weight = None if loss.class_weights is None else torch.from_numpy(loss.class_weights)
    if isinstance(loss, SoftmaxCrossEntropy):
        return torch.nn.CrossEntropyLoss(
            weight, reduction="sum", label_smoothing=loss.label_smoothing
        )
    assert isinstance(loss, Hinge)
    power = 2 if isinstance(loss, SquaredHinge) else 1
    # PyTorch divides by the number of classes.
    margin = torch.nn.MultiMarginLoss(power, loss.delta, weight, reduction="sum")
    return lambda scores, labels: CLASSES * margin(scores, labels)


@dataclass
class Case:
    """What differs from an MLP with ReLU, softmax and momentum at a constant rate."""

    hidden: tuple[int, ...] = HIDDEN
    activation: str = "relu"
    normalization: str = "none"
    loss: Loss = field(default_factory=SoftmaxCrossEntropy)
    mixup: bool = False
    penalty: Penalty = field(default_factory=Penalty)
    weight_decay: float = 0.0
    clip: float | None = None
    dropout: float = 0.0
    max_norm: float | None = None
    averaging: float = 0.0
    optimizer: str = "momentum"
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    patience: int = 1


def batches():
    """200 batches of 24 images, the last of every epoch with 5; seeded, with some structure."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(CLASSES, INPUTS))
    for step in range(STEPS):
        count = 5 if step % STEPS_PER_EPOCH == STEPS_PER_EPOCH - 1 else 24
        labels = rng.integers(0, CLASSES, count)
        x = centres[labels] + 1.5 * rng.normal(size=(count, INPUTS))
        yield x, labels, rng.permutation(labels), rng.beta(0.4, 0.4, count)


def first_network(case: Case) -> Network:
    architecture = Architecture(
        INPUTS, CLASSES, case.hidden, case.activation, case.normalization, case.dropout, "he_normal"
    )
    network = Network(build("mlp", architecture), seed=3, dtype=np.float64)
    # No parameter may begin where another would do as well: not at 0, not at 1.
    network.theta += 0.1 * np.random.default_rng(4).normal(size=network.theta.size)
    return network


class SameMask(torch.nn.Module):
    """Inverted dropout with the masks that nnlab draws for this layer, step by step."""

    def __init__(self, seed: int, index: int, rate: float) -> None:
        super().__init__()
        self.seed, self.index, self.rate, self.step = seed, index, rate, -1

    def forward(self, x: Any) -> Any:
        if not self.training:
            return x
        self.step += 1
        draws = generator(self.seed, "dropout", self.index, 0, self.step)
        kept = draws.random(tuple(x.shape), np.float32) >= self.rate
        return x * torch.from_numpy(kept / (1 - self.rate))


def torch_twin(network: Network) -> Any:
    modules = []
    for index, layer in enumerate(network.layers):
        if layer.kind == "linear":
            module = torch.nn.Linear(layer.inputs, layer.outputs, dtype=torch.float64)
            values = (layer.params["W"].T, layer.params["b"])
        elif layer.kind in TORCH_NORMALIZATIONS:
            module = TORCH_NORMALIZATIONS[layer.kind](layer.inputs, dtype=torch.float64)
            values = (layer.params["gain"], layer.params["bias"])
        else:
            is_dropout = layer.kind == "dropout"
            modules.append(
                SameMask(network.seed, index, layer.rate)
                if is_dropout
                else TORCH_ACTIVATIONS[layer.kind]()
            )
            continue
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(values[0].copy()))
            module.bias.copy_(torch.from_numpy(values[1].copy()))
        modules.append(module)
    return torch.nn.Sequential(*modules)


def train_nnlab(case: Case, network: Network, schedule: Schedule) -> tuple[list[float], Any]:
    update = Update(
        network,
        OPTIMIZERS[case.optimizer](),
        case.penalty,
        weight_decay=case.weight_decay,
        clip=case.clip,
        max_norm=case.max_norm,
        averaging=case.averaging,
    )
    losses = []
    for step, (x, labels, partners, share) in enumerate(batches()):
        network.begin_step(0, step)
        scores = network.forward(x, training=True)
        mixed = (partners, share) if case.mixup else ()
        loss, dscores = case.loss(scores, labels, *mixed)
        network.backward(dscores)
        update.apply(schedule.rate(step))
        losses.append(loss)
        if (step + 1) % STEPS_PER_EPOCH == 0:
            schedule.losses.append(LOSSES_SEEN[step // STEPS_PER_EPOCH])
    return losses, update.average


def train_torch(case: Case, twin: Any, schedule: Schedule) -> tuple[list[float], Any]:
    weights = [module.weight for module in twin if isinstance(module, torch.nn.Linear)]
    others = [p for p in twin.parameters() if not any(p is w for w in weights)]
    groups = [{"params": weights}, {"params": others}]
    optimizer = TORCH_OPTIMIZERS[case.optimizer](groups, lr=schedule.learning_rate)
    for group, decay in zip(optimizer.param_groups, (case.weight_decay, 0.0), strict=True):
        group["weight_decay"] = decay
    scheduler = TORCH_SCHEDULES[case.schedule](optimizer, schedule)
    if schedule.warmup:
        rising = SCHEDULERS.LinearLR(optimizer, 1 / schedule.warmup, 1.0, schedule.warmup - 1)
        scheduler = SCHEDULERS.SequentialLR(optimizer, [rising, scheduler], [schedule.warmup])
    criterion = torch_loss(case.loss)
    averaged = torch.optim.swa_utils.AveragedModel(
        twin,
        avg_fn=lambda average, value, step: (
            average
            + (1 - min(case.averaging, (1 + int(step)) / (10 + int(step)))) * (value - average)
        ),
    )
    averaged.update_parameters(twin)  # the first call copies
    losses = []
    for step, batch in enumerate(batches()):
        x, labels, partners, share = map(torch.from_numpy, batch)
        scores = twin(x)
        loss = criterion(scores, labels) / len(labels)
        if case.mixup:
            first, second = (
                torch.nn.functional.one_hot(which, CLASSES).double() for which in (labels, partners)
            )
            target = share[:, None] * first + (1 - share[:, None]) * second
            loss = criterion(scores, target) / len(labels)
        penalty = sum(
            case.penalty.l2 / 2 * (w * w).sum() + case.penalty.l1 * w.abs().sum() for w in weights
        )
        optimizer.zero_grad()
        (loss + penalty).backward()
        if case.clip is not None:
            # By hand: clip_grad_norm_ adds 1e-6 to the norm before it divides.
            norm = torch.sqrt(sum((p.grad**2).sum() for p in twin.parameters()))
            for parameter in twin.parameters():
                parameter.grad *= min(1.0, case.clip / float(norm))
        optimizer.step()
        if case.max_norm is not None:
            # By hand: renorm adds 1e-7 to the norm before it divides.
            with torch.no_grad():
                for weight in weights:
                    weight *= torch.clamp(case.max_norm / weight.norm(dim=1, keepdim=True), max=1)
        averaged.update_parameters(twin)
        losses.append(float(loss.detach()))
        if case.schedule == "plateau":
            if (step + 1) % STEPS_PER_EPOCH == 0:
                scheduler.step(LOSSES_SEEN[step // STEPS_PER_EPOCH])
        elif step + 1 < STEPS:
            scheduler.step()
    return losses, averaged.module


def agree(ours: Any, theirs: Any, relative: float = 1e-9) -> None:
    """Every number to 1e-9 of itself; where it is nearly zero, to 1e-11 of the largest."""
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=relative, atol=1e-11 * np.abs(theirs).max())


def check(case: Case) -> None:
    rate = RATES.get(case.optimizer, 0.005)
    schedule = Schedule(
        case.schedule,
        rate,
        EPOCHS,
        STEPS_PER_EPOCH,
        case.warmup_epochs,
        decay_epochs=3,
        patience=case.patience,
    )
    network = first_network(case)
    twin = torch_twin(network)
    before = network.theta.copy()
    losses, average = train_nnlab(case, network, schedule)
    theirs, averaged = train_torch(case, twin, schedule)
    agree(losses, theirs)
    assert not np.allclose(network.theta, before, rtol=0.01)
    if average is not None:
        assert not np.allclose(network.theta, average, rtol=0.01)
        network.theta[...] = average
        twin = averaged
    twin.eval()
    for layer, module in zip(network.layers, twin, strict=True):
        for name, value in layer.params.items():
            wanted = module.weight if name in {"W", "gain"} else module.bias
            wanted = wanted.detach().numpy()
            agree(value, wanted.T if name == "W" else wanted)
        for name, value in layer.buffers.items():
            agree(value, getattr(module, {"mean": "running_mean"}.get(name, "running_var")))
    x = next(batches())[0]
    agree(network.forward(x), twin(torch.from_numpy(x)).detach())


def test_every_entry_of_the_tables_has_its_twin():
    assert TORCH_ACTIVATIONS.keys() == ACTIVATIONS.keys()
    assert TORCH_NORMALIZATIONS.keys() == NORMALIZATIONS.keys()
    assert TORCH_OPTIMIZERS.keys() == OPTIMIZERS.keys()
    assert TORCH_SCHEDULES.keys() == SCHEDULES.keys()
    for kind in LOSSES.values():
        assert torch_loss(kind())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers(optimizer):
    check(Case(optimizer=optimizer))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_penalties_with_every_optimizer(optimizer):
    check(Case(optimizer=optimizer, penalty=Penalty(l2=0.01, l1=0.001)))


def test_decoupled_weight_decay():
    check(Case(optimizer="adamw", weight_decay=0.1))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_clipped_gradients(optimizer):
    check(Case(optimizer=optimizer, clip=0.5, penalty=Penalty(l2=0.01)))


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_dropout(optimizer):
    check(Case(dropout=0.4, optimizer=optimizer))


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("averaging", [0.0, 0.95])
def test_bounded_norms(optimizer, averaging):
    check(Case(max_norm=1.5, optimizer=optimizer, averaging=averaging))


@pytest.mark.parametrize("averaging", [0.5, 0.95, 0.999])
def test_averaged_weights(averaging):
    check(Case(averaging=averaging, penalty=Penalty(l2=0.01), optimizer="adam"))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    check(Case(activation=activation))


# A bias before batch normalization has no effect: its gradient is nothing but rounding, which
# Adam would magnify to steps of the usual size.
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov"])
def test_normalizations(normalization, optimizer):
    check(Case(normalization=normalization, optimizer=optimizer, penalty=Penalty(l2=0.01)))


def test_layer_normalization_with_adam():
    check(Case(normalization="layer_norm", optimizer="adam"))


@pytest.mark.parametrize(
    "loss",
    [
        *(kind() for kind in LOSSES.values()),
        *(kind(class_weights=CLASS_WEIGHTS) for kind in LOSSES.values()),
        SoftmaxCrossEntropy(label_smoothing=0.1),
        Hinge(delta=0.3),
        SquaredHinge(delta=2.0),
    ],
    ids=lambda loss: (
        "-".join(f"{value}" for value in loss.options().values())
        + loss.kind
        + ("-weighted" if loss.class_weights is not None else "")
    ),
)
@pytest.mark.parametrize("hidden", [(), HIDDEN], ids=["linear", "mlp"])
def test_losses(loss, hidden):
    # The squared hinge is steep: at the usual rate the steps would diverge, in both alike.
    optimizer = "adam" if isinstance(loss, SquaredHinge) else "momentum"
    check(Case(loss=loss, hidden=hidden, optimizer=optimizer))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixed_labels(smoothing):
    check(Case(loss=SoftmaxCrossEntropy(label_smoothing=smoothing), mixup=True))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules(schedule):
    check(Case(schedule=schedule))


# PyTorch's one-cycle overwrites the base rate that a warm-up before it would rise to, and its
# plateau cannot follow one.
@pytest.mark.parametrize("schedule", ["constant", "step", "exponential", "cosine"])
def test_schedules_after_warm_up(schedule):
    check(Case(schedule=schedule, warmup_epochs=1.5, optimizer="adam"))
