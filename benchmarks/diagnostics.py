"""What looking inside costs: the share of training time that sampled diagnostics take.

    python benchmarks/diagnostics.py [--output FILE.json] [--rounds 15] [--rows 2,5]

The networks of `training.py` train in nnlab's real trainer, once as always and once without the
gradient norms, update ratios, shares of dead and saturated units and the rules that warn. The two
take turns in blocks that hold as many sampled steps as training does (`nnlab.training.watch`).
"""

from nnlab.machine import choose_blas_kernel, limit_blas_threads, thread_count

choose_blas_kernel()

import argparse  # noqa: E402
import json  # noqa: E402
import statistics  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from frameworks import CLASSES, nnlab  # noqa: E402
from training import IMAGES, ROWS, timed  # noqa: E402

from nnlab.training.watch import EVERY  # noqa: E402

TARGET = 0.01
RESULTS = Path(__file__).parent / "results" / "diagnostics.json"
SAMPLES = 4  # in a block
# The first steps are sampled more often than the others.
WARM_UP = 2 * EVERY


def measure(number: int, rounds: int, threads: int) -> dict[str, Any]:
    row = ROWS[number]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, row.inputs), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, IMAGES)
    runs = {
        watched: nnlab(row, images, labels, threads, watched=watched) for watched in (True, False)
    }
    steps = SAMPLES * EVERY
    for run in runs.values():
        run(WARM_UP)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(rounds):
        for watched in (True, False) if turn % 2 else (False, True):
            seconds[watched].append(timed(runs[watched], steps))
    ratios = [a / b for a, b in zip(seconds[True], seconds[False], strict=True)]
    return {
        "row": str(row),
        "milliseconds_of_a_step": 1000 * statistics.median(seconds[True]) / steps,
        "share": statistics.median(ratios) - 1,
        "blocks": {"with": seconds[True], "without": seconds[False]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--rounds", type=int, default=15, help="turns of every row")
    parser.add_argument("--rows", default="1,2,3,5", help="numbers of `training.py`'s rows")
    arguments = parser.parse_args()
    threads = thread_count()
    limit_blas_threads(threads)
    records = []
    print(f"{'inputs, hidden, batch, optimizer':36}{'ms a step':>10}{'diagnostics':>13}")
    for number in arguments.rows.split(","):
        record = measure(int(number), arguments.rounds, threads)
        mark = "ok" if record["share"] < TARGET else f"not below {TARGET:.0%}"
        step, share = record["milliseconds_of_a_step"], record["share"]
        print(f"{record['row']:36}{step:10.3f}{share:13.2%} {mark}", flush=True)
        records.append(record)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main()
