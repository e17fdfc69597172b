"""Data-parallel training: what the processes (ranks) of one training say to one another.

Every rank holds the whole network. Of each batch rank r takes rows r, r + R, ... and computes the
gradient of the batch's loss as far as its rows decide it; one sum over all ranks (Allreduce) makes
it the gradient of the whole batch on every rank, and all take the same step. What else has to be
agreed on, whether somebody was told to stop and what the loss was, rides in the same sum.

`Alone` is the only rank of an ordinary training: nothing is said, nothing costs.
"""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError

# Places behind the gradient for what is summed with it.
LOSS, CORRECT, STOP = range(3)
TAIL = 3

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
    """

    rank: int = 0
    size: int = 1

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

    def gather(self, vector: NDArray[Any]) -> NDArray[Any]:
        """Return the vectors (R, ...) of all ranks."""
        return vector[None]

    def hand_out(self, value: Any) -> Any:
        """Return rank 0's value, on every rank."""
        return value


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

    def gather(self, vector: NDArray[Any]) -> NDArray[Any]:
        """Return the vectors (R, ...) of all ranks, on every rank."""
        found = np.empty((self.size, *vector.shape), vector.dtype)
        self.communicator.Allgather(np.ascontiguousarray(vector), found)
        return found

    def hand_out(self, value: Any) -> Any:
        """Return rank 0's value, on every rank."""
        return self.communicator.bcast(value, root=0)

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
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"--mpi needs mpi4py and MPI's library ({' '.join(str(error).split())}): load the "
            "cluster's MPI and pip install 'nnlab-toolkit[mpi]'; where there is no MPI, also pip "
            "install mpich."
        ) from error
    world = MPI.COMM_WORLD
    wrong = _wrong_launcher(environment, world.Get_size())
    if wrong:
        if environment.get(LAUNCHERS[wrong], "0") != "0":
            sys.exit(InputError.exit_code)  # the first one says it
        raise InputError(
            f"{environment[wrong]} processes were started ({wrong}), but MPI's library sees one: "
            f"the launcher is of another MPI than {MPI.Get_library_version().split(',')[0]}. Use "
            "the mpiexec of that library, or srun --mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH); "
            "srun --mpi=list shows what there is."
        )
    return Ranks(world.Get_rank(), world.Get_size(), world)


def _wrong_launcher(environment: Mapping[str, str], size: int) -> str:
    """Return the variable by which a launcher says that it started more than MPI sees."""
    if size > 1:
        return ""
    for name in LAUNCHERS:
        count = environment.get(name, "")
        if count.isdigit() and int(count) > 1:
            return name
    return ""
