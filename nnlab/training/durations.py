"""Durations as people write them: ``90``, ``30s``, ``5m``, ``1h30m``, ``2d``."""

import re

from nnlab.errors import InputError

SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_PATTERN = re.compile(
    r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?"
)


def parse_duration(text: str, option: str = "") -> float:
    """Return the seconds that a text such as ``5m`` or ``1h30m`` means; a bare number is seconds.

    Args:
        text: the duration.
        option: what it was given for, to be named in an error.

    Raises:
        InputError: it means none, or none above 0.
    """
    match = _PATTERN.fullmatch(text.strip().lower())
    parts = match.groups() if match else ()
    seconds = sum(
        float(part) * unit for part, unit in zip(parts, SECONDS.values(), strict=False) if part
    )
    if not seconds > 0:
        where = f"{option}: " if option else ""
        raise InputError(f"{where}{text!r} is no duration; write 90s, 5m or 1h30m.")
    return seconds


def format_duration(seconds: float) -> str:
    """Write seconds for people: ``4.2 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def format_roughly(seconds: float) -> str:
    """Write an estimate for people: ``about 40 s``, ``about 20 min``, ``about 3 h 10 min``."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"about {minutes} min"
    hours, minutes = divmod(round(minutes, -1), 60)
    return f"about {hours} h {minutes:02d} min" if hours < 48 else f"about {hours // 24} days"
