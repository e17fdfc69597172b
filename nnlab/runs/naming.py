"""Run file names with fields: ``run-{job}-{task}.h5``."""

import os
from pathlib import Path
from string import Formatter

from nnlab.errors import InputError

# Field -> the variable of SLURM that fills it.
VARIABLES = {"job": "SLURM_JOB_ID", "task": "SLURM_ARRAY_TASK_ID"}
# The tasks of an array have jobs of their own; beside `{task}` stands the number that they share,
# which is the one that sbatch and squeue show.
ARRAY = "SLURM_ARRAY_JOB_ID"
FIELDS = ("job", "task", "seed", "model")


def expand(template: str, seed: int | None = None, model: str | None = None) -> Path:
    """Fill the fields of a file name.

    Args:
        template: may hold ``{job}``, ``{task}``, ``{seed}`` and ``{model}``; numbers take a format
            such as ``{seed:03}``; ``{{`` and ``}}`` stand for single braces.
        seed: for ``{seed}``.
        model: for ``{model}``.

    Raises:
        InputError: an unknown field, or one that nothing fills.
    """
    given = {"seed": None if seed is None else str(seed), "model": model}
    variables = VARIABLES
    parts = []
    try:
        pieces = list(Formatter().parse(template))
        if ARRAY in os.environ and any(field == "task" for _, field, _, _ in pieces):
            variables = VARIABLES | {"job": ARRAY}
        for text, field, style, conversion in pieces:
            parts.append(text)
            if field is None:
                continue
            if conversion:
                raise ValueError("! is not allowed")
            value = _value(template, field, given, variables)
            # SLURM's numbers keep their form unless one is asked for.
            number = style and value.isascii() and value.isdigit()
            parts.append(format(int(value) if number else value, style or ""))
    except ValueError as error:
        raise InputError(
            f"{template} is not a name that can be filled ({error}); fields look like {{seed}}, "
            "and {{ and }} stand for single braces."
        ) from error
    return Path("".join(parts))


def _value(
    template: str, field: str, given: dict[str, str | None], variables: dict[str, str]
) -> str:
    if field not in FIELDS:
        known = ", ".join(f"{{{name}}}" for name in FIELDS)
        raise InputError(
            f"{template}: there is no field {{{field}}}; known: {known} ({{{{ and }}}} stand for "
            "single braces)."
        )
    variable = variables.get(field)
    value = os.environ.get(variable) if variable else given[field]
    if value is None:
        missing = f"{variable} is not set" if variable else f"there is no {field} here"
        raise InputError(f"{template}: {{{field}}} cannot be filled, {missing}; leave it out here.")
    return value
