"""Show the gap between training and validation after the last epoch: python3 gap.py RUN.h5 ..."""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

import nnlab

table = Table(
    "hidden", "dropout", "l2", "train accuracy", "val accuracy", "gap",
    "train loss", "val loss", "best val loss",
)  # fmt: skip
for path in map(Path, sys.argv[1:]):
    run = nnlab.open_run(path)
    last = {name: float(values[-1]) for name, values in run.history["epoch"].items()}
    # Training accuracy is that of the epoch's steps: with dropout on, where there is dropout.
    table.add_row(
        run.config["hidden"], f"{run.config['dropout']:g}", f"{run.config['l2']:g}",
        f"{last['train_accuracy']:.1%}", f"{last['val_accuracy']:.1%}",
        f"{last['train_accuracy'] - last['val_accuracy']:+.1%}",
        f"{last['train_loss']:.3f}", f"{last['val_loss']:.3f}",
        f"{min(run.history['epoch']['val_loss']):.3f}",
    )  # fmt: skip
Console().print(table)
