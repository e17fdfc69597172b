"""Data-parallel training: what the ranks of one training say to one another.

Every rank holds the whole network. Of each batch rank r takes rows r, r + R, ... and computes the
gradient of the batch's loss as far as its rows decide it; one sum over all ranks (Allreduce) makes
it the gradient of the whole batch on every rank, and all take the same step. What else has to be
agreed on, whether somebody was told to stop and what the loss was, rides in the same sum. Ranks of
one machine sum these alone and share the rest of the step (`nnlab.core.joint_update`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.core.joint_update import join_update
from nnlab.core.network import TAIL
from nnlab.core.normalization import BatchNorm
from nnlab.core.update import Update
from nnlab.ranks import Alone
from nnlab.training.inference import Performance

# Places behind the gradient for what is summed with it.
LOSS, CORRECT, STOP = range(3)
assert TAIL > STOP


class Exchange:
    """What the ranks of a training sum in every step; free where there is one.

    Args:
        ranks: of the training.
        update: what a step does with the gradient; its network moves where ranks share the step.

    Attributes:
        rows: of the batch that all ranks work on.
        stop: whether this rank was told to stop.
        must_stop: whether any rank was, as all of them know since the last step.
    """

    def __init__(self, ranks: Alone, update: Update) -> None:
        network = update.network
        self._ranks, self._network, self._update = ranks, network, update
        self._joint = join_update(ranks, update)
        self._tail = network.summed[len(network.grad) :]
        self.rows = 0
        self.stop = self.must_stop = False
        if ranks.size > 1:
            for layer in network.layers:
                if isinstance(layer, BatchNorm):
                    layer.joint = self

    def begin(self, rows: int) -> None:
        """Begin a step on a batch of so many rows."""
        self.rows = rows

    def average(self, mean: NDArray[Any]) -> None:
        """Turn a mean over this rank's rows into that over the batch, in place."""
        mean *= self._ranks.share(self.rows)
        self._ranks.add(mean)

    def weighted(self, dscores: NDArray[Any]) -> NDArray[Any]:
        """Scale the gradient of a mean over this rank's rows to its part of that over the batch."""
        if self._ranks.size > 1:
            dscores *= self._ranks.share(self.rows)
        return dscores

    def sum(self, loss: float, correct: int, is_watched: bool) -> tuple[float, int]:
        """Return the batch's loss and how many images were classified right.

        The gradient is summed with them unless the update does that. All ranks have theirs then.

        Args:
            loss: the mean over this rank's rows.
            correct: how many of them were classified right.
            is_watched: somebody asks for the sum of the gradients.
        """
        ranks, tail = self._ranks, self._tail
        if ranks.size == 1:
            return loss, correct
        doubled = ranks.size if self.rows < ranks.size else 1
        tail[LOSS] = loss * ranks.share(self.rows)
        tail[CORRECT] = correct
        tail[STOP] = self.stop
        ranks.add(tail if self._joint and not is_watched else self._network.summed)
        self.must_stop = bool(tail[STOP] > 0)
        return float(tail[LOSS]), round(float(np.nan_to_num(tail[CORRECT]))) // doubled

    def apply(self, learning_rate: float, is_watched: bool) -> float:
        """Take the step whose losses `sum` has summed; see `Update.apply`."""
        if self._joint is None:
            return self._update.apply(learning_rate)
        if is_watched:
            self._ranks.wait()  # until all have seen the weights as they were
        return self._joint.apply(learning_rate, summed=is_watched)

    def joined(self, part: Performance, mine: int, total: int) -> Performance:
        """Return the performance on all images from that on every rank's share of them.

        Args:
            part: on this rank's share.
            mine: how many images that is.
            total: how many there are.
        """
        ranks = self._ranks
        if ranks.size == 1:
            return part
        doubled = ranks.size if total < ranks.size else 1
        sums = np.array([part.loss * ranks.share(total), part.accuracy * mine], np.float64)
        sums[1] = round(sums[1])
        ranks.add(sums)
        return Performance(float(sums[0]), float(sums[1]) / doubled / total)
