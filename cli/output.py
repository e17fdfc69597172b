"""What commands show: results on stdout, messages on stderr, one place for both."""

import json
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nnlab.errors import NnlabWarning
from nnlab.texts import plain

# Every command shows its result through `Output`, so that --json, colours and the separation of
# the two streams are decided here alone.

# What is to be done with the exit code before the program ends, errors and all.
at_end: list[Callable[[int], None]] = []


# A column of text that is longer may be broken into lines of so many letters.
NARROWEST_TEXT = 10


class Output:
    """The two streams of one command.

    Args:
        as_json: print one JSON object as the result instead of tables.
    """

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json

    def result(self, record: dict[str, Any]) -> None:
        """Print the one JSON object; without `--json` nothing."""
        if self.as_json:
            print(_json(record))  # noqa: T201

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], left: int = 1,
        *, compact: bool = False,
    ) -> None:  # fmt: skip
        """Print a table on stdout, unless the result is JSON.

        Args:
            title: what the table shows; empty for none.
            columns: the headings.
            rows: cells, turned into text by `str`.
            left: how many columns from the left hold text; the others are numbers, set right.
            compact: without lines between columns, for tables of many.
        """
        if self.as_json:
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        # Texts, not strings: Rich would take [brackets] and :colons: in a name for its own.
        heading = Text(_shown(title), "bold") if title else None
        lines = box.SIMPLE_HEAD if compact else box.HEAVY_HEAD
        table = Table(
            title=heading, title_justify="left", box=lines, show_edge=not compact,
            pad_edge=not compact,
        )  # fmt: skip
        for index, column in enumerate(columns):
            # A number broken over two lines would read as two numbers.
            side: dict[str, Any] = {"justify": "right", "no_wrap": True}
            if index < left:
                longest = max([len(column), *(len(str(row[index])) for row in rows)])
                side = {"justify": "left", "min_width": min(longest, NARROWEST_TEXT)}
            table.add_column(Text(column), overflow="fold", **side)
        for row in rows:
            table.add_row(*[Text(_shown(cell)) for cell in row])
        console = _console()
        # Rich would cut digits off where the terminal is too narrow; let that break lines instead.
        needed = console.measure(table, options=console.options.update(max_width=10_000)).minimum
        console.width = max(needed, console.width)
        console.print(table)

    def line(self, text: str = "") -> None:
        """Print a line of the result on stdout, unless the result is JSON."""
        if not self.as_json:
            _console().print(_shown(text), markup=False, highlight=False, soft_wrap=True)

    def text(self, text: str) -> None:
        """Print sentences of the result on stdout, broken between words where a terminal ends."""
        if not self.as_json:
            _console().print(_shown(text), markup=False, highlight=False)

    def heading(self, text: str) -> None:
        """Print a heading of the result on stdout, unless the result is JSON."""
        if not self.as_json:
            _console().print(
                _shown(text), style="bold", markup=False, highlight=False, soft_wrap=True
            )

    def note(self, text: str) -> None:
        """Print a message on stderr."""
        print(_shown(text), file=sys.stderr, flush=True)  # noqa: T201

    def warn(self, text: str) -> None:
        """Print a warning on stderr."""
        self.note(f"warning: {text}")


def emit_error(
    code: int, message: str, as_json: bool, details: dict[str, Any] | None = None
) -> int:
    """Say what went wrong, in one line, and return the exit code.

    Args:
        code: the exit code.
        message: what, where, and what to do about it.
        as_json: say it on stdout as well, as an object.
        details: more for that object, such as the epoch in which training diverged.
    """
    line = " ".join(plain(message).split())
    print(f"nnlab: {line}", file=sys.stderr, flush=True)  # noqa: T201
    if as_json:
        error = {"code": code, "message": line, **(details or {})}
        print(_json({"error": error}))  # noqa: T201
    return code


@contextmanager
def warnings_in_a_line() -> Iterator[None]:
    """Show what the library warns a user of as the commands do; Python would name lines of code."""
    with warnings.catch_warnings():
        otherwise = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if issubclass(category, NnlabWarning):
                print(f"warning: {_shown(message)}", file=sys.stderr, flush=True)  # noqa: T201
            else:
                otherwise(message, category, *place)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def write_csv(target: str, text: str) -> None:
    """Write a CSV file, whole or not at all; to stdout if the target is ``-``.

    A file name in it keeps the bytes that it has, Unicode or not.

    Raises:
        InputError: the file cannot be written.
    """
    from nnlab.atomic import write_bytes

    content = text.encode(errors="surrogateescape")
    if target == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
    else:
        write_bytes(Path(target), content)


def finite(value: Any) -> Any:
    """Return the value fit for JSON: plain Python, with null for numbers that are not finite."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def percent(share: float | None) -> str:
    """Write a share as a percentage with two decimals; a dash for none."""
    return "-" if share is None else f"{100 * share:.2f} %"


def loss_text(loss: float) -> str:
    """Write a loss with four decimals; one beyond a million with its power of ten."""
    return f"{loss:.4f}" if abs(loss) < 1e6 else f"{loss:.3e}"


def _shown(text: object) -> str:
    """Return a text that shows on a terminal and does nothing else to it."""
    return plain(text).replace("\r", "\N{REPLACEMENT CHARACTER}")


def _json(record: dict[str, Any]) -> str:
    text = json.dumps(finite(record), ensure_ascii=False)
    # A file name need not be Unicode, but JSON must be: what is not is written as an escape, from
    # which Python's `os.fsencode` gets the name back.
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _console() -> Any:
    from rich.console import Console

    # A pipe has no width: let a table be as wide as it needs there.
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False, emoji=False)
