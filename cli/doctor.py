"""`nnlab doctor`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson, Root
from nnlab.cli.output import Output

# What it means that there is no value.
ABSENT = {
    "control_group": "no limit",
    "slurm_cpus_per_task": "not set",
    "omp_num_threads": "not set",
}
# Facts that are sizes in bytes.
BYTES = {("memory", "total"), ("memory", "available"), ("memory", "control_group")}


def command(
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Time a matrix product too, and check it; a second."),
    ] = False,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Show what this machine gives nnlab to work with.

    Software, processor, the BLAS kernel in force and why, threads and where their number comes
    from, memory, folders and their free space, optional parts. What is wrong is said as a warning.

    [bold]Examples[/bold]

    nnlab doctor

    nnlab doctor --measure --json
    """
    from nnlab.datasets.roots import data_root
    from nnlab.diagnosis import diagnose

    out = Output(as_json)
    found = diagnose({"data": data_root(root), "current": Path.cwd()}, measure)
    rows = [
        [
            section.replace("_", " ") if first else "",
            name.replace("_", " "),
            _text(section, name, value),
        ]
        for section, facts in found.facts.items()
        for first, (name, value) in zip([True] + [False] * len(facts), facts.items(), strict=False)
    ]
    out.table("", ["part", "", "found"], rows, left=3)
    for warning in found.warnings:
        out.warn(warning)
    out.result(found.record())


def _text(section: str, name: str, value: Any) -> str:
    if value is None:
        return ABSENT.get(name, "-")
    if section == "folders":
        state = "writable" if value["writable"] else "not writable"
        new = "" if value["exists"] else "not there yet, "
        return f"{value['path']} ({new}{state}, {_size(value['free'])} free)"
    if section == "optional":
        found = value["version"] or f"missing: {value['install']}"
        return f"{found} ({value['purpose']})"
    if (section, name) in BYTES:
        return _size(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _size(count: int | None) -> str:
    return "-" if count is None else f"{count / 2**30:.1f} GiB"
