"""How much of a measured accuracy, or of a difference between two, may be chance."""

from dataclasses import dataclass
from math import exp, lgamma, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.randomness import generator

RESAMPLES = 10_000
CONFIDENCE = 0.95
# Below this probability a difference is commonly called significant.
LEVEL = 0.05


@dataclass(frozen=True)
class Interval:
    """Where an accuracy lies with some confidence, all as shares."""

    low: float
    high: float
    confidence: float


def accuracy_interval(
    correct: int, n: int, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> Interval:
    """Return the percentile bootstrap interval of an accuracy (Efron 1979).

    Drawing n of n images with replacement and counting the right ones is a draw from the binomial
    distribution with the measured accuracy: that is what is drawn here, which gives the bootstrap's
    own distribution at any n in no time. The same counts always give the same interval.

    Args:
        correct: images classified right.
        n: images in all, at least 1.
        confidence: share of the resamples inside, between 0 and 1.
        resamples: how often n images are drawn.
    """
    drawn = generator(0, "bootstrap", correct, n).binomial(n, correct / n, resamples) / n
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high), confidence)


@dataclass(frozen=True)
class PairedComparison:
    """Two models on the same images.

    Attributes:
        both_right, only_first, only_second, both_wrong: how many images each answered right.
        p_value: see `compare_pairs`.
    """

    both_right: int
    only_first: int
    only_second: int
    both_wrong: int
    p_value: float

    @property
    def n(self) -> int:
        """How many images there are."""
        return self.both_right + self.only_first + self.only_second + self.both_wrong

    @property
    def difference(self) -> float:
        """By how much the first is more accurate."""
        return (self.only_first - self.only_second) / self.n

    @property
    def significant(self) -> bool:
        """Whether so large a difference is rarer than 1 in 20 among equally good models."""
        return self.p_value < LEVEL

    def record(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "difference": self.difference,
            "both_right": self.both_right,
            "only_first_right": self.only_first,
            "only_second_right": self.only_second,
            "both_wrong": self.both_wrong,
            "p_value": self.p_value,
        }


def compare_pairs(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedComparison:
    """Compare two models by McNemar's test (McNemar 1947), in its exact form.

    Only the images count that one model has right and the other wrong. If the models were equally
    good, each such image would be a coin toss; the p-value is the probability of a split at least
    as uneven, to either side.

    Args:
        first: (N,) which images the first model answered right.
        second: (N,) the same for the second.

    Raises:
        ValueError: arrays of different length, or empty ones.
    """
    if first.shape != second.shape or first.size == 0:
        raise ValueError(f"answers of shapes {first.shape} and {second.shape} are no pairs")
    only_first = int(np.count_nonzero(first & ~second))
    only_second = int(np.count_nonzero(second & ~first))
    both = int(np.count_nonzero(first & second))
    return PairedComparison(
        both_right=both,
        only_first=only_first,
        only_second=only_second,
        both_wrong=len(first) - both - only_first - only_second,
        p_value=_two_sided(min(only_first, only_second), only_first + only_second),
    )


def _two_sided(few: int, tosses: int) -> float:
    """Return the probability that one side of fair tosses shows at most `few` times."""
    if 2 * few >= tosses:
        return 1.0
    # In logarithms: 2^-tosses alone is below the smallest number from 1,075 tosses on.
    logs = [
        lgamma(tosses + 1) - lgamma(i + 1) - lgamma(tosses - i + 1) - tosses * log(2)
        for i in range(few + 1)
    ]
    return min(1.0, 2 * sum(exp(item) for item in logs))
