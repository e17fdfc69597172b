"""`python -m nnlab.cli`, for where the console script is not on the path."""

import sys

from nnlab.cli.entry import main

sys.exit(main())
