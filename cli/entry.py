"""The entry of the program: signals first, then everything else."""

import gc
import sys

from nnlab.cli import early


def main() -> int:
    """Run the command line and return its exit code."""
    early.open_streams()
    early.listen(sys.argv[1:])
    from nnlab.cli.main import main as run

    early.ready()
    code = run()
    # The interpreter would look through everything for what could be freed before it ends, which
    # takes a quarter of a second with Numba loaded; the system frees it at once.
    gc.freeze()
    return code
