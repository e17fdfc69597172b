"""Progress of a training run: a bar on a terminal, plain lines and a heartbeat elsewhere."""

import sys
from time import monotonic
from typing import Any

# Without a terminal a long epoch says that it lives, at most so often.
HEARTBEAT_SECONDS = 60.0
REDRAW_SECONDS = 0.1


class Progress:
    """The steps of a run on stderr; use it as a context."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._steps = self._epochs = 0
        self._last = monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Start counting; `done` epochs are over."""
        self._epochs, self._steps = epochs, steps
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=epochs * steps,
                initial=done * steps,
                unit="step",
                leave=False,
                dynamic_ncols=True,
                mininterval=REDRAW_SECONDS,
            )

    def step(self, epoch: int, step: int) -> None:
        """Show where training is, if it is time to."""
        now = monotonic()
        wait = REDRAW_SECONDS if self._bar is not None else HEARTBEAT_SECONDS
        if now - self._last < wait:
            return
        self._last = now
        if self._bar is not None:
            self._bar.update(epoch * self._steps + step - self._bar.n)
        else:
            self.write(f"epoch {epoch + 1}/{self._epochs}: step {step}/{self._steps}")

    def epoch(self, epoch: int) -> None:
        """Show that an epoch is over."""
        self._last = monotonic()
        if self._bar is not None:
            self._bar.update(epoch * self._steps - self._bar.n)

    def write(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201
