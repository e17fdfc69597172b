"""The errors a user can cause or meet, one family with one base class.

    NnlabError                 catch this one to catch them all
    ├── InputError             exit code 2: wrong usage or bad input
    │   ├── FileFormatError    exit code 2: a file that is damaged, foreign or from a newer nnlab
    │   └── BusyError          exit code 2: another process is writing the file
    ├── DivergedError          exit code 3: training left the finite numbers
    ├── SourceError            exit code 69: a source could not be reached or did not verify
    ├── InterruptedRunError    exit code 75: stopped early, a checkpoint is saved
    ├── ClaimLostError         exit code 75: another process has taken the file over
    └── StoppedError           exit code 130: stopped by a signal, nothing is kept

Each message is one line that says what is wrong, where, and what to do about it. The command line
turns an error into that line and its exit code in one place (`nnlab.cli.main`). A mistake of a
programmer stays a `ValueError` or `TypeError` with a traceback.
"""

from typing import Any


class NnlabError(Exception):
    """Base of every error that a user can cause.

    Args:
        message: one line.
        **details: what a script may want to know, as plain values; part of the error with --json.

    Attributes:
        exit_code: what the command returns.
        details: as given.
    """

    exit_code = 1

    def __init__(self, message: str = "", **details: Any) -> None:
        super().__init__(message)
        self.details = details


class InputError(NnlabError):
    """Wrong usage or bad input."""

    exit_code = 2


class FileFormatError(InputError):
    """A file that is not what it should be: damaged, foreign, or written by a newer version."""


class BusyError(InputError):
    """Another process is writing the file that was to be written."""


class DivergedError(NnlabError):
    """Training diverged; the last good state is kept in the run file."""

    exit_code = 3


class SourceError(NnlabError):
    """A source of data could not be reached, or what it sent did not verify."""

    exit_code = 69


class InterruptedRunError(NnlabError):
    """Stopped early by a signal or a time limit; a checkpoint is saved."""

    exit_code = 75


class ClaimLostError(NnlabError):
    """Another process has taken over the file that this one was writing; it was left alone."""

    exit_code = 75


class StoppedError(NnlabError):
    """Stopped by a signal with nothing to go on from."""

    exit_code = 130


class NnlabWarning(UserWarning):
    """Something that a user should know and may mend; the command goes on without it."""
