"""The plainest possible search, to compare with."""

from fractions import Fraction

import numpy as np


def brute_force(queries, training, k, metric):
    """Neighbours by int64 arithmetic and a stable sort: nearer first, then the lower row."""
    q = queries.reshape(len(queries), -1).astype(np.int64)
    t = training.reshape(len(training), -1).astype(np.int64)
    if metric == "cosine":
        return _brute_force_angles(q, t, k)
    distances = np.empty((len(q), len(t)), dtype=np.int64)
    for i, query in enumerate(q):
        difference = np.abs(t - query)
        distances[i] = {
            "l1": lambda d: d.sum(axis=1),
            "l2": lambda d: (d * d).sum(axis=1),
            "linf": lambda d: d.max(axis=1),
        }[metric](difference)
    rows = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, rows, axis=1), rows


def _brute_force_angles(q, t, k):
    """Order by the exact cosine: q.t is never negative, so (q.t)^2 / |t|^2 orders like it."""
    rows = np.empty((len(q), k), dtype=np.int64)
    distances = np.empty((len(q), k))
    squares = [max(int(s), 1) for s in (t * t).sum(axis=1)]
    for i, query in enumerate(q):
        cosines = [Fraction(int(dot) ** 2, s) for dot, s in zip(t @ query, squares, strict=True)]
        rows[i] = sorted(range(len(t)), key=lambda row: (-cosines[row], row))[:k]
        length = max(int((query * query).sum()), 1)
        distances[i] = [1 - float(cosines[row] / length) ** 0.5 for row in rows[i]]
    return distances, rows
