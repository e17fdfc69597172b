"""Filling a template and writing the page."""

import functools
import math
from numbers import Real
from pathlib import Path
from typing import Any

from nnlab._version import __version__
from nnlab.atomic import write_bytes
from nnlab.pages import numbers
from nnlab.texts import plain


def render(template: str, **values: Any) -> str:
    """Return the page that a template gives.

    Args:
        template: its file in `nnlab/pages/templates`.
        values: what it shows. Texts are escaped; a value that the template names and nobody gave
            is an error.
    """
    return str(_environment().get_template(template).render(**values))


def write(path: Path, template: str, **values: Any) -> None:
    """Write the page that a template gives, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    # A file name need not be Unicode; what UTF-8 cannot hold is shown as a question mark.
    write_bytes(path, render(template, **values).encode("utf-8", "replace"))


@functools.cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nnlab.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["nnlab_version"] = __version__
    environment.filters |= {"number": _number, "percent": _percent, "name": _name, "cell": _cell}
    return environment


# A number carries its full value with it, for whoever points at it, copies it or checks it.


def _number(value: Any, digits: int = numbers.DIGITS) -> Any:
    return _data(value, numbers.number(value, digits))


def _percent(value: Any, decimals: int = 2) -> Any:
    return _data(value, numbers.percent(value, decimals))


def _data(value: Any, text: str) -> Any:
    from markupsafe import Markup

    if value is None or not math.isfinite(value):
        return Markup('<span title="none">{}</span>').format(text)
    plain = value.item() if hasattr(value, "item") else value
    return Markup('<data value="{0!r}" title="{0!r}">{1}</data>').format(plain, text)


def _name(text: Any) -> Any:
    """Isolate a text that somebody else chose: its writing direction must not reorder ours."""
    from markupsafe import Markup

    return Markup("<bdi>{}</bdi>").format(plain(text))


def _cell(value: Any) -> Any:
    """Show the value of a table's cell: numbers as numbers, markup as it is, texts as names."""
    if isinstance(value, bool):  # a whole number to Python, a setting to people
        return _name(value)
    if value is None or isinstance(value, Real):
        return _number(value)
    return value if hasattr(value, "__html__") else _name(value)
