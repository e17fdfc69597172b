"""Training on a CPU: nnlab beside PyTorch, JAX and scikit-learn, and beside what is possible.

    python benchmarks/training.py [--output FILE.json] [--rounds 9] [--threads N] [--rows 0,3]

Images a second, forward + backward + update. Within a row the frameworks take turns in short
blocks, so that whatever else the machine does hits all of them; every figure is the median of the
blocks, every ratio the median of the ratios within a turn.

The roofline is the time of the bare matrix products of the same step, by NumPy with the BLAS's own
threads or by nnlab's team, whichever is quicker, plus the bytes that the
update must touch (momentum 20 a parameter, Adam 28) at the bandwidth that vectors of that length
reach in the same run.
"""

from nnlab.machine import choose_blas_kernel, limit_blas_threads, thread_count

BLAS = choose_blas_kernel()

import argparse  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import platform  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from importlib.metadata import PackageNotFoundError, version  # noqa: E402
from itertools import pairwise  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from frameworks import CLASSES, FRAMEWORKS, SCANNED, Row, Run  # noqa: E402

from nnlab.training.inference import BLOCK  # noqa: E402

GRAY, COLOUR = (28, 28, 1), (32, 32, 3)
ROWS = [
    Row(GRAY, (), 128, "momentum"),
    Row(GRAY, (100,), 128, "momentum"),
    Row(GRAY, (512, 256), 128, "momentum"),
    Row(GRAY, (512, 256), 128, "adam"),
    Row(COLOUR, (1024, 512), 256, "adam"),
    Row(COLOUR, (1024, 512), 256, "momentum"),
]
# The least that is asked of nnlab: ratios, and the share of the roofline from 512 units on.
TARGETS = {"momentum": {"JAX": 1.15, "PyTorch": 1.7}, "adam": {"JAX": 1.0, "PyTorch": 1.25}}
ROOFLINE_TARGET, ROOFLINE_FROM = 0.8, 512
EVALUATION_TARGET = 0.85
BYTES = {"momentum": 20, "adam": 28}

RESULTS = Path(__file__).parent / "results" / "training.json"
IMAGES = 20_000
BLOCK_SECONDS = 0.25
# Threads of a pool that has just worked spin for some milliseconds on cores that the next wants.
REST_SECONDS = 0.05
PACKAGES = ("numpy", "torch", "jax", "scikit-learn", "numba", "nnlab-toolkit")


def timed(run: Run, steps: int) -> float:
    time.sleep(REST_SECONDS)
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start


def calibrated(run: Run) -> int:
    """Warm up; return how many steps fill a block."""
    run(SCANNED)
    seconds = min(timed(run, SCANNED) for _ in range(3)) / SCANNED
    return max(1, round(BLOCK_SECONDS / seconds / SCANNED)) * SCANNED


@dataclass
class Contestant:
    """A framework ready to train one row.

    Attributes:
        idiom: the one of its idioms that was quickest.
        run: trains so many steps.
        steps: of one block.
    """

    idiom: str
    run: Run
    steps: int


def quickest(
    idioms: dict[str, Callable[..., Run]], row: Row, images: Any, labels: Any, threads: int
) -> Contestant | None:
    """Prepare every idiom of a framework and keep the quickest; None if it is not installed."""
    found: list[tuple[float, Contestant]] = []
    for idiom, prepare in idioms.items():
        try:
            run = prepare(row, images, labels, threads)
        except ImportError:
            return None
        steps = calibrated(run)
        seconds = statistics.median(timed(run, steps) for _ in range(3)) / steps
        found.append((seconds, Contestant(idiom, run, steps)))
    return min(found, key=lambda entry: entry[0])[1]


