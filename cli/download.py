"""`nnlab download`."""

from typing import Annotated

import typer

from nnlab.cli.options import AsJson, Root
from nnlab.cli.output import Output


def command(
    names: Annotated[
        list[str], typer.Argument(help="Known data sets; see nnlab datasets.", metavar="NAME...")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            metavar="URL or DIR",
            help="Take the files from here instead of the usual mirrors.",
        ),
    ] = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the files of known data sets and verify them.

    A file gets its name only after its checksum was found right; files that are there already
    are verified and kept. A mirror may hold copies that somebody compressed anew: the content
    counts. Exits with 69 if a file cannot be had.

    [bold]Examples[/bold]

    nnlab download fashion-mnist

    nnlab download mnist fashion-mnist --root /scratch/data

    nnlab download fashion-mnist --source https://mirror.example.org/fashion-mnist/

    nnlab download fashion-mnist --source /usr/share/datasets/fashion-mnist
    """
    from nnlab.cli.counter import Counter
    from nnlab.datasets.card import find_card
    from nnlab.datasets.download import download
    from nnlab.datasets.roots import files_folder

    out = Output(as_json)
    cards = [find_card(name) for name in names]
    record = {}
    for card in cards:
        folder = files_folder(card.name, root)
        with Counter(card.name, "B") as counter:
            files = download(card, root, source, counter.show_part)
        record[card.name] = {"folder": str(folder), "files": files}
        out.table(card.title, ["file", ""], [[name, what] for name, what in files.items()], left=2)
        out.line(f"-> {folder}")
    out.result({"downloads": record})
