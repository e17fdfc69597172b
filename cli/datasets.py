"""`nnlab datasets`."""

from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson, Root
from nnlab.cli.output import Output, percent


def command(
    name: Annotated[
        str | None,
        typer.Argument(help="Show all that is known about this data set.", metavar="NAME"),
    ] = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """List the known data sets and what is on this machine.

    [bold]Examples[/bold]

    nnlab datasets

    nnlab datasets fashion-mnist

    nnlab datasets --json
    """
    from nnlab.datasets.catalogue import describe, describe_all
    from nnlab.datasets.roots import data_root

    out = Output(as_json)
    if name is not None:
        entry = describe(name, root)
        _show_card(entry, out)
        out.result(entry)
        return
    entries = describe_all(root)
    out.table(
        "",
        ["name", "title", "format", "classes", "image", "downloaded", "prepared"],
        [
            [
                entry["name"],
                entry["title"],
                entry["format"],
                len(entry["classes"]),
                " x ".join(map(str, entry["image_shape"])),
                _yes(entry["downloaded"]),
                _yes(entry["prepared"] is not None),
            ]
            for entry in entries
        ],
        left=3,
    )
    out.line(f"data folder: {data_root(root)}")
    out.result({"root": str(data_root(root)), "datasets": entries})


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
        "downloaded": _yes(entry["downloaded"]),
        "prepared": entry["prepared"] or "no",
    }
    out.table(entry["name"], ["", ""], [[key, value] for key, value in lines.items()], left=2)
    if entry["files"]:
        out.table(
            "files",
            ["name", "bytes as published", "verified by"],
            [
                [file["name"], f"{file['size']:,}" if file["size"] else "-", file["verified_by"]]
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
