"""How each framework trains one row of the benchmark, in the idiom that it runs fastest in.

An entry of `FRAMEWORKS` is ``prepare(row, images, labels, threads) -> run``, and ``run(steps)``
trains that many steps, waits until they are done, and goes on where the last call stopped. All
draw every batch at random from uint8 images (N, D) in memory and scale its pixels by the same two
numbers; float32 throughout. A framework that is not installed is left out of the table.

nnlab walks its real trainer: shuffled epochs, history of every step, checks for numbers that are
not finite, the work at an epoch's end, and the progress display of the command line.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

CLASSES = 10
SCALE, SHIFT = 1 / 64, -2.0
MOMENTUM, BETA1, BETA2, EPSILON = 0.9, 0.9, 0.999, 1e-8
# Steps of one call of JAX's compiled loop.
SCANNED = 16

Run = Callable[[int], None]


@dataclass(frozen=True)
class Row:
    """One line of the table: an MLP with ReLU and softmax cross-entropy.

    Attributes:
        image_shape: (H, W, C).
        hidden: widths of the hidden layers.
        batch: images a step.
        optimizer: "momentum" (SGD with 0.9) or "adam".
    """

    image_shape: tuple[int, int, int]
    hidden: tuple[int, ...]
    batch: int
    optimizer: str

    @property
    def inputs(self) -> int:
        return int(np.prod(self.image_shape))

    @property
    def widths(self) -> list[int]:
        return [self.inputs, *self.hidden, CLASSES]

    @property
    def parameters(self) -> int:
        widths = self.widths
        return sum(a * b + b for a, b in pairwise(widths))

    @property
    def learning_rate(self) -> float:
        return 0.001 if self.optimizer == "adam" else 0.01

    def __str__(self) -> str:
        hidden = "-".join(map(str, self.hidden)) or "none"
        return f"{self.inputs}, {hidden}, {self.batch}, {self.optimizer}"


def batches_of(count: int, batch: int, dtype: Any = np.int64) -> Iterator[Any]:
    """Yield the rows of one batch after another, each epoch in a new order."""
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(count).astype(dtype)
        for start in range(0, count - batch + 1, batch):
            yield order[start : start + batch]


def first_weights(row: Row) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(1)
    widths = row.widths
    return [
        (
            (rng.standard_normal((a, b)) * np.sqrt(2 / a)).astype(np.float32),
            np.zeros(b, np.float32),
        )
        for a, b in pairwise(widths)
    ]


def nnlab(row: Row, images: Any, labels: Any, threads: int) -> Run:  # noqa: ARG001
    from nnlab.cli.progress import Progress
    from nnlab.training.assembly import Division, make_trainer
    from nnlab.training.events import EpochDone
    from nnlab.training.images import ImageSet
    from nnlab.training.settings import Settings

    settings = Settings(
        model="mlp" if row.hidden else "softmax",
        hidden=",".join(map(str, row.hidden)) or None,
        optimizer=row.optimizer,
        lr=row.learning_rate,
        schedule="constant",
        batch_size=row.batch,
        epochs=2000,
        val=0,
    )
    train = ImageSet.of(images.reshape(-1, *row.image_shape), labels)
    trainer, _ = make_trainer(settings, Division(train, None, ""), CLASSES)
    progress = Progress()
    progress.begin(settings.epochs, trainer.batches.steps, 0)
    events = trainer.run()

    def run(steps: int) -> None:
        end = trainer.steps_done + steps
        while trainer.steps_done < end:
            trainer.together = end - trainer.steps_done
            event = next(events)
            if isinstance(event, EpochDone):
                progress.epoch(event.epoch)
            else:
                progress.step(event.epoch, event.step)

    return run


def torch_eager(row: Row, images: Any, labels: Any, threads: int, fused: bool) -> Run:
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    layers: list[nn.Module] = []
    for w, b in first_weights(row):
        linear = nn.Linear(*w.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w.T))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, nn.ReLU(inplace=True)]
    network = nn.Sequential(*layers[:-1])
    options: dict[str, Any] = {"lr": row.learning_rate, "fused" if fused else "foreach": True}
    if row.optimizer == "adam":
        optimizer: Any = torch.optim.Adam(network.parameters(), **options)
    else:
        optimizer = torch.optim.SGD(network.parameters(), momentum=MOMENTUM, **options)
    data, targets = torch.from_numpy(images), torch.from_numpy(labels)
    batches = batches_of(len(images), row.batch)

    def run(steps: int) -> None:
        for _ in range(steps):
            rows = torch.from_numpy(next(batches))
            x = data.index_select(0, rows).to(torch.float32).mul_(SCALE).add_(SHIFT)
            loss = nn.functional.cross_entropy(network(x), targets.index_select(0, rows))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return run


def jax_jit(row: Row, images: Any, labels: Any, threads: int, scan: bool) -> Run:  # noqa: ARG001
    import jax
    import jax.numpy as jnp

    rate, tree = row.learning_rate, jax.tree_util.tree_map
    data, targets = jnp.asarray(images), jnp.asarray(labels.astype(np.int32))
    weights = tree(jnp.asarray, first_weights(row))

    def loss_of(weights: Any, x: Any, y: Any) -> Any:
        for w, b in weights[:-1]:
            x = jax.nn.relu(x @ w + b)
        w, b = weights[-1]
        log_p = jax.nn.log_softmax(x @ w + b)
        return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

    def update(state: Any, gradient: Any) -> Any:
        if row.optimizer != "adam":
            weights, velocity = state
            velocity = tree(lambda v, g: MOMENTUM * v + g, velocity, gradient)
            return tree(lambda w, v: w - rate * v, weights, velocity), velocity
        weights, first, second, step = state
        step = step + 1
        first = tree(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradient)
        second = tree(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, gradient)
        size, root = rate / (1 - BETA1**step), jnp.sqrt(1 - BETA2**step)
        weights = tree(
            lambda w, m, v: w - size * m / (jnp.sqrt(v) / root + EPSILON), weights, first, second
        )
        return weights, first, second, step

    def one(state: Any, rows: Any, data: Any, targets: Any) -> Any:
        x = data[rows].astype(jnp.float32) * SCALE + SHIFT
        return update(state, jax.grad(loss_of)(state[0], x, targets[rows]))

    zeros = partial(tree, jnp.zeros_like)
    state = (weights, zeros(weights))
    if row.optimizer == "adam":
        state = (*state, zeros(weights), jnp.float32(0))
    batches = batches_of(len(images), row.batch, np.int32)

    if not scan:
        step = jax.jit(one, donate_argnums=0)

        def run(steps: int) -> None:
            nonlocal state
            for _ in range(steps):
                state = step(state, next(batches), data, targets)
            jax.block_until_ready(state)

        return run

    @partial(jax.jit, donate_argnums=0)
    def several(state: Any, rows: Any, data: Any, targets: Any) -> Any:
        return jax.lax.scan(lambda s, r: (one(s, r, data, targets), None), state, rows)[0]

    def run_scanned(steps: int) -> None:
        nonlocal state
        if steps % SCANNED:
            raise ValueError(f"steps come in multiples of {SCANNED}")
        for _ in range(steps // SCANNED):
            rows = np.stack([next(batches) for _ in range(SCANNED)])
            state = several(state, rows, data, targets)
        jax.block_until_ready(state)

    return run_scanned


def sklearn(row: Row, images: Any, labels: Any, threads: int) -> Run:  # noqa: ARG001
    import sklearn as package
    from sklearn.neural_network import MLPClassifier

    # It takes floats only: they are made before the clock starts, to its advantage.
    x = images.astype(np.float32) * np.float32(SCALE) + np.float32(SHIFT)
    solver = "adam" if row.optimizer == "adam" else "sgd"
    model = MLPClassifier(
        row.hidden,
        solver=solver,
        alpha=0,
        batch_size=row.batch,
        learning_rate_init=row.learning_rate,
        momentum=MOMENTUM,
        nesterovs_momentum=False,
        random_state=0,
    )
    model.partial_fit(x[: row.batch], np.arange(row.batch) % CLASSES, classes=np.arange(CLASSES))
    largest = len(x) // row.batch

    def run(steps: int) -> None:
        with package.config_context(assume_finite=True, skip_parameter_validation=True):
            while steps:
                count = min(steps, largest)
                model.partial_fit(x[: count * row.batch], labels[: count * row.batch])
                steps -= count

    return run


# Framework -> its idioms; where there are several, the quickest stands for the framework.
FRAMEWORKS: dict[str, dict[str, Callable[..., Run]]] = {
    "nnlab": {"trainer": nnlab},
    "PyTorch": {
        "eager, fused optimizer": partial(torch_eager, fused=True),
        "eager, foreach optimizer": partial(torch_eager, fused=False),
    },
    "JAX": {
        "jit of a step": partial(jax_jit, scan=False),
        "jit of a scan over steps": partial(jax_jit, scan=True),
    },
    "scikit-learn": {"partial_fit": sklearn},
}
