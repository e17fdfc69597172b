"""`nnlab gradcheck`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nnlab.cli.options import AsJson
from nnlab.cli.output import Output
from nnlab.cli.settings_options import resolve_settings, with_settings
from nnlab.training.settings import DESCENT


# How a model is trained makes no difference to its gradients.
@with_settings(leave_out=(DESCENT, "val", "limit_train", "augment", "dtype"))
def command(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]", help="A run file; without one, the options describe a fresh model."
        ),
    ] = None,
    settings: Any = None,
    shape: Annotated[
        str | None,
        typer.Option(metavar="HxWxC", help="Image shape of a fresh model. \\[default: 8x8x3]"),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=2, help="Classes of a fresh model. \\[default: 10]")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Random images to check on.")] = 8,
    entries: Annotated[
        int, typer.Option(min=0, help="Entries of each parameter to check, 0 for all.")
    ] = 100,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings from a TOML or run file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare analytic with numerical gradients, parameter by parameter, in float64.

    The relative error is |a - n| / max(|a|, |n|, a thousandth of the parameter's largest
    gradient); 1e-7 and below is right, 1e-2 is certainly wrong. Exits with 1 if a parameter fails.

    [bold]Examples[/bold]

    nnlab gradcheck --model mlp --hidden 20,10 --activation sigmoid --l2 0.1

    nnlab gradcheck mlp.h5 --entries 0
    """
    from nnlab.core.gradcheck import AGREEMENT
    from nnlab.errors import InputError
    from nnlab.runs import open_run
    from nnlab.training.checking import check_run, check_settings

    out = Output(as_json)
    limit = entries or None
    if run is not None:
        if set(settings) - {"seed"} or (config, shape, classes) != (None, None, None):
            raise InputError(
                "a run has its own settings; leave the model options, --shape, --classes and "
                "--config out."
            )
        checks = check_run(open_run(run), images, limit, settings.get("seed", 0))
    else:
        chosen, _ = resolve_settings(config, settings)
        checks = check_settings(chosen, _shape(shape or "8x8x3"), classes or 10, images, limit)
    results = list(checks)
    out.table(
        "",
        ["parameter", "shape", "checked", "largest relative error", "at", "analytic", "numerical",
         "kinks", ""],
        [
            [c.name, "x".join(map(str, c.shape)), c.checked, f"{c.worst:.2e}",
             ",".join(map(str, c.place)), f"{c.analytic:.6g}", f"{c.numerical:.6g}", c.kinks,
             "ok" if c.passed else "WRONG"]
            for c in results
        ],
    )  # fmt: skip
    passed = all(check.passed for check in results)
    out.result(
        {
            "passed": passed,
            "tolerance": AGREEMENT,
            "parameters": [
                {
                    "name": c.name,
                    "shape": c.shape,
                    "checked": c.checked,
                    "largest_relative_error": c.worst,
                    "place": c.place,
                    "analytic": c.analytic,
                    "numerical": c.numerical,
                    "kinks": c.kinks,
                }
                for c in results
            ],
        }
    )
    if not passed:
        raise typer.Exit(1)


def _shape(text: str) -> tuple[int, ...]:
    from nnlab.errors import InputError

    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise InputError(f"--shape is written HxWxC, such as 28x28x1, not {text!r}.")
    return tuple(int(part) for part in parts)
