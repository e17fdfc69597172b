"""`nnlab datasets`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson, Root
from nnlab.cli.output import Output, percent


def command(
    name: Annotated[
        str | None,
        typer.Argument(help="Show all that is known about this data set.", metavar="NAME"),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="Check a card of your own instead, with one line for each of its faults.",
        ),
    ] = None,
    root: Root = None,
    as_json: AsJson = False,
) -> int:
    """List the known data sets and what is on this machine.

    A data set is added by a card: a TOML file that names its files, their checksums, mirrors and
    format. nnlab's own are examples of it. Cards of your own belong into the folder that
    NNLAB_CARDS names, else into cards/ in nnlab's folder of your configuration.

    [bold]Examples[/bold]

    nnlab datasets

    nnlab datasets fashion-mnist

    nnlab datasets --card letters.toml

    nnlab datasets --json
    """
    from nnlab.datasets.catalogue import describe, describe_all
    from nnlab.datasets.roots import data_root

    out = Output(as_json)
    if card is not None:
        return _check(card, name, out)
    if name is not None:
        entry = describe(name, root)
        _show_card(entry, out)
        out.result(entry)
        return 0
    entries = describe_all(root)
    out.table(
        "",
        ["name", "title", "classes", "image", "here"],
        [
            [
                entry["name"],
                entry["title"],
                len(entry["classes"]),
                " x ".join(map(str, entry["image_shape"])),
                _here(entry),
            ]
            for entry in entries
        ],
        left=2,
    )
    out.line(f"data folder: {data_root(root)}")
    out.result({"root": str(data_root(root)), "datasets": entries})
    return 0


def _check(path: Path, name: str | None, out: Output) -> int:
    """Check a card; name each fault on a line of its own."""
    from nnlab.datasets.known import faults_of, own_cards_folder
    from nnlab.errors import FileFormatError, InputError

    if name is not None:
        raise InputError(f"--card {path} checks that card; leave out {name}.")
    faults = faults_of(path)
    out.result({"card": str(path), "faults": faults})
    for fault in faults:
        out.note(f"nnlab: {fault}")
    if faults:
        return FileFormatError.exit_code
    out.line(f"{path} is a good card; nnlab looks for such cards in {own_cards_folder()}")
    return 0


def _here(entry: dict[str, Any]) -> str:
    """Say what of a data set is on this machine, in a word that leaves room for its title."""
    if entry["prepared"] is not None:
        return "both" if entry["downloaded"] else "prepared"
    return "downloaded" if entry["downloaded"] else "-"


def _yes(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"


def _show_card(entry: dict[str, Any], out: Output) -> None:
    splits = ", ".join(f"{split} {count:,}" for split, count in entry["splits"].items())
    lines = {
        "title": entry["title"],
        "images": f"{' x '.join(map(str, entry['image_shape']))}; {splits}",
        "classes": f"{len(entry['classes'])}: {', '.join(entry['classes'])}",
        "format": f"{entry['format']} ({entry['reads']})",
        "licence": entry["licence"],
        "citation": entry["citation"],
        "home": entry["home"],
        "mirrors": ", ".join(entry["mirrors"]) or "-",
        "statistics": _statistics(entry["statistics"]),
        "downloaded": _yes(entry["downloaded"]),
        "prepared": entry["prepared"] or "no",
    }
    out.table(entry["name"], ["", ""], [[key, value] for key, value in lines.items()], left=2)
    if entry["files"]:
        out.table(
            "files",
            ["name", "bytes as published", "verified by"],
            [
                [
                    file["name"],
                    f"{file['size']:,}" if file["size"] else "-",
                    file["unverified"] or file["verified_by"],
                ]
                for file in entry["files"]
            ],
        )
    if entry["references"]:
        out.table(
            "reference accuracies on the test split",
            ["model", "source", "accuracy"],
            [[r["model"], r["source"], percent(r["accuracy"])] for r in entry["references"]],
            left=2,
        )


def _statistics(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    mean, std = ([f"{value:.4f}" for value in found[key]] for key in ("mean", "std"))
    return f"mean {', '.join(mean)}; deviation {', '.join(std)}; of pixels 0..1 ({found['source']})"
