"""`nnlab report`."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson, Force
from nnlab.cli.output import Output


def command(
    runs: Annotated[
        list[Path], typer.Argument(help="One or several run files.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.html", help="The page to write.")
    ] = Path("report.html"),
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DATA.h5",
            help="A data file to take pictures of mistakes from, where a run's own has moved or "
            "another was measured.",
            show_default=False,
        ),
    ] = None,
    title: Annotated[str, typer.Option(help="Of the page. \\[default: the runs' names]")] = "",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make one page of curves, weights and mistakes of runs.

    The page is one file that asks the network for nothing: what was trained on what, loss and
    accuracy curves, gradients, updates and units of every layer, the first layer's weights as
    pictures, confusion, calibration, the most confident mistakes. Several runs are compared: their
    curves together, and what differs in settings and results. Results on test images come from
    nnlab eval.

    [bold]Examples[/bold]

    nnlab report mlp.h5

    nnlab report softmax.h5 svm.h5 mlp.h5 -o comparison.html

    nnlab report mlp.h5 --data moved/fashion.h5 --title 'Clothes' -o clothes.html --force
    """
    from nnlab.atomic import refuse_existing
    from nnlab.report import write_report
    from nnlab.runs import open_run

    out = Output(as_json)
    refuse_existing(output, force, *runs, *(data or []))
    loaded = [open_run(path) for path in _once(runs)]
    with ExitStack() as stack:
        write_report(output, loaded, _finder(data or [], stack), title)
    out.line(f"{len(loaded)} {'run' if len(loaded) == 1 else 'runs'} -> {output}")
    out.result({"report": str(output), "runs": [str(run.path) for run in loaded]})


def _once(paths: list[Path]) -> list[Path]:
    return list({path.absolute(): path for path in paths}.values())


def _finder(named: list[Path], stack: ExitStack) -> Callable[[Any], Any]:
    """Return what finds a run's images: in a data file that was named, else in the run's own."""
    from nnlab.datasets import open_data
    from nnlab.errors import InputError
    from nnlab.evaluation import data_of
    from nnlab.report import Pictures

    given = [stack.enter_context(open_data(path)) for path in named]

    def pictures(file: Any) -> Any:
        splits = {split: file.split(split).images for split in file.splits}
        return Pictures(file.name, splits)

    def find(run: Any) -> Any:
        about = run.spec.get("data")
        about = about if isinstance(about, dict) else {}
        name = str(about.get("name", run.config.get("data", "")))
        checksum = about.get("checksum", run.config.get("data_checksum"))
        evaluated = {data for data, _ in run.evaluations}
        for file in given:
            if file.checksum == checksum or file.name in evaluated:
                return pictures(file)
        if given:
            return Pictures(name, {}, "The data that was named is not what was measured.")
        path = Path(data_of(run))
        try:
            file = stack.enter_context(open_data(path))
        except InputError:
            return Pictures(
                name, {}, f"The data file {path} is not there; nnlab report --data names another."
            )
        if file.checksum != checksum:
            return Pictures(name, {}, f"The content of {path} has changed since the run.")
        return pictures(file)

    return find
