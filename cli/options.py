"""Options that several commands have: one meaning, one wording, one panel of the help page."""

from pathlib import Path
from typing import Annotated

import typer

GENERAL = "General"

Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=4096,
        help="Compute with so many threads. \\[default: what the process may use]",
        rich_help_panel=GENERAL,
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where known data sets lie. \\[default: NNLAB_DATA or the user's data folder]",
        rich_help_panel=GENERAL,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace existing files.", rich_help_panel=GENERAL)
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=GENERAL),
]
Mpi = Annotated[
    bool,
    typer.Option(
        "--mpi",
        help="Share the work among the processes that mpiexec or srun has started.",
        rich_help_panel=GENERAL,
    ),
]
