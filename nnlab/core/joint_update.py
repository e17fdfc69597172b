"""The update that the ranks of one machine share: each takes the step with a part of theta.

Every rank keeps its parameters and its gradient where all see them. When every gradient is there,
each rank sums all of them over its own part of theta, takes the step there, and writes the new
weights to the parameters of all. Gradients and weights cross from rank to rank once, and what an
optimizer does is done once and not by every rank. The optimizer's state and the average are there
once, too; between two steps they are whole, for whoever reads or writes them.
"""

import numpy as np

from nnlab.common_memory import LARGE, common_memory
from nnlab.core.layer import Array
from nnlab.core.network import TAIL
from nnlab.core.update import Update
from nnlab.jit import kernels
from nnlab.ranks import Alone

# Parts begin where lines of the cache do, so that no two ranks write to the same one.
LINE = 64


class JointUpdate:
    """An `Update` whose network and state lie in common memory; `join_update` makes it.

    Args:
        ranks: of the training.
        update: what a step does with the gradient.
        memory: that all ranks see, as many bytes as `join_update` says.
    """

    def __init__(self, ranks: Alone, update: Update, memory: Array) -> None:
        network, size = update.network, ranks.size
        self._ranks, self._update = ranks, update
        self._kernels = kernels("nnlab.core.joint_kernels")
        self._part = ranks.block(network.theta.size, LINE)
        rows = memory.view(network.dtype).reshape(-1, _width(update) // network.dtype.itemsize)
        self._thetas, self._grads = rows[:size], rows[size : 2 * size]
        numbers = network.theta.size
        theta, summed = self._thetas[ranks.rank], self._grads[ranks.rank]
        network.lie_in(theta[:numbers], summed[: numbers + TAIL])
        slots = len(update.optimizer.slots)
        update.optimizer.lie_in(rows[2 * size : 2 * size + slots])
        if update.average is not None:
            rows[-1, :numbers] = update.average
            update.average = rows[-1, :numbers]

    def apply(self, learning_rate: float, summed: bool) -> float:
        """Take one step, together: all ranks have their gradient.

        Args:
            learning_rate: of this step.
            summed: whether it is already the sum of all, on every rank.

        Returns:
            As `Update.apply`.
        """
        ranks, update, part = self._ranks, self._update, self._part
        step = update.begin(learning_rate)
        if update.clip is None:
            step.take_joint(self._kernels, part, ranks.rank, summed, self._thetas, self._grads)
            return self._joined(step.norm())
        if not summed:
            step.sum_joint(self._kernels, part, ranks.rank, self._grads)
        norm = self._joined(step.measure(part))
        step.scale = update.clipping(norm)
        step.take_joint(self._kernels, part, ranks.rank, True, self._thetas, self._grads)
        ranks.wait()
        return norm

    def _joined(self, norm: float) -> float:
        """Return the norm of the whole from that of this rank's part; all ranks have come here."""
        square = np.array([norm * norm])
        self._ranks.add(square)
        return float(np.sqrt(square[0]))


def join_update(ranks: Alone, update: Update) -> JointUpdate | None:
    """Put an update and its network into memory that all ranks see.

    Returns:
        None where they see none, or where a step is not that simple: then every rank has its own.
    """
    if ranks.size == 1 or update.max_norm is not None:
        return None
    if not all(ranks.collect(update.is_compiled)):
        return None
    rows = 2 * ranks.size + len(update.optimizer.slots) + (update.average is not None)
    memory = common_memory(ranks, rows * _width(update))
    return None if memory is None else JointUpdate(ranks, update, memory)


def _width(update: Update) -> int:
    """Return the bytes of a row, which begins where a large page does."""
    network = update.network
    return -(-(network.theta.size + TAIL) * network.dtype.itemsize // LARGE) * LARGE