def bare_products(row: Row, inference: bool = False, team: bool = False) -> Run:
    """The matrix products of a step and nothing else, into arrays that are there already.

    Args:
        row: whose network.
        inference: those of a forward pass over a block of evaluation instead.
        team: computed by nnlab's team of threads, not by NumPy.
    """
    from nnlab.core.workers import at_work

    batch = BLOCK if inference else row.batch
    rng = np.random.default_rng(0)

    def array(*shape: int) -> Any:
        return rng.standard_normal(shape, np.float32)

    layers = []
    for index, (fan_in, fan_out) in enumerate(pairwise(row.widths)):
        x, w, dy = array(batch, fan_in), array(fan_in, fan_out), array(batch, fan_out)
        dx = array(batch, fan_in) if index else None
        y, dw = array(batch, fan_out), array(fan_in, fan_out)
        layers.append((x, w, np.zeros(fan_out, np.float32), y, dy, dw, dx))

    def with_numpy(steps: int) -> None:
        for _ in range(steps):
            for x, w, _, y, _, _, _ in layers:
                np.matmul(x, w, out=y)
            for x, w, _, _, dy, dw, dx in [] if inference else reversed(layers):
                np.matmul(x.T, dy, out=dw)
                if dx is not None:
                    np.matmul(dy, w.T, out=dx)

    def with_team(steps: int) -> None:
        with at_work() as workers:
            how, products = workers.how(layers[0][3]), workers.products
            for _ in range(steps):
                for x, w, b, y, _, _, _ in layers:
                    products.forward(*how, x, w, b, y, False)
                for x, w, b, _, dy, dw, dx in [] if inference else reversed(layers):
                    products.weight_gradient(*how, x, dy, dw, b)
                    if dx is not None:
                        products.input_gradient(*how, dy, w, dx, x, False)

    return with_team if team else with_numpy


def evaluation(row: Row, images: Any, labels: Any) -> Run:
    """What `eval` and `predict` do with images, block by block: ``run(blocks)``."""
    from nnlab.training.assembly import make_network
    from nnlab.training.images import ImageSet
    from nnlab.training.inference import scores_of
    from nnlab.training.settings import Settings
    from nnlab.training.standardization import Standardization

    hidden = ",".join(map(str, row.hidden)) or None
    settings = Settings(model="mlp" if row.hidden else "softmax", hidden=hidden)
    shaped = images.reshape(-1, *row.image_shape)
    fitted = Standardization.fit("channel", shaped, np.arange(1000))
    network, applier = make_network(settings, row.image_shape, CLASSES), fitted.applier("float32")
    whole = len(images) // BLOCK
    sets = {n: ImageSet.of(shaped[: n * BLOCK], labels[: n * BLOCK]) for n in range(1, whole + 1)}

    def run(blocks: int) -> None:
        while blocks:
            count = min(blocks, whole)
            scores_of(network, applier, sets[count])
            blocks -= count

    return run


def inference_share(row: Row, images: Any, labels: Any, rounds: int) -> float:
    """The rate of evaluation, as a share of that of its bare products."""
    ways = [bare_products(row, True, team) for team in (False, True)]
    run = evaluation(row, images, labels)
    steps = calibrated(run)
    for way in ways:
        way(SCANNED)
    shares = []
    for _ in range(rounds):
        products = min(timed(way, steps) for way in ways)
        shares.append(products / timed(run, steps))
    return statistics.median(shares)


