"""The entry of the program: signals first, then everything else."""

import sys

from nnlab.cli import early


def main() -> int:
    """Run the command line and return its exit code."""
    early.open_streams()
    early.listen(sys.argv[1:])
    from nnlab.cli.main import main as run

    early.ready()
    return run()
