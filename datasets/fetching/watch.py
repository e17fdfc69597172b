"""What a download tells whoever watches it."""


class Watch:
    """Told how a download goes; a class that shows it overrides these methods."""

    def progress(self, file: str, done: int, total: int) -> None:
        """`done` bytes of `total` (0 while unknown) of a file are there."""

    def pause(self, file: str, seconds: float, reason: str) -> None:
        """The next try at a file comes in so many seconds, because of `reason`."""

    def waiting(self, owner: str) -> None:
        """Another process, `owner`, is fetching this data set; this one waits for it."""
