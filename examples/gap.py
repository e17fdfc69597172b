"""Show the gap between training and validation images: python3 gap.py RUN.h5 ..."""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

import nnlab

table = Table("hidden", "dropout", "l2", "train", "val", "gap", "least val loss", "last val loss")
for path in map(Path, sys.argv[1:]):
    run = nnlab.open_run(path)
    # Of the best weights, with dropout switched off for both.
    train, val = (float(run.attributes["result"][f"{part}_accuracy"]) for part in ("train", "val"))
    losses = run.history["epoch"]["val_loss"]
    table.add_row(
        run.config["hidden"], f"{run.config['dropout']:g}", f"{run.config['l2']:g}",
        f"{train:.1%}", f"{val:.1%}", f"{train - val:+.1%}",
        f"{losses.min():.3f}", f"{losses[-1]:.3f}",
    )  # fmt: skip
Console().print(table)
