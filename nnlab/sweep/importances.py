"""How much of the difference between trials each parameter accounts for by itself.

The share of the metric's variance that lies between groups of trials with like values of one
parameter: the correlation ratio, corrected for the number of groups as epsilon squared (Kelley
1935), without which a few trials would make every parameter look important. Values with at most
`GROUPS` different ones form a group each, others as many groups of equal size; trials for which
the parameter did not count are a group of their own. Interactions are not seen, and shares need
not sum to one.
"""

from collections.abc import Sequence

import numpy as np

from nnlab.sweep.results import TrialResult
from nnlab.sweep.space import Value

GROUPS = 5
# Of fewer trials nothing is said.
FEWEST = 8


def importances(trials: Sequence[TrialResult]) -> dict[str, float]:
    """Return each parameter's share of the variance, the largest first; empty for few trials.

    Args:
        trials: those with a value.
    """
    if len(trials) < FEWEST:
        return {}
    metric = np.array([trial.value for trial in trials], np.float64)
    names = list(dict.fromkeys(name for trial in trials for name in trial.point))
    shares = {name: _share([trial.point.get(name) for trial in trials], metric) for name in names}
    return dict(sorted(shares.items(), key=lambda pair: -pair[1]))


def _share(values: Sequence[Value | None], metric: np.ndarray) -> float:
    groups = _groups(values)
    count, kinds = len(metric), len(np.unique(groups))
    total = float(((metric - metric.mean()) ** 2).sum())
    if total == 0 or kinds < 2 or count <= kinds:
        return 0.0
    within = sum(
        float(((metric[groups == kind] - metric[groups == kind].mean()) ** 2).sum())
        for kind in np.unique(groups)
    )
    return max(0.0, 1 - (within / (count - kinds)) / (total / (count - 1)))


def _groups(values: Sequence[Value | None]) -> np.ndarray:
    """Return the group of each value, from 0; -1 where the parameter did not count."""
    present = [value for value in values if value is not None]
    distinct = list(dict.fromkeys(present))
    if len(distinct) <= GROUPS or not all(isinstance(value, int | float) for value in distinct):
        return np.array([-1 if value is None else distinct.index(value) for value in values])
    edges = np.quantile(np.array(present, np.float64), np.linspace(0, 1, GROUPS + 1)[1:-1])
    return np.array(
        [-1 if value is None else int(np.searchsorted(edges, value)) for value in values]
    )
