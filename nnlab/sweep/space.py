"""The search space of a study: parameters in the names of `train`'s options.

A parameter has choices, or a range that may be logarithmic, stepped or of whole numbers, and
conditions on what was chosen before it. `hidden` may be searched as a number of layers and the
units of each; the parameters are `hidden.layers`, `hidden.units.1`, ... then.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints

import numpy as np

from nnlab.errors import InputError
from nnlab.training.settings import Settings, option_name

Value = str | int | float | bool
Point = dict[str, Value]

RANGE_KEYS = ("low", "high", "log", "step", "points", "when")
# They would change what the trials are compared by.
NOT_SEARCHED = {
    "seed": "say repeats instead",
    "val": "trials would be compared on different images; put it under [fixed]",
}
MOST_LAYERS = 64
LAYERS, UNITS = "hidden.layers", "hidden.units."


@dataclass(frozen=True)
class Parameter:
    """One parameter: the values it may take, and when it counts.

    Attributes:
        name: of the option, with ``_``; or a part of `hidden`.
        choices: all values, or empty for a range.
        low, high: the ends of a range, both included.
        log: draw the logarithm evenly.
        step: distance between the values of a range, from `low` on; None for any.
        integer: whole numbers only.
        points: how many values of a range a grid takes.
        when: names of other settings and the values of them for which this parameter counts.
        least: for a unit of `hidden`, the number of layers from which on it exists.
    """

    name: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    integer: bool = False
    points: int | None = None
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    least: int = 0

    def draw(self, rng: np.random.Generator) -> Value:
        """Return a value at random, each as likely as the others (in the logarithm, with `log`)."""
        if self.choices:
            return self.choices[int(rng.integers(len(self.choices)))]
        if self.step is not None:
            return self._stepped(int(rng.integers(self._steps() + 1)))
        if not self.integer:
            if self.log:
                value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
            else:
                value = rng.uniform(self.low, self.high)
            return min(max(value, self.low), self.high)
        if not self.log:
            return int(rng.integers(int(self.low), int(self.high) + 1))
        # Half a unit beyond both ends, or the ends would be drawn half as often as they should.
        exponent = rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5))
        return int(min(max(round(math.exp(exponent)), self.low), self.high))

    def grid(self) -> tuple[Value, ...]:
        """Return the values that a grid takes, without repetitions.

        Raises:
            InputError: a range that says neither `step` nor `points`.
        """
        if self.choices:
            return self.choices
        if self.step is not None:
            return tuple(self._stepped(index) for index in range(self._steps() + 1))
        if self.points is None:
            raise InputError(
                f"search.{_shown(self.name)}: a grid needs to know how many values of a range to "
                "take; add points = N, or step."
            )
        spaced = np.geomspace if self.log else np.linspace
        values = [float(value) for value in spaced(self.low, self.high, self.points)]
        # The ends as they were written, not as they come out of a logarithm.
        values[0], values[-1] = self.low, self.high if self.points > 1 else self.low
        if self.integer:
            return tuple(dict.fromkeys(round(value) for value in values))
        return tuple(values)

    def _steps(self) -> int:
        return math.floor((self.high - self.low) / (self.step or 1) + 1e-9)

    def _stepped(self, index: int) -> Value:
        value = self.low + index * (self.step or 1)
        # 0.1 + 2 * 0.1 is 0.30000000000000004, which nobody wrote.
        return round(value) if self.integer else float(f"{value:.12g}")


@dataclass(frozen=True)
class Space:
    """All parameters, in the order in which they are chosen.

    Attributes:
        parameters: the parameters.
        fixed: settings that all trials share, with ``_``.
    """

    parameters: tuple[Parameter, ...]
    fixed: Mapping[str, Any]

    def walk(self, choose: Callable[[Parameter], Value]) -> Point:
        """Return a point: what `choose` says of each parameter that counts, in their order."""
        point: Point = {}
        for parameter in self.parameters:
            if self._counts(parameter, point):
                point[parameter.name] = choose(parameter)
        return point

    def draw(self, rng: np.random.Generator) -> Point:
        """Return a point at random."""
        return self.walk(lambda parameter: parameter.draw(rng))

    def grid(self) -> Iterator[Point]:
        """Yield every point of the grid, the last parameter changing fastest.

        Raises:
            InputError: a range without a number of values.
        """
        values = {parameter.name: parameter.grid() for parameter in self.parameters}

        def extend(index: int, point: Point) -> Iterator[Point]:
            if index == len(self.parameters):
                yield point
                return
            parameter = self.parameters[index]
            if not self._counts(parameter, point):
                yield from extend(index + 1, point)
                return
            for value in values[parameter.name]:
                yield from extend(index + 1, {**point, parameter.name: value})

        yield from extend(0, {})

    def settings(self, point: Mapping[str, Value]) -> dict[str, Any]:
        """Return the settings of a point, those that are fixed included."""
        chosen = {name: value for name, value in point.items() if "." not in name}
        layers = int(point.get(LAYERS, 0))
        if layers:
            widths = [point[f"{UNITS}{layer}"] for layer in range(1, layers + 1)]
            chosen["hidden"] = ",".join(str(width) for width in widths)
        return {**self.fixed, **chosen}

    def _counts(self, parameter: Parameter, point: Point) -> bool:
        if parameter.least and int(point.get(LAYERS, 0)) < parameter.least:
            return False
        return all(
            self._value(name, point) in accepted for name, accepted in parameter.when.items()
        )

    def _value(self, name: str, point: Point) -> Any:
        if name in point:
            return point[name]
        if any(parameter.name == name for parameter in self.parameters):
            return None  # it does not count itself
        return self.fixed.get(name, _DEFAULTS[name])


_DEFAULTS: dict[str, Any] = {entry.name: entry.default for entry in fields(Settings)}
_HINTS = get_type_hints(Settings)


def parse_space(search: Mapping[str, Any], fixed: Mapping[str, Any]) -> Space:
    """Read the tables `[search]` and `[fixed]` of a study.

    Args:
        search: a list of choices or a table with a range for each option.
        fixed: the options that all trials share, with ``_``.

    Raises:
        InputError: an option that is unknown, fixed as well, or no such range.
    """
    parameters: list[Parameter] = []
    for key, given in search.items():
        name = key.replace("-", "_")
        if name not in _DEFAULTS:
            raise InputError(f"search.{key}: train has no option --{key}.")
        if name in NOT_SEARCHED:
            raise InputError(f"search.{key} cannot be searched; {NOT_SEARCHED[name]}.")
        if name in fixed:
            raise InputError(f"{key} stands under [search] and under [fixed]; take one away.")
        known = {parameter.name for parameter in parameters}
        if name == "hidden" and isinstance(given, dict) and "layers" in given:
            parameters += _hidden_parameters(given, known, search)
        else:
            parameters.append(_parameter(name, key, given, known, search))
    return Space(tuple(parameters), dict(fixed))


def _hidden_parameters(
    given: Mapping[str, Any], known: set[str], search: Mapping[str, Any]
) -> list[Parameter]:
    for key in given:
        if key not in {"layers", "units", "when"}:
            raise InputError(f"search.hidden: unknown key {key!r}; known: layers, units, when.")
    if "units" not in given:
        raise InputError("search.hidden: layers needs units, the widths of a layer.")
    when = _conditions("hidden", given.get("when", {}), known, search)
    layers = _domain(LAYERS, "hidden.layers", given["layers"], int, when)
    least, most = _ends(layers)
    if least < 1 or most > MOST_LAYERS:
        raise InputError(f"search.hidden.layers: from 1 to {MOST_LAYERS} hidden layers.")
    units = [
        _domain(f"{UNITS}{layer}", "hidden.units", given["units"], int, when, least=layer)
        for layer in range(1, most + 1)
    ]
    if _ends(units[0])[0] < 1:
        raise InputError("search.hidden.units: a layer has at least 1 unit.")
    return [layers, *units]


def _ends(parameter: Parameter) -> tuple[int, int]:
    """Return the least and the largest value of a parameter of whole numbers."""
    values = [int(value) for value in parameter.choices] or [
        int(parameter.low),
        int(parameter.high),
    ]
    return min(values), max(values)


def _parameter(
    name: str, key: str, given: Any, known: set[str], search: Mapping[str, Any]
) -> Parameter:
    kinds = [k for k in getattr(_HINTS[name], "__args__", (_HINTS[name],)) if k is not type(None)]
    conditions = given.get("when", {}) if isinstance(given, dict) else {}
    parameter = _domain(name, key, given, kinds[0], _conditions(key, conditions, known, search))
    # Each end and each choice by itself, so that a wrong one is named where it stands.
    for value in parameter.choices or (parameter.low, parameter.high):
        plain = round(value) if parameter.integer and not parameter.choices else value  # type: ignore[arg-type]
        _check_value(name, key, plain)
    return parameter


def _check_value(name: str, key: str, value: Value) -> None:
    check = Settings.__dataclass_fields__[name].metadata
    choices, rule = check["choices"], check["check"]
    if choices is not None and value not in choices:
        raise InputError(f"search.{key}: {option_name(name)} is one of {', '.join(choices)}.")
    if rule is not None and not rule[0](value):
        raise InputError(f"search.{key}: {option_name(name)} is {rule[1]}, not {value!r}.")


def _domain(
    name: str,
    key: str,
    given: Any,
    kind: type,
    when: Mapping[str, tuple[Value, ...]],
    least: int = 0,
) -> Parameter:
    if isinstance(given, dict) and "choices" in given:
        _refuse_unknown(key, given, ("choices", "when"))
        given = given["choices"]
    if isinstance(given, list):
        return Parameter(name, choices=_choices(name, key, given, kind), when=when, least=least)
    if not isinstance(given, dict):
        raise InputError(
            f"search.{key} is a list of choices or a range such as {{ low = 1, high = 9 }}, not "
            f"{given!r}; a single value belongs under [fixed]."
        )
    _refuse_unknown(key, given, RANGE_KEYS)
    if kind not in {int, float}:
        raise InputError(f"search.{key} has no range; give a list of choices.")
    integer = kind is int
    low, high = (_number(key, end, given.get(end), integer) for end in ("low", "high"))
    log, step, points = given.get("log", False), given.get("step"), given.get("points")
    if low > high:
        raise InputError(f"search.{key}: low is {low:g}, above high, {high:g}.")
    if not isinstance(log, bool):
        raise InputError(f"search.{key}: log is true or false, not {log!r}.")
    if log and low <= 0:
        raise InputError(f"search.{key}: a logarithmic range begins above 0, not at {low:g}.")
    if step is not None:
        step = _number(key, "step", step, integer)
        if step <= 0:
            raise InputError(f"search.{key}: step is above 0, not {step:g}.")
        if log or points is not None:
            raise InputError(f"search.{key}: step goes with neither log nor points.")
    if points is not None and (type(points) is not int or not 1 <= points <= 10_000):
        raise InputError(f"search.{key}: points is a whole number of at least 1, not {points!r}.")
    return Parameter(name, (), low, high, log, step, integer, points, when=when, least=least)


def _choices(name: str, key: str, given: Sequence[Any], kind: type) -> tuple[Value, ...]:
    if not given:
        raise InputError(f"search.{key}: there is nothing to choose from.")
    values: list[Any] = []
    for value in given:
        if isinstance(value, list):  # hidden = [[512, 256], [100]]
            value = ",".join(str(part) for part in value)
        if kind is str and name == "hidden" and type(value) is int:
            value = str(value)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            wanted = {int: "whole numbers", float: "numbers", bool: "true and false", str: "texts"}
            raise InputError(f"search.{key}: the choices are {wanted[kind]}, not {value!r}.")
        if value in values:
            raise InputError(f"search.{key}: {value!r} stands there twice.")
        values.append(value)
    return tuple(values)


def _number(key: str, what: str, value: Any, integer: bool) -> float:
    if value is None:
        raise InputError(f"search.{key}: a range has low and high; {what} is missing.")
    good = type(value) is int or (type(value) is float and math.isfinite(value) and not integer)
    if not good:
        kind = "a whole number" if integer else "a number"
        raise InputError(f"search.{key}: {what} is {kind}, not {value!r}.")
    return float(value)


def _conditions(
    key: str, given: Any, known: set[str], search: Mapping[str, Any]
) -> dict[str, tuple[Value, ...]]:
    if not isinstance(given, dict):
        raise InputError(f'search.{key}: when is a table such as {{ model = "mlp" }}.')
    conditions = {}
    for other, accepted in given.items():
        name = other.replace("-", "_")
        if name not in _DEFAULTS:
            raise InputError(f"search.{key}: when names {other}, which train does not know.")
        if name not in known and name in {item.replace("-", "_") for item in search}:
            raise InputError(
                f"search.{key}: when names {other}, which is chosen later; move it up."
            )
        values = accepted if isinstance(accepted, list) else [accepted]
        conditions[name] = tuple(values)
    return conditions


def _refuse_unknown(key: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(f"search.{key}: unknown key {name!r}; known: {', '.join(known)}.")


def _shown(name: str) -> str:
    if name.startswith(UNITS):
        return "hidden.units"
    return name.replace("_", "-")
