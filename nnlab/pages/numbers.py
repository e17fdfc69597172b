"""Numbers as people read them: four digits, whole where they are whole."""

import math
from typing import Any

DIGITS = 4
MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"


def number(value: Any, digits: int = DIGITS) -> str:
    """Write a number: 1,024 or 0.1235 or 1.235e-07; a dash for None and what is not finite.

    Args:
        value: a Python or NumPy number, or None.
        digits: how many significant ones a number that is not whole gets.
    """
    if value is None or not math.isfinite(value):
        return NONE
    value = value.item() if hasattr(value, "item") else value
    if float(value) == int(value):
        text = f"{int(value):,}" if abs(value) < 1e12 else f"{value:.{digits - 1}e}"
    else:
        rounded = f"{value:.{digits - 1}e}"
        exponent = int(rounded.partition("e")[2])
        text = f"{value:,.{max(0, digits - 1 - exponent)}f}" if -5 < exponent < 9 else rounded
        if exponent < digits and "e" not in text and float(rounded) == value:
            text = text.rstrip("0")  # nothing has been rounded off: 0.001 is all of it
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


def percent(share: Any, decimals: int = 2) -> str:
    """Write a share, 0 to 1, as a percentage; a dash for None and what is not finite."""
    if share is None or not math.isfinite(share):
        return NONE
    return f"{100 * float(share):.{decimals}f} %"
