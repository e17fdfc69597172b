"""`nnlab download`."""

import sys
from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson, Root
from nnlab.cli.output import Output

NETWORK = "Network"
# What a stop leaves behind.
KEPT = "what has come is kept, and the same command goes on from there."


def command(
    names: Annotated[
        list[str], typer.Argument(help="Known data sets; see nnlab datasets.", metavar="NAME...")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            metavar="URL or DIR",
            help="Take the files from here instead of the usual mirrors.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1,
            metavar="SECONDS",
            help="Give a connection up after so long without data, or with next to none.",
            rich_help_panel=NETWORK,
        ),
    ] = 30.0,
    tries: Annotated[
        int,
        typer.Option(
            min=1,
            help="Attempts at one mirror that bring nothing new before the next one's turn.",
            rich_help_panel=NETWORK,
        ),
    ] = 5,
    retry_wait: Annotated[
        float,
        typer.Option(
            min=0.0,
            metavar="SECONDS",
            help="Wait so long before the second try, twice as long before the third, ...",
            rich_help_panel=NETWORK,
        ),
    ] = 1.0,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the files of known data sets and verify them.

    A file gets its name only after its checksum was found right; files that are there already
    are verified and kept. What a broken connection leaves is kept, too: the same command goes on
    from there. A mirror that fails is followed by the next. A mirror may hold copies that
    somebody compressed anew: the content counts. Processes that ask for the same set at once
    fetch it once. Proxies are taken from HTTPS_PROXY, HTTP_PROXY and NO_PROXY. Exits with 69 if a
    file cannot be had.

    [bold]Examples[/bold]

    nnlab download fashion-mnist

    nnlab download mnist fashion-mnist --root /scratch/data

    nnlab download fashion-mnist --source https://mirror.example.org/fashion-mnist/

    nnlab download fashion-mnist --source /usr/share/datasets/fashion-mnist
    """
    from nnlab.cli.counter import Counter
    from nnlab.cli.signals import stopped_in_a_line
    from nnlab.datasets.download import download
    from nnlab.datasets.fetching.patience import Patience
    from nnlab.datasets.fetching.verify import is_proven, verified_by
    from nnlab.datasets.known import find_card
    from nnlab.datasets.roots import files_folder

    out = Output(as_json)
    patience = Patience(
        connect=min(timeout, Patience.connect), stall=timeout, tries=tries, pause=retry_wait
    )
    cards = [find_card(name) for name in names]
    record = {}
    for card in cards:
        folder = files_folder(card.files_name, root)
        with stopped_in_a_line(KEPT), Counter(card.name, "B") as counter:
            files = download(card, root, source, _watch(counter), patience)
        checks = {file.name: verified_by(file) for file in card.files}
        record[card.name] = {"folder": str(folder), "files": files, "verified_by": checks}
        out.table(
            card.title,
            ["file", "", "verified by"],
            [[name, what, checks[name]] for name, what in files.items()],
            left=3,
        )
        out.line(f"-> {folder}")
        for file in card.files:
            if not is_proven(file):
                out.warn(f"{file.name} is verified by {verified_by(file)}: {file.unverified}")
    out.result({"downloads": record})


def _watch(counter: Any) -> Any:
    """Show how a download goes; pauses only to somebody who looks on."""
    from nnlab.datasets.fetching.watch import Watch

    class Shown(Watch):
        def progress(self, file: str, done: int, total: int) -> None:
            counter.show_part(file, done, total)

        def pause(self, file: str, seconds: float, reason: str) -> None:
            if sys.stderr.isatty():
                counter.say(f"{file}: {reason}; the next try in {seconds:.0f} s")

        def waiting(self, owner: str) -> None:
            counter.say(f"waiting for {owner}, which is fetching the same files")

    return Shown()
