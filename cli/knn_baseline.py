"""`nnlab knn-baseline`."""

import contextlib
import sys
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson, Force, Mpi, Root, Threads
from nnlab.cli.output import Output, percent

SEARCH = "Search"
INSIGHT = "Looking inside"
RUN = "Run"
LINE_SECONDS = 10.0


def command(
    data: Annotated[
        str, typer.Argument(help="A data file, or the name of a known data set.", metavar="DATA")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="RUN.h5", help="Keep the result as a run file, for eval "
            "and predict.", rich_help_panel=RUN,
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
            "the run's. \\[default: the data's own folds, else 5; 0 where there is one k]",
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
    background: Annotated[
        bool,
        typer.Option(
            "--background", help="Explain the answers by border and centre of the images; for "
            "shapes also by swapped backgrounds and over the background bias.",
            rich_help_panel=INSIGHT,
        ),
    ] = False,
    background_plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="Draw the background report.", rich_help_panel=INSIGHT
        ),
    ] = None,
    ledger: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="INDEX", help="Show which pixels of this image of the tested split "
            "elected its answer.", rich_help_panel=INSIGHT,
        ),
    ] = None,
    ledger_plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="Draw the ledger (needs --ledger).", rich_help_panel=INSIGHT
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="Draw wrong and right answers with their neighbours.",
            rich_help_panel=INSIGHT,
        ),
    ] = None,
    neighbors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.h5", help="Keep every tested image's neighbours and distances.",
            rich_help_panel=INSIGHT,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Which images go to which part.", rich_help_panel=SEARCH)
    ] = 0,
    threads: Threads = None,
    root: Root = None,
    force: Force = False,
    mpi: Mpi = False,
    as_json: AsJson = False,
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

    nnlab knn-baseline shapes --k 5 --background --gallery gallery.png

    nnlab knn-baseline fashion.h5 --k 1 --ledger 12 --ledger-plot ledger.png
    """
    from nnlab.atomic import claim_result, refuse_existing
    from nnlab.cli.ranks import ranks_of, threads_of
    from nnlab.datasets import find_data, open_data
    from nnlab.errors import InputError
    from nnlab.neighbors import Settings, baseline
    from nnlab.neighbors.baseline import DEFAULT_KS
    from nnlab.neighbors.ledger import check_ledger

    ranks = ranks_of(mpi)
    out = Output(as_json)
    if ledger_plot is not None and ledger is None:
        raise InputError("--ledger-plot needs --ledger INDEX, the image to draw.")
    results = (output, background_plot, ledger_plot, gallery, neighbors)
    named = [path for path in results if path is not None]
    for path in named if ranks.speaks else ():
        refuse_existing(path, force, Path(data).expanduser())
        if named.count(path) > 1:
            raise InputError(f"{path} is named for two results; give each its own.")
    settings = Settings(
        ks=DEFAULT_KS if k is None else _numbers(k),
        metric=metric, weights=weights, folds=folds, limit_train=limit_train,
        limit_test=limit_test, seed=seed, threads=threads_of(ranks, threads) if mpi else threads,
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open_data(find_data(data, root, out.note)))
        held = None
        if output is not None and ranks.speaks:
            held = stack.enter_context(claim_result(output, "knn-baseline", force))
        train, test = _split(file, "train"), _split(file, split)
        if ledger is not None:
            check_ledger(metric, ledger, len(test[1]))
        with SearchProgress() as progress:
            given = file.split("train").folds
            result = baseline(train, test, len(file.classes), settings, progress, given, ranks)
        if not ranks.speaks:
            ranks.together = True
            return
        record = {"data": file.name, "split": split, **result.record()}
        words: list[str] = []
        if background or background_plot is not None:
            record["background"], lines = _background(file, split, result, background_plot)
            words += lines
        if ledger is not None:
            record["ledger"], lines = _ledger(file, split, result, ledger, ledger_plot)
            words += lines
        if gallery is not None:
            _draw_gallery(file, split, result, gallery)
            record["gallery"] = str(gallery)
        if neighbors is not None:
            from nnlab.neighbors.files import write_neighbors

            write_neighbors(neighbors, result, file.name, file.checksum, split, file.classes)
            record["neighbors"] = str(neighbors)
        if output is not None:
            _save(output, held, file, split, settings, result, record)
            record["run"] = str(output)
    _show(out, record, words)
    out.result(record)
    ranks.together = True


def _split(file: Any, name: str) -> tuple[Any, Any]:
    split = file.split(name)
    return split.images, split.labels


def _background(
    file: Any, split: str, result: Any, plot: Path | None
) -> tuple[dict[str, Any], list[str]]:
    """Make the background report; a data set with swapped backgrounds or a bias shows them."""
    from nnlab.neighbors.background import background, in_words

    swapped = f"{split}_swapped"
    train, test = _split(file, "train"), _split(file, split)
    other = _split(file, swapped) if swapped in file.splits else None
    with SearchProgress("border and centre") as progress:
        report = background(train, test, result, other, progress)
    curve = _bias_curve(file, result) if file.name == "shapes" else []
    record = report.record(file.classes)
    if curve:
        record["bias_curve"] = [
            {"bias": point.bias, "test": point.test, "test_swapped": point.swapped}
            for point in curve
        ]
    lines = in_words(report, file.classes)
    if plot is not None:
        from nnlab.neighbors.charts import draw_background
        from nnlab.neighbors.pictures import save_png

        title = f"Border and centre: {file.name}, {split}, k = {result.k}"
        save_png(draw_background(report, curve, title, lines), plot)
        record["plot"] = str(plot)
    return record, lines


def _bias_curve(file: Any, result: Any) -> Any:
    from nnlab.datasets import shapes
    from nnlab.neighbors.background import bias_curve

    settings = result.settings
    counts = {"train": 2000, "val": 10, "test": 500, "test_swapped": 500}
    return bias_curve(
        lambda bias: shapes.generate(settings.seed, bias, counts, file.image_shape[0]),
        result.with_k_alone(),
    )


def _ledger(
    file: Any, split: str, result: Any, index: int, plot: Path | None
) -> tuple[dict[str, Any], list[str]]:
    from nnlab.neighbors.ledger import ledger

    train, test = _split(file, "train"), _split(file, split)
    account = ledger(train, test, index, result)
    classes = list(file.classes)
    record = account.record(classes)
    if plot is not None:
        from nnlab.neighbors.gallery import draw_ledger
        from nnlab.neighbors.pictures import save_png

        save_png(draw_ledger(account, test[0][index], train[0], classes), plot)
        record["plot"] = str(plot)
    return record, account.in_words(classes)


def _draw_gallery(file: Any, split: str, result: Any, path: Path) -> None:
    from nnlab.neighbors.gallery import draw_gallery
    from nnlab.neighbors.pictures import save_png

    title = f"Nearest neighbours: {file.name}, {split}"
    page = draw_gallery(_split(file, "train"), _split(file, split), result, file.classes, title)
    save_png(page, path)


def _numbers(text: str) -> tuple[int, ...]:
    from nnlab.errors import InputError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--k {text}: expected whole numbers separated by commas, such as 1,3,5."
        ) from None


def _save(
    output: Path, held: Any, file: Any, split: str, settings: Any, result: Any,
    record: dict[str, Any],
) -> None:  # fmt: skip
    from nnlab.runs import Run

    path = str(file.path.resolve())
    run = Run(
        kind="knn",
        command=["nnlab", *sys.argv[1:]],
        config={"data": path, "split": split, **file.picture_options, **settings.record()},
        classes=list(file.classes),
        spec=result.spec(path, file.name, file.checksum),
    )
    run.arrays.update(result.arrays())
    run.attributes["result"] = {
        key: record[key] for key in ("accuracy", "k", "seconds", "cross_validation_seconds")
    }
    run.evaluations[file.name, split] = result.metrics
    run.save(output, held)


def _show(out: Output, record: dict[str, Any], words: list[str]) -> None:
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
    for line in words:
        out.line(line)
    for key in ("gallery", "neighbors"):
        if key in record:
            out.line(f"{key} -> {record[key]}")
    for key in ("background", "ledger"):
        if "plot" in record.get(key, {}):
            out.line(f"{key} -> {record[key]['plot']}")
    curve = record.get("background", {}).get("bias_curve", [])
    if curve:
        out.table(
            "accuracy over the background bias (2,000 training images)",
            ["bias", "test", "backgrounds swapped"],
            [[f"{p['bias']:g}", percent(p["test"]), percent(p["test_swapped"])] for p in curve],
            left=0,
        )


class SearchProgress:
    """Progress and time left of a search: a bar on a terminal, a sparing line elsewhere."""

    def __init__(self, what: str = "nearest neighbours") -> None:
        self._what = what
        self._bar: Any = None
        self._begun = self._last = monotonic()

    def __enter__(self) -> "SearchProgress":
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                desc=self._what,
                total=0,
                unit="pair",
                unit_scale=True,
                leave=False,
                dynamic_ncols=True,
            )
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
            print(f"{self._what}: {share:.0f} %, about {left:.0f} s left",  # noqa: T201
                  file=sys.stderr, flush=True)  # fmt: skip
