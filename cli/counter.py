"""A count on stderr: a bar on a terminal, a plain line now and then elsewhere."""

import sys
from time import monotonic
from typing import Any

LINE_SECONDS = 10.0


class Counter:
    """Shows how far something is; use it as a context and hand `show` to the library.

    Args:
        what: what is being done, for example "reading images".
        unit: what is counted; "B" for bytes.
    """

    def __init__(self, what: str, unit: str) -> None:
        self._what, self._unit = what, unit
        self._bar: Any = None
        self._last = monotonic()

    def __enter__(self) -> "Counter":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def show(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done; a total of 0 is unknown."""
        if sys.stderr.isatty():
            self._show_bar(done, total)
        elif monotonic() - self._last >= LINE_SECONDS:
            self._last = monotonic()
            of = f" of {total:,}" if total else ""
            line = f"{self._what}: {done:,}{of} {self._unit}"
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    def show_part(self, what: str, done: int, total: int) -> None:
        """Show the same of one of several things, one after the other."""
        if what != self._what:
            self._close()
            self._what = what
        self.show(done, total)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    def _show_bar(self, done: int, total: int) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=total or None,
                initial=done,  # what was there before is not this run's speed
                desc=self._what,
                unit="B" if self._unit == "B" else f" {self._unit}",
                unit_scale=self._unit == "B",
                leave=False,
                dynamic_ncols=True,
            )
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
