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
    if isinstance(value, bool) or float(value) == int(value):
        whole = int(value)
        text = f"{whole:,}" if abs(whole) < 1e12 else f"{value:.{digits - 1}e}"
    else:
        value = float(value)
        exponent = math.floor(math.log10(abs(value)))
        if -4 <= exponent < 9:
            text = f"{value:,.{max(0, digits - 1 - exponent)}f}"
        else:
            text = f"{value:.{digits - 1}e}"
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


def percent(share: Any, decimals: int = 2) -> str:
    """Write a share, 0 to 1, as a percentage; a dash for None and what is not finite."""
    if share is None or not math.isfinite(share):
        return NONE
    return f"{100 * float(share):.{decimals}f} %"