def update_seconds(row: Row, threads: int) -> float:
    """Seconds in which the update's bytes move at the best bandwidth, on one thread or all.

    The vectors are as long as the network's and as many as the update touches: what fits into a
    cache may stay there, as it may in training.
    """
    size, streams = row.parameters, 3 if row.optimizer == "momentum" else 4
    vectors = [np.ones(size, np.float32) for _ in range(streams)]

    def pass_over(part: slice) -> int:
        for vector in vectors[1:]:
            np.add(vectors[0][part], vector[part], out=vector[part])
        return 12 * (part.stop - part.start) * len(vectors[1:])

    whole = [slice(0, size)]
    cuts = np.linspace(0, size, threads + 1).astype(int)
    parts = [slice(int(a), int(b)) for a, b in pairwise(cuts)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for pieces in (whole, parts):
            for _ in range(15):
                start = time.perf_counter()
                touched = sum(pool.map(pass_over, pieces))
                best = max(best, touched / (time.perf_counter() - start))
    return BYTES[row.optimizer] * size / best


def measure(row: Row, rounds: int, threads: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, row.inputs), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, IMAGES)
    contestants: dict[str, Contestant] = {}
    for name, idioms in FRAMEWORKS.items():
        prepared = quickest(idioms, row, images, labels, threads)
        if prepared is not None:
            contestants[name] = prepared
    ways = [bare_products(row, team=team) for team in (False, True)]
    product_steps = max(calibrated(way) for way in ways)
    update = update_seconds(row, threads)

    rates: dict[str, list[float]] = {name: [] for name in contestants}
    rates["roofline"] = []
    for turn in range(rounds):
        # Every turn begins with another framework.
        names = list(contestants)
        names = names[turn % len(names) :] + names[: turn % len(names)]
        for name in names:
            contestant = contestants[name]
            seconds = timed(contestant.run, contestant.steps)
            rates[name].append(row.batch * contestant.steps / seconds)
        seconds = min(timed(way, product_steps) for way in ways) / product_steps
        rates["roofline"].append(row.batch / (seconds + update))

    def against(name: str) -> float:
        return statistics.median(a / b for a, b in zip(rates["nnlab"], rates[name], strict=True))

    ratios = {name: against(name) for name in rates if name != "nnlab"}
    return {
        "inputs": row.inputs,
        "hidden": list(row.hidden),
        "batch": row.batch,
        "optimizer": row.optimizer,
        "parameters": row.parameters,
        "idioms": {name: contestant.idiom for name, contestant in contestants.items()},
        "images_per_second": {name: statistics.median(values) for name, values in rates.items()},
        "nnlab_against": ratios,
        "targets": targets(row),
        "evaluation_share_of_products": inference_share(row, images, labels, rounds),
        "update_milliseconds_at_bandwidth": 1000 * update,
        "blocks": rates,
    }


def targets(row: Row) -> dict[str, float]:
    wanted = dict(TARGETS[row.optimizer])
    if max(row.hidden, default=0) >= ROOFLINE_FROM:
        wanted["roofline"] = ROOFLINE_TARGET
    return wanted


def table(records: list[dict[str, Any]]) -> str:
    names = [*FRAMEWORKS, "roofline"]
    lines = [
        f"{'inputs, hidden, batch, optimizer':34}" + "".join(f"{name:>22}" for name in names),
    ]
    for record in records:
        hidden = "-".join(map(str, record["hidden"])) or "none"
        line = f"{record['inputs']}, {hidden}, {record['batch']}, {record['optimizer']}".ljust(34)
        for name in names:
            rate = record["images_per_second"].get(name)
            cell = "-" if rate is None else f"{rate / 1000:.1f} k"
            if rate is not None and name != "nnlab":
                ratio, wanted = record["nnlab_against"][name], record["targets"].get(name)
                mark = "" if wanted is None else (" ok" if ratio >= wanted else f" <{wanted}")
                cell += f" x{ratio:.2f}{mark}"
            line += f"{cell:>22}"
        share = record["evaluation_share_of_products"]
        mark = "ok" if share >= EVALUATION_TARGET else f"<{EVALUATION_TARGET}"
        lines.append(f"{line}   eval {share:.2f} of its products {mark}")
    return "\n".join(lines)


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--rounds", type=int, default=9, help="turns of every row")
    parser.add_argument("--threads", type=int, default=thread_count())
    parser.add_argument("--rows", help="numbers of rows from 0, such as 0,3")
    arguments = parser.parse_args()
    # JAX takes as many threads as there are cores that it may use.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    limit_blas_threads(arguments.threads)
    chosen = ROWS
    if arguments.rows:
        chosen = [ROWS[int(number)] for number in arguments.rows.split(",")]
    records = []
    for row in chosen:
        print(f"measuring {row} ...", file=sys.stderr, flush=True)
        records.append(measure(row, arguments.rounds, arguments.threads))
    print(
        "Images a second; x = nnlab's rate divided by that column's, with < its target if missed."
    )
    print(table(records))
    report = {
        "threads": arguments.threads,
        "blas_kernel": BLAS.kernel,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": versions(),
        "rows": records,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
