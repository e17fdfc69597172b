"""What layers go through in some of the steps: gradients, updates, units that are off.

Kept in the run file under ``/history/sampled``: one 1-D array a quantity, all of the same length,
one place a sampled step. ``<i>_<kind>`` names a layer as in ``/weights``.

    step                        which step, counted from 0 over the whole run: the place of the
                                step in the arrays of ``/history/step``
    gradient_norm_<i>_linear    norm of the data loss's gradient by the layer's W
    update_ratio_<i>_linear     norm of what the step changed in W, over the norm of W before it
    slope_<i>_<activation>      mean of the local derivative f'(x) over images and units
    saturated_<i>_<activation>  share of (image, unit) pairs whose f'(x) is below a tenth of the
                                steepest: what ReLU has switched off, where a sigmoid is flat
    dead_<i>_<activation>       share of units for which that holds at every image of the batch:
                                none of the batch can teach them

Steps 0, 1, 2, 4, ..., 64 are sampled, while much changes, and then every 128th. A sample costs as
much as two or three updates; what that adds to training is below 1 %: `benchmarks/diagnostics.py`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.core.activations import Activation
from nnlab.core.network import Network

EVERY = 128
# A unit whose local derivative is below this share of the steepest one is called saturated.
FLAT = 0.1


def next_sample(step: int) -> int:
    """Return the first step from this one on that is sampled; they count from 0 over the run."""
    if step >= EVERY:
        return -(-step // EVERY) * EVERY
    return 1 << (step - 1).bit_length() if step else 0


class Watch:
    """Measures one step of a network at a time, and keeps the samples.

    Args:
        network: what is trained.
        batch: the most images of a step.
        spare: (P,) a free array like the network's theta; used from `before_update` to `update`.

    Attributes:
        history: one list a quantity, as described above.
    """

    def __init__(self, network: Network, batch: int, spare: NDArray[Any]) -> None:
        self._network = network
        self._activations = [
            (f"{index}_{layer.kind}", layer)
            for index, layer in enumerate(network.layers)
            if isinstance(layer, Activation)
        ]
        widest = max((layer.outputs for _, layer in self._activations), default=0)
        self._flat = np.empty(batch * widest, bool)
        self._dead = np.empty(widest, bool)
        self._spare = spare
        self._sizes: dict[str, float] = {}
        self.history: dict[str, list[float]] = {}

    def gradients(self) -> dict[str, float]:
        """Return the norm of each weight matrix's gradient; call it after the backward pass."""
        return {
            f"gradient_norm_{name}": _norm(gradient)
            for name, gradient in self._weights(self._network.grad)
        }

    def units(self, rows: int) -> dict[str, float]:
        """Return what each activation lets through; call it after the backward pass.

        Args:
            rows: images of the batch.
        """
        found = {}
        for name, layer in self._activations:
            slopes = layer.slopes(rows)
            flat = self._flat[: slopes.size].reshape(slopes.shape)
            dead = self._dead[: layer.outputs]
            bound = slopes.dtype.type(FLAT * layer.steepest)
            np.less(slopes, bound, out=flat)
            np.logical_and.reduce(flat, axis=0, out=dead)
            found[f"slope_{name}"] = float(np.add.reduce(slopes, axis=None)) / slopes.size
            found[f"saturated_{name}"] = np.count_nonzero(flat) / flat.size
            found[f"dead_{name}"] = np.count_nonzero(dead) / dead.size
        return found

    def before_update(self) -> None:
        """Remember the weights of a step that `update` shall measure."""
        self._spare[...] = self._network.theta
        self._sizes = {name: _norm(weights) for name, weights in self._weights(self._spare)}

    def update(self) -> dict[str, float]:
        """Return each weight matrix's change, over its size before the step."""
        np.subtract(self._network.theta, self._spare, out=self._spare)
        return {
            f"update_ratio_{name}": _norm(change) / size if (size := self._sizes[name]) else 0.0
            for name, change in self._weights(self._spare)
        }

    def keep(self, step: int, measured: dict[str, float]) -> None:
        """Add a sample to the history."""
        for name, value in {"step": step, **measured}.items():
            self.history.setdefault(name, []).append(value)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the history as arrays to store."""
        return {
            name: np.array(values, np.int64 if name == "step" else np.float64)
            for name, values in self.history.items()
        }

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take up the history that `arrays` gave."""
        self.history = {name: values.tolist() for name, values in arrays.items()}

    def _weights(self, vector: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
        for name, view in self._network.named_parameters(vector):
            layer, _, parameter = name.partition("/")
            if parameter == "W":
                yield layer, view


def _norm(view: NDArray[Any]) -> float:
    flat = view.reshape(-1)
    return float(np.sqrt(np.dot(flat, flat)))
