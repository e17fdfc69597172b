"""A run's history as a report reads it: thinned for drawing, by layer, over epochs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.runs import Run

# A curve is drawn with no more points than this: more cannot be told apart, and cost bytes.
POINTS = 240

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Values over epochs.

    Attributes:
        x: (N,) epochs; 1 is the end of the first.
        y: (N,) values; NaN where there is none.
        block: each point is the mean of so many.
    """

    x: Floats
    y: Floats
    block: int = 1


def thinned(x: Floats, y: Floats, points: int = POINTS) -> Curve:
    """Return means over blocks, so that at most `points` are left."""
    block = max(1, -(-len(y) // points))
    if block == 1:
        return Curve(x, y)
    starts = np.arange(0, len(y), block)
    counts = np.diff([*starts, len(y)])
    return Curve(np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts, block)


def epoch_curve(run: Run, name: str) -> Curve | None:
    """Return a quantity of the epochs; None if the run has none of it."""
    values = run.history["epoch"].get(name)
    if values is None or len(values) == 0:
        return None
    values = np.asarray(values, np.float64)
    return thinned(np.arange(1.0, len(values) + 1), values)


def step_curve(run: Run, name: str) -> Curve | None:
    """Return a quantity of the steps over epochs; None if the run has none of it."""
    values = run.history["step"].get(name)
    if values is None or len(values) == 0:
        return None
    values = np.asarray(values, np.float64)
    return thinned((np.arange(len(values)) + 1) / steps_per_epoch(run), values)


def steps_per_epoch(run: Run) -> int:
    """Return how many steps an epoch has; 1 if the run does not say."""
    return max(1, int(run.attributes.get("progress", {}).get("steps_per_epoch", 1)))


def layer_samples(run: Run, quantity: str) -> dict[str, Floats]:
    """Return a quantity of the sampled steps by layer, in the order of the layers.

    Runs without samples have gradients and updates at the end of every epoch.
    """
    for series in ("sampled", "epoch"):
        found = {
            name.removeprefix(f"{quantity}_"): np.asarray(values, np.float64)
            for name, values in run.history[series].items()
            if name.startswith(f"{quantity}_") and len(values)
        }
        if found:
            return dict(sorted(found.items(), key=lambda item: _index(item[0])))
    return {}


def sampled_epochs(run: Run) -> Floats:
    """Return when the samples of `layer_samples` were taken, in epochs."""
    steps = run.history["sampled"].get("step")
    if steps is None or len(steps) == 0:
        count = max((len(values) for values in run.history["epoch"].values()), default=0)
        return np.arange(1.0, count + 1)
    return (np.asarray(steps, np.float64) + 1) / steps_per_epoch(run)


def layer_titles(run: Run) -> dict[str, str]:
    """Return what each layer is called on the page, by its name in the file.

    Layers with weights are counted: what stands between them has the number of the one before.
    """
    titles, number = {}, 0
    for index, layer in enumerate(network_layers(run)):
        kind = str(layer.get("kind"))
        number += kind == "linear"
        titles[f"{index}_{kind}"] = f"layer {number}" if kind == "linear" else f"{kind} {number}"
    return titles


def network_layers(run: Run) -> list[dict[str, Any]]:
    """Return the layers in the run's description of its network; none for other runs."""
    network = run.spec.get("network")
    layers = network.get("layers") if isinstance(network, dict) else None
    return [layer for layer in layers or [] if isinstance(layer, dict)]


def root_mean_squares(run: Run) -> dict[str, float]:
    """Return each layer's usual gradient, weight by weight: comparable between layers of any size.

    The median over the sampled steps of the norm of its weights' gradient, divided by the root of
    how many weights there are.
    """
    scaled = {}
    for name, norms in layer_samples(run, "gradient_norm").items():
        weights = run.arrays.get(f"weights/{name}/W")
        if weights is not None and weights.size:
            scaled[name] = float(np.median(norms)) / float(np.sqrt(weights.size))
    return scaled


def _index(layer: str) -> int:
    number = layer.partition("_")[0]
    return int(number) if number.isdecimal() else 0
