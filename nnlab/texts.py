"""Texts that somebody else chose, fit for every file of text; words behind a number."""

import re

_UNFIT = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plain(text: object) -> str:
    """Return a text without control characters and bytes that are not Unicode.

    XML has no place for them, and a terminal would obey some; each becomes U+FFFD.
    """
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", str(text))


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, which takes an s unless it is one: "1 epoch", "2 epochs"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
