"""Data-parallel training: what the processes (ranks) of one training say to one another.

Every rank holds the whole network. Of each batch rank r takes rows r, r + R, ... and computes the
gradient of the batch's loss as far as its rows decide it; one sum over all ranks (Allreduce) makes
it the gradient of the whole batch on every rank, and all take the same step. What else has to be
agreed on, whether somebody was told to stop and what the loss was, rides in the same sum.

`Alone` is the only rank of an ordinary training: nothing is said, nothing costs.
"""

import os
import socket
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.core.network import TAIL, Network
from nnlab.core.normalization import BatchNorm
from nnlab.errors import InputError
from nnlab.training.inference import Performance

# Places behind the gradient for what is summed with it.
LOSS, CORRECT, STOP = range(3)
assert TAIL > STOP

# How the launchers of MPI say how many processes they have started, and which one this is.
LAUNCHERS = {
    "SLURM_NTASKS": "SLURM_PROCID",
    "PMI_SIZE": "PMI_RANK",
    "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK",
}


@dataclass
class Alone:
    """The ranks of a training in one process.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
        together: whether all of them have come to the same end.
    """

    rank: int = 0
    size: int = 1
    together: bool = False

    @property
    def stream(self) -> tuple[int, ...]:
        """What distinguishes the random numbers of this rank's rows from those of others."""
        return () if self.size == 1 else (self.size, self.rank)

    @property
    def speaks(self) -> bool:
        """Whether this rank writes files and talks to the user."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """Return which rows of a batch are this rank's.

        A batch of fewer rows than ranks is not split: every rank computes all of it.
        """
        return slice(self.rank, None, self.size) if count >= self.size else slice(None)

    def share(self, count: int) -> float:
        """Return what this rank's mean over its rows of a batch counts in the mean over all."""
        if count < self.size:
            return 1.0 / self.size
        return len(range(count)[self.rows(count)]) / count

    def add(self, vector: NDArray[Any]) -> None:
        """Sum a vector over all ranks, in place."""

    def hand_out(self, value: Any) -> Any:
        """Return rank 0's value, on every rank."""
        return value

    def threads(self, allowed: int) -> int:
        """Return how many threads this rank may compute with."""
        return allowed


@dataclass
class Ranks(Alone):
    """The ranks of a training under MPI.

    Args:
        communicator: of mpi4py.
    """

    communicator: Any = field(default=None, repr=False)

    def add(self, vector: NDArray[Any]) -> None:
        """Sum a vector over all ranks, in place: the same bits on every rank."""
        from mpi4py import MPI

        self.communicator.Allreduce(MPI.IN_PLACE, vector, op=MPI.SUM)

    def hand_out(self, value: Any) -> Any:
        """Return rank 0's value, on every rank."""
        return self.communicator.bcast(value, root=0)

    def wait(self) -> None:
        """Wait until all ranks have come here."""
        self.communicator.Barrier()

    def abort(self, code: int) -> None:
        """End the processes of all ranks at once."""
        self.communicator.Abort(code)

    def threads(self, allowed: int) -> int:
        """Return how many threads this rank may compute with.

        Ranks that may use the very same processors, as under an mpiexec that binds nobody, share
        them out.

        Args:
            allowed: what this process alone may use.
        """
        mine = (socket.gethostname(), tuple(sorted(os.sched_getaffinity(0))))
        same = sum(other == mine for other in self.communicator.allgather(mine))
        return max(1, allowed // same)


def join_ranks(environment: Mapping[str, str] | None = None) -> Ranks:
    """Meet the other ranks that a launcher (mpiexec, srun) has started with this one.

    Raises:
        InputError: mpi4py or MPI's library is missing, or the launcher belongs to another MPI than
            the library: then each process would believe to be alone, and all would train the
            same.
    """
    environment = os.environ if environment is None else environment
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is said better below
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"--mpi needs mpi4py and MPI's library ({str(error).splitlines()[0]}): load the "
            "cluster's MPI and pip install 'nnlab-toolkit[mpi]'; where there is no MPI, also pip "
            "install mpich."
        ) from error
    world = MPI.COMM_WORLD
    wrong = _wrong_launcher(environment, world.Get_size())
    if wrong:
        raise InputError(
            f"{environment[wrong]} processes were started ({wrong}), but MPI's library sees one: "
            f"the launcher is of another MPI than {MPI.Get_library_version().split()[0]}. Use "
            "the mpiexec of that library, or srun --mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH); "
            "srun --mpi=list shows what there is."
        )
    return Ranks(world.Get_rank(), world.Get_size(), communicator=world)


def launched_as() -> int:
    """Return which process of the launcher this one is, as its environment says; 0 if nothing."""
    numbers = [os.environ.get(name, "") for name in LAUNCHERS.values()]
    return max((int(number) for number in numbers if number.isdigit()), default=0)


def _wrong_launcher(environment: Mapping[str, str], size: int) -> str:
    """Return the variable by which a launcher says that it started more than MPI sees."""
    if size > 1:
        return ""
    for name in LAUNCHERS:
        count = environment.get(name, "")
        if count.isdigit() and int(count) > 1:
            return name
    return ""


class Exchange:
    """What the ranks of a training sum in every step; free where there is one.

    Args:
        ranks: of the training.
        network: whose gradient is summed.

    Attributes:
        rows: of the batch that all ranks work on.
        stop: whether this rank was told to stop.
        must_stop: whether any rank was, as all of them know since the last step.
    """

    def __init__(self, ranks: Alone, network: Network) -> None:
        self._ranks, self._network = ranks, network
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

    def sum(self, loss: float, correct: int) -> tuple[float, int]:
        """Sum the gradient, and return the batch's loss and how many were classified right.

        Args:
            loss: the mean over this rank's rows.
            correct: how many of them were classified right.
        """
        ranks, tail = self._ranks, self._tail
        if ranks.size == 1:
            return loss, correct
        doubled = ranks.size if self.rows < ranks.size else 1
        tail[LOSS] = loss * ranks.share(self.rows)
        tail[CORRECT] = correct
        tail[STOP] = self.stop
        ranks.add(self._network.summed)
        self.must_stop = bool(tail[STOP] > 0)
        return float(tail[LOSS]), round(float(np.nan_to_num(tail[CORRECT]))) // doubled

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
