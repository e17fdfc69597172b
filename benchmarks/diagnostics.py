"""What looking inside costs: the share of training time that sampled diagnostics take.

    python benchmarks/diagnostics.py [--output FILE.json] [--seconds 10] [--rows 2,5]

The networks of `training.py` train in nnlab's real trainer, on as many images as Fashion-MNIST has.
A clock runs while gradient norms, update ratios and shares of dead and saturated units are taken
and the rules that warn are asked (`nnlab.training.watch`, `nnlab.training.advice`). Whole epochs
are measured, after one in which the first steps, sampled more often, are over.
"""

from nnlab.machine import choose_blas_kernel, limit_blas_threads, thread_count

choose_blas_kernel()

import argparse  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from frameworks import CLASSES, nnlab  # noqa: E402
from training import ROWS  # noqa: E402

from nnlab.training.trainer import Trainer  # noqa: E402
from nnlab.training.watch import Watch  # noqa: E402

TARGET = 0.01
RESULTS = Path(__file__).parent / "results" / "diagnostics.json"
IMAGES = 54_000
DIAGNOSTICS = {
    Watch: ("gradients", "before_update", "update", "units", "keep"),
    Trainer: ("_judge_epoch",),
}


class Clock:
    """Adds up what the diagnostics take, by the name of the method."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        for owner, names in DIAGNOSTICS.items():
            for name in names:
                setattr(owner, name, self._timed(name, getattr(owner, name)))

    def _timed(self, name: str, method: Any) -> Any:
        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = method(*arguments)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            return result

        return timed


def measure(number: int, seconds: float, clock: Clock) -> dict[str, Any]:
    row = ROWS[number]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, row.inputs), dtype=np.uint8)
    run = nnlab(row, images, rng.integers(0, CLASSES, IMAGES), thread_count())
    steps, epochs = -(-IMAGES // row.batch), 0
    run(steps)
    clock.seconds.clear()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        run(steps)
        epochs += 1
    whole = time.perf_counter() - start
    return {
        "row": str(row),
        "epochs": epochs,
        "milliseconds_of_a_step": 1000 * whole / epochs / steps,
        "share": sum(clock.seconds.values()) / whole,
        "shares": {name: spent / whole for name, spent in clock.seconds.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--seconds", type=float, default=10, help="of every row, at least")
    parser.add_argument("--rows", default="0,1,2,3,5", help="numbers of `training.py`'s rows")
    arguments = parser.parse_args()
    limit_blas_threads(thread_count())
    records, clock = [], Clock()
    print(f"{'inputs, hidden, batch, optimizer':36}{'ms a step':>10}{'diagnostics':>13}")
    for number in arguments.rows.split(","):
        record = measure(int(number), arguments.seconds, clock)
        mark = "ok" if record["share"] < TARGET else f"not below {TARGET:.0%}"
        step, share = record["milliseconds_of_a_step"], record["share"]
        print(f"{record['row']:36}{step:10.3f}{share:13.2%} {mark}", flush=True)
        records.append(record)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main()
