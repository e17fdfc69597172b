"""Show how large each layer's gradient was while runs trained: python3 gradients.py RUN.h5 ..."""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

import nnlab

STEPS = (0, 64, 1024)  # before anything is learned, soon after, and when learning is under way

for path in map(Path, sys.argv[1:]):
    run = nnlab.open_run(path)
    sampled = run.history["sampled"]
    steps = sampled["step"].tolist()
    places = [steps.index(step) for step in STEPS if step in steps]
    table = Table(
        "layer",
        *(f"step {steps[place]}" for place in places),
        title=f"{path.name}: root mean square gradient of each W",
        title_justify="left",
    )
    sizes = {
        name.split("/")[1]: values.size
        for name, values in run.arrays.items()
        if name.startswith("weights/") and name.endswith("/W")
    }
    rows = {
        layer: [sampled[f"gradient_norm_{layer}"][place] / size**0.5 for place in places]
        for layer, size in sorted(sizes.items(), key=lambda item: int(item[0].split("_")[0]))
    }
    for layer, values in rows.items():
        table.add_row(layer, *(f"{value:.2e}" for value in values))
    first, *_, last = rows.values()
    ratios = [f"{one / other:.2g}" for one, other in zip(first, last, strict=True)]
    table.add_row("first / last", *ratios, style="bold")
    Console().print(table)
    accuracy = float(run.attributes["result"]["val_accuracy"])
    Console().print(f"validation accuracy {accuracy:.2%}\n", highlight=False)
