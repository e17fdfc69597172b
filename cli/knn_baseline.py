"""`nnlab knn-baseline`."""

import sys
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from nnlab.cli.output import Output, percent

SEARCH = "Search"
INSIGHT = "Looking inside"
SURROUNDINGS = "Run"
LINE_SECONDS = 10.0


def command(
    data: Annotated[
        str, typer.Argument(help="A data file, or the name of a known data set.", metavar="DATA")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="RUN.h5", help="Keep the result as a run file, for eval "
            "and predict.", rich_help_panel=SURROUNDINGS,
        ),
    ] = None,
    k: Annotated[
        str | None,
        typer.Option(
            metavar="K,...", help="Numbers of neighbours to try. \\[default: 1,3,5,7,9,11,15,21]",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="Distance: l1, l2, cosine or linf.", rich_help_panel=SEARCH)
    ] = "l1",
    weights: Annotated[
        str,
        typer.Option(
            help="Votes: uniform, or distance for 1 / distance.", rich_help_panel=SEARCH
        ),
    ] = "uniform",
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="F",
            help="Folds of the cross-validation that chooses k; 0 for none, then the first k is "
            "the run's. \\[default: 5, and 0 where there is one k]",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="The split to test on.", rich_help_panel=SEARCH)
    ] = "test",
    limit_train: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Use a stratified part of N training images.", rich_help_panel=SEARCH
        ),
    ] = None,
    limit_test: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Test on a stratified part of N images.", rich_help_panel=SEARCH
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Which images go to which part.", rich_help_panel=SEARCH)
    ] = 0,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Compute with so many threads. \\[default: what the process may use]",
            rich_help_panel=SURROUNDINGS,
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where known data sets lie. \\[default: NNLAB_DATA or the user's data folder]",
            rich_help_panel=SURROUNDINGS,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace existing files.", rich_help_panel=SURROUNDINGS),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object on stdout.", rich_help_panel=SURROUNDINGS
        ),
    ] = False,
) -> None:  # fmt: skip
    """Classify by the nearest training images.

    Compares every image of a split with every training image, pixel by pixel, and lets the k
    nearest vote. The search is exact: nearer first, then the lower training index; the class with
    the most votes wins, of equals the smallest. k is chosen by cross-validation on the whole
    training split; the tested split has no say in it.

    [bold]Examples[/bold]

    nnlab knn-baseline fashion.h5

    nnlab knn-baseline fashion.h5 --metric l2 --k 1 -o knn.h5 --json

    nnlab knn-baseline photos.h5 --k 1,5,10,20 --weights distance --limit-train 5000
    """
    from nnlab.atomic import refuse_existing
    from nnlab.datasets import find_data, open_data
    from nnlab.neighbors import Settings, baseline
    from nnlab.neighbors.baseline import DEFAULT_KS

    out = Output(as_json)
    settings = Settings(
        ks=DEFAULT_KS if k is None else _numbers(k),
        metric=metric, weights=weights, folds=folds, limit_train=limit_train,
        limit_test=limit_test, seed=seed, threads=threads,
    )  # fmt: skip
    for path in (output,):
        if path is not None:
            refuse_existing(path, force)
    with open_data(find_data(data, root, out.note)) as file:
        train, test = file.split("train"), file.split(split)
        with SearchProgress() as progress:
            result = baseline(
                (train.images, train.labels), (test.images, test.labels), len(file.classes),
                settings, progress,
            )  # fmt: skip
        record = {"data": file.name, "split": split, **result.record()}
        if output is not None:
            _save(output, file, split, settings, result)
            record["run"] = str(output)
    _show(out, record)
    out.result(record)


def _numbers(text: str) -> tuple[int, ...]:
    from nnlab.errors import InputError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--k {text}: expected whole numbers separated by commas, such as 1,3,5."
        ) from None


def _save(output: Path, file: Any, split: str, settings: Any, result: Any) -> None:
    from nnlab.runs import Run

    path = str(file.path.resolve())
    run = Run(
        kind="knn",
        command=["nnlab", *sys.argv[1:]],
        config={"data": path, "split": split, **settings.record()},
        classes=list(file.classes),
        spec=result.spec(path, file.name, file.checksum),
    )
    run.arrays.update(result.arrays())
    run.evaluations[file.name, split] = result.metrics
    run.save(output)


def _show(out: Output, record: dict[str, Any]) -> None:
    validation = record["cross_validation"]
    rows = []
    for k, accuracy in record["accuracy_by_k"].items():
        folds = validation.get(k)
        mean = percent(sum(folds) / len(folds)) if folds else "-"
        chosen = "*" if int(k) == record["k"] else ""
        rows.append([k, mean, percent(accuracy), chosen])
    title = f"{record['data']}: {record['metric']}, {record['weights']} votes"
    out.table(title, ["k", "cross-validation", record["split"], "chosen"], rows, left=0)
    out.line(
        f"k = {record['k']}: {record['correct']:,} of {record['n']:,} right "
        f"({percent(record['accuracy'])}) against {record['train_images']:,} training images, "
        f"{record['seconds']:.1f} s, {record['queries_per_second']:,.0f} queries/s"
        + (f" -> {record['run']}" if "run" in record else "")
    )


class SearchProgress:
    """Progress and time left of a search: a bar on a terminal, a sparing line elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._begun = self._last = monotonic()

    def __enter__(self) -> "SearchProgress":
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=0, unit="pair", unit_scale=True, leave=False, dynamic_ncols=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` pairs have been compared."""
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)
            return
        now = monotonic()
        if now - self._last >= LINE_SECONDS and done:
            self._last = now
            left = (now - self._begun) * (total - done) / done
            share = 100 * done / total
            print(f"nearest neighbours: {share:.0f} %, about {left:.0f} s left",  # noqa: T201
                  file=sys.stderr, flush=True)  # fmt: skip
