"""`nnlab runs`."""

import csv
import io
from pathlib import Path
from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson, Force
from nnlab.cli.output import Output, write_csv
from nnlab.texts import counted


def command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run files, or folders to search. \\[default: the current folder]",
            metavar="PATH",
            show_default=False,
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Sort by run, model, data, best_epoch, val_accuracy, seconds, created, a split "
            "such as test, or a setting such as lr. Accuracies and dates begin with the highest.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Only runs such as model=mlp, data=fashion*, val_accuracy>0.9, lr<=0.01; several "
            "conditions must all hold.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Show only the first N.")
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Turn the order round.")] = False,
    csv_file: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE", help="Write a CSV file; - for stdout."),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Check every byte of every file; else only what the table shows."
        ),
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Compare runs in one table.

    Shows what each run is, the settings in which it differs from the others of its kind, the best
    epoch, and the accuracy on the validation images and on every split that was evaluated. Files
    that cannot be read are named and left out.

    [bold]Examples[/bold]

    nnlab runs

    nnlab runs demo softmax.h5 --sort test

    nnlab runs studies --sort lr --csv runs.csv

    nnlab runs studies --where model=mlp --where 'lr<=0.01' --sort val_accuracy --limit 10
    """
    from nnlab.atomic import refuse_existing
    from nnlab.errors import InputError
    from nnlab.runs.filters import choose_runs, parse_condition
    from nnlab.runs.listing import differing_settings, find_runs, sort_runs, splits_of

    to_stdout = csv_file == "-"
    out = Output(as_json)
    if to_stdout and as_json:
        raise InputError("--csv - and --json would both write to stdout; name a CSV file.")
    if csv_file is not None and not to_stdout:
        refuse_existing(Path(csv_file), force)
    conditions = [parse_condition(text) for text in where or []]
    rows, broken = find_runs(paths or [Path()], verify)
    if csv_file is not None and not to_stdout:
        refuse_existing(Path(csv_file), force, *(row.path for row in rows))
    for file in broken:
        out.warn(file.reason)
    found = len(rows)
    rows = choose_runs(rows, conditions)
    if sort is not None or reverse:
        rows = sort_runs(rows, sort or "run", reverse)
    rows = rows[:limit]
    settings, splits = differing_settings(rows), splits_of(rows)
    if csv_file is not None:
        text = _csv(rows, settings, splits)
        write_csv(csv_file, text)
    if not to_stdout:
        if found and not rows:
            out.note(f"none of {found:,} runs fulfils {' and '.join(where or [])}.")
        else:
            _show(out, rows, splits)
    out.result(
        {
            "runs": [
                {**row.record(), "settings": own} for row, own in zip(rows, settings, strict=True)
            ],
            "broken": [{"path": str(file.path), "reason": file.reason} for file in broken],
        }
    )


def _show(out: Output, rows: Any, splits: list[str]) -> None:
    from nnlab.runs.listing import differing_settings

    if not rows:
        out.note("no run files found.")
        return
    settings = [_settings(own) for own in differing_settings(rows, only_unusual=True)]
    folders, data = {row.path.parent for row in rows}, {row.data for row in rows}
    # What all rows share stands above the table once.
    shown = {
        "run": [row.path.name if len(folders) == 1 else str(row.path) for row in rows],
        "model": [row.model for row in rows],
        "data": [row.data for row in rows] if len(data) > 1 else None,
        "settings": settings if any(settings) else None,
    }
    texts = {name: cells for name, cells in shown.items() if cells is not None}
    numbers = {
        "best\nepoch": ["-" if row.best_epoch is None else row.best_epoch for row in rows],
        "val": [_share(row.val_accuracy) for row in rows],
        **{
            label.replace("_", "_\n"): [_share(row.column(label)) for row in rows]
            for label in splits
        },
        "seconds": ["-" if row.seconds is None else f"{row.seconds:.1f}" for row in rows],
    }
    title = "1 run" if len(rows) == 1 else f"{len(rows):,} runs"
    if len(folders) == 1 and (folder := folders.pop()) != Path():
        title += f" in {folder}"
    if len(data) == 1:
        title += f", trained on {data.pop()}"
    out.line(f"{title}; accuracies in %")
    columns = texts | numbers
    out.table("", list(columns), list(zip(*columns.values(), strict=True)), left=len(texts))
    for row in rows:
        if not row.finished:
            how = "diverged" if row.diverged else "not finished"
            out.line(f"{how}: {row.path}, {counted(row.epochs, 'epoch')} done")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _settings(own: dict[str, Any]) -> str:
    parts = []
    for name, value in own.items():
        if value in (None, "", "none"):
            continue
        if isinstance(value, list):
            value = ",".join(map(str, value))
        if isinstance(value, float):
            value = f"{value:g}"
        parts.append(name if value is True else f"{name}={'no' if value is False else value}")
    return " ".join(parts)


def _csv(rows: Any, settings: Any, splits: list[str]) -> str:
    from nnlab.runs.listing import COLUMNS

    names = list(dict.fromkeys(name for own in settings for name in own))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    # A run has an --epochs as it has epochs done: no two columns share a name.
    taken = {*COLUMNS, *splits}
    titles = [f"option_{name}" if name in taken else name for name in names]
    writer.writerow([*COLUMNS, *splits, *titles])
    for row, own in zip(rows, settings, strict=True):
        writer.writerow(
            [row.column(name) for name in (*COLUMNS, *splits)] + [own.get(name) for name in names]
        )
    return text.getvalue()
