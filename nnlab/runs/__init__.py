"""Run files: what a run leaves behind, sealed, and listings of many."""

from nnlab.runs.run import Run, open_run

__all__ = ["Run", "open_run"]
