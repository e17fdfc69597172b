"""The processes of an MPI training: the first one speaks, and none outlives another's failure.

A process that fails alone leaves the others waiting for its gradient for ever. So whoever ends by
itself aborts all; before that the first process gets the time to say why in its one line. One that
is killed can do nothing: mpiexec ends the others then, srun only if it is told to
(--kill-on-bad-exit). So the processes of a machine look after one another.
"""

import io
import os
import select
import socket
import sys
import threading
from contextlib import suppress
from time import sleep

from nnlab import machine
from nnlab.cli.output import at_end, emit_error
from nnlab.errors import DivergedError, InterruptedRunError
from nnlab.ranks import Alone, Ranks, join_ranks, launched_as

# So long another process waits for the first one to say what has happened, and to save it.
PATIENCE_SECONDS = 5.0
# Exit codes with which all of them may end at the same step.
AGREED = (0, InterruptedRunError.exit_code)
# What srun and mpiexec answer for a process that was killed.
KILLED = 137
PATIENCE_WITH_A_SAVE = {DivergedError.exit_code: 600.0}


class _Quiet(io.StringIO):
    """Keeps the last line that was written to it."""

    last = ""

    def write(self, text: str) -> int:
        self.last = text.strip() or self.last
        return len(text)


class _Watch:
    """Notices, in a thread of its own, that a rank on this machine is no more.

    Args:
        ranks: of this process; all of them make their watch at the same time.
        errors: where the line goes that says so.
    """

    def __init__(self, ranks: Ranks, errors: object) -> None:
        self._ranks, self._errors = ranks, errors
        self.over = False  # all have come to the same end, one a moment before the other
        # Two containers may have the same name and number their processes alike.
        here = (socket.gethostname(), os.stat("/proc/self/ns/pid").st_ino)
        self._places: dict[int, int] = {}
        for rank, (where, pid) in enumerate(ranks.collect((here, os.getpid()))):
            if where == here and rank != ranks.rank:
                with suppress(OSError):  # an old kernel: then there is no watch
                    self._places[os.pidfd_open(pid)] = rank
        if self._places:
            threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        poll = select.poll()
        for place in self._places:
            poll.register(place, select.POLLIN)
        ended = min(self._places[place] for place, _ in poll.poll())
        # Where somebody has failed or the launcher ends all, that is told and done by others, and
        # this process is gone before its time; of several that are left the first one speaks.
        sleep(2.0 + self._ranks.rank / 2)
        if self.over:
            return
        threading.Timer(PATIENCE_SECONDS, os._exit, (KILLED,)).start()  # if aborting hangs, too
        sys.stderr = self._errors
        emit_error(
            KILLED,
            f"rank {ended} of {self._ranks.size} was killed, perhaps for its memory; the others "
            "end with it. What was saved is kept, and train --resume goes on from there.",
            as_json=False,
        )
        self._ranks.abort(KILLED)


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
    watch = _Watch(ranks, errors)

    def end(code: int) -> None:
        if ranks.size == 1:
            return
        if ranks.together and code in AGREED:
            watch.over = True
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
