"""How long a download waits for what."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """When to give a server up.

    Attributes:
        connect: seconds to wait for a connection.
        stall: seconds without data, or below `slowest` on average, after which a transfer is cut.
        slowest: bytes a second that still count as a transfer.
        tries: attempts at one place that bring nothing new before the next place has its turn.
        pause: seconds before the second try; doubled with each further one.
        longest_pause: the most seconds between two tries, also when a server asks for more.
        redirects: how often a server may point elsewhere.
    """

    connect: float = 10.0
    stall: float = 30.0
    slowest: int = 1000
    tries: int = 5
    pause: float = 1.0
    longest_pause: float = 60.0
    redirects: int = 5
