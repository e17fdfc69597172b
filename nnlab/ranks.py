"""Ranks: processes that MPI has started together to do one thing.

`Alone` is the only rank of an ordinary command: nothing is said, nothing costs. `join_ranks` meets
the others. What they do together is the business of `nnlab.training.exchange` (one training) and
`nnlab.neighbors.together` (one search).
"""

import os
import socket
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from nnlab.errors import InputError

# How the launchers of MPI say how many processes they have started, and which one this is.
LAUNCHERS = {
    "SLURM_NTASKS": "SLURM_PROCID",
    "PMI_SIZE": "PMI_RANK",
    "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK",
}


@dataclass
class Alone:
    """The one rank of an ordinary command.

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

    def block(self, count: int, multiple: int = 1) -> slice:
        """Return which of so many things in a row are this rank's.

        Args:
            count: how many things.
            multiple: blocks begin at multiples of it.
        """
        each = -(-count // (self.size * multiple)) * multiple
        return slice(min(count, self.rank * each), min(count, (self.rank + 1) * each))

    def add(self, vector: NDArray[Any]) -> None:
        """Sum a vector over all ranks, in place."""

    def collect(self, value: Any) -> list[Any]:
        """Return what every rank has given, in their order, on every rank."""
        return [value]

    def hand_out(self, value: Any) -> Any:
        """Return rank 0's value, on every rank."""
        return value

    def wait(self) -> None:
        """Wait until all ranks have come here."""

    def threads(self, allowed: int) -> int:
        """Return how many threads this rank may compute with."""
        return allowed


@dataclass
class Ranks(Alone):
    """The ranks that were started by a launcher of MPI.

    Args:
        communicator: of mpi4py.
    """

    communicator: Any = field(default=None, repr=False)

    def add(self, vector: NDArray[Any]) -> None:
        """Sum a vector over all ranks, in place: the same bits on every rank."""
        from mpi4py import MPI

        self.communicator.Allreduce(MPI.IN_PLACE, vector, op=MPI.SUM)

    def collect(self, value: Any) -> list[Any]:
        """Return what every rank has given, in their order, on every rank."""
        found: list[Any] = self.communicator.allgather(value)
        return found

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
