"""The processes of an MPI training: the first one speaks, and none outlives another's failure.

A process that fails alone leaves the others waiting for its gradient for ever. So whoever ends by
itself aborts all; before that the first process gets the time to say why in its one line.
"""

import io
import sys
from time import sleep

from nnlab import machine
from nnlab.cli.output import at_end, emit_error
from nnlab.errors import DivergedError, InterruptedRunError
from nnlab.ranks import Alone, Ranks, join_ranks, launched_as

# So long another process waits for the first one to say what has happened, and to save it.
PATIENCE_SECONDS = 5.0
# Exit codes with which all of them may end at the same step.
AGREED = (0, InterruptedRunError.exit_code)
PATIENCE_WITH_A_SAVE = {DivergedError.exit_code: 600.0}


class _Quiet(io.StringIO):
    """Keeps the last line that was written to it."""

    last = ""

    def write(self, text: str) -> int:
        self.last = text.strip() or self.last
        return len(text)


def _meet_ranks() -> Ranks:
    """Join the processes that mpiexec or srun has started with this one.

    All but the first say nothing from now on.

    Raises:
        InputError: there is no MPI, or the launcher belongs to another one.
    """
    output, errors = sys.stdout, sys.stderr
    if launched_as():  # before MPI can say so: an error of all is said once
        sys.stdout = sys.stderr = _Quiet()
    ranks = join_ranks()
    if ranks.speaks:
        sys.stdout, sys.stderr = output, errors
    elif not isinstance(sys.stderr, _Quiet):
        sys.stdout = sys.stderr = _Quiet()

    def end(code: int) -> None:
        if ranks.size == 1:
            return
        if ranks.together and code in AGREED:
            ranks.wait()
            return
        if not ranks.speaks:
            said = getattr(sys.stderr, "last", "")
            sleep(PATIENCE_WITH_A_SAVE.get(code, PATIENCE_SECONDS))
            sys.stderr = errors
            emit_error(code, f"rank {ranks.rank} of {ranks.size}: {said}", as_json=False)
        ranks.abort(code)

    at_end.append(end)
    return ranks


def ranks_of(mpi: bool) -> Alone:
    """Return the processes that work together: this one alone without `--mpi`.

    Raises:
        InputError: there is no MPI, or the launcher belongs to another one.
    """
    return _meet_ranks() if mpi else Alone()


def threads_of(ranks: Alone, wanted: int | None) -> int:
    """Return how many threads this process computes with; ranks share what nobody has set."""
    choice = machine.choose_threads(wanted)
    return ranks.threads(choice.count) if choice.is_guess else choice.count
