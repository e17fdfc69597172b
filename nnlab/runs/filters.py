"""Choosing runs by what they are: conditions such as ``model=mlp`` or ``val_accuracy>0.9``."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from nnlab.errors import InputError
from nnlab.runs.listing import RunSummary, check_column

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
NOTHING = {"none", ""}
_CONDITION = re.compile(r"\s*([^<>=!]+?)\s*(<=|>=|!=|==|=|<|>)\s*(.*?)\s*", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """One condition on one column.

    Attributes:
        column: a name of `COLUMNS`, a label of an evaluation, or a setting.
        relation: ``=``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``.
        value: what to compare with, as typed.
    """

    column: str
    relation: str
    value: str

    def holds(self, found: Any) -> bool:
        """Return whether a value of the column fulfils it; no value has no order."""
        if self.relation in ORDER:
            number = _number(self.value)
            if number is not None and isinstance(found, int | float):
                return ORDER[self.relation](found, number)
            # Dates in ISO 8601 are in the order of their letters.
            return isinstance(found, str) and ORDER[self.relation](found, self.value)
        return self._equals(found) == (self.relation == "=")

    def _equals(self, found: Any) -> bool:
        if found is None:
            return self.value.lower() in NOTHING
        if isinstance(found, bool):
            return self.value.lower() in ({"true", "yes", "1"} if found else {"false", "no", "0"})
        number = _number(self.value)
        if isinstance(found, int | float):
            return number is not None and found == number
        text = ",".join(map(str, found)) if isinstance(found, list) else str(found)
        return fnmatchcase(text.lower(), self.value.lower())


def parse_condition(text: str) -> Condition:
    """Read a condition such as ``lr<=0.01``, ``model=mlp`` or ``data=fashion*``.

    Raises:
        InputError: it is none.
    """
    match = _CONDITION.fullmatch(text)
    if match is None or (match[2] in ORDER and not match[3]):
        raise InputError(
            f"--where takes COLUMN=VALUE, or !=, <, <=, >, >=, such as val_accuracy>0.9; not "
            f"{text!r}."
        )
    return Condition(match[1], "=" if match[2] == "==" else match[2], match[3])


def choose_runs(rows: Sequence[RunSummary], conditions: Sequence[Condition]) -> list[RunSummary]:
    """Return the runs that fulfil all conditions.

    Raises:
        InputError: a column that no run has.
    """
    for condition in conditions:
        check_column(rows, condition.column)
    return [
        row
        for row in rows
        if all(condition.holds(row.column(condition.column)) for condition in conditions)
    ]


def _number(text: str) -> float | None:
    """Return the number in a text, or a percentage as a share; None for something else."""
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
