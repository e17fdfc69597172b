"""Epochs as lines of JSON on stdout, for the program that has started this one."""

import json
import os
import select
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

from nnlab.cli.output import finite

# How often to look whether somebody still reads.
LOOK_SECONDS = 0.5


class EventStream:
    """Writes one line an epoch, and knows when its reader has gone."""

    def __init__(self) -> None:
        self._out = sys.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._out, 0)  # errors alone
        self._looked = monotonic()
        self._gone = False

    def epoch(self, epoch: int, epochs: int, record: dict[str, Any]) -> None:
        """Write what an epoch came to."""
        line = json.dumps({"epoch": epoch, "epochs": epochs, **finite(record)}) + "\n"
        try:
            os.write(self._out, line.encode())
        except BrokenPipeError:
            self._gone = True

    def stop_without_reader(self, otherwise: Callable[[], str]) -> Callable[[], str]:
        """Return why to stop: what `otherwise` says, or that nobody reads any more."""

        def why() -> str:
            now = monotonic()
            if not self._gone and now - self._looked >= LOOK_SECONDS:
                self._looked = now
                self._gone = bool(self._poll.poll(0))
            return otherwise() or ("the end of who started it" if self._gone else "")

        return why
