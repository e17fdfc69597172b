"""One search by several ranks: each searches for its part of the queries, all get all answers.

The neighbours of a query do not depend on the other queries, so the result is that of one process,
bit for bit, order and ties included.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.neighbors.exact_search import QUERY_BLOCK, Neighbors, Progress, Rows, search
from nnlab.ranks import Alone


def search_together(
    ranks: Alone,
    queries: NDArray[Any],
    training: NDArray[Any],
    k: int,
    metric: str,
    *,
    query_rows: Rows | None = None,
    training_rows: Rows | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Neighbors:
    """Return what `search` returns, on every rank.

    Args:
        ranks: that search; each calls this with the same arguments.
        queries: as for `search`, and so are all of these:
        training: the images to find.
        k: how many.
        metric: a name in `METRICS`.
        query_rows: which queries; None for all.
        training_rows: which of the training images; None for all.
        threads: of each rank.
        progress: called with this rank's pairs.

    Raises:
        InputError: as `search`.
    """
    if ranks.size > 1:
        rows = np.arange(len(queries)) if query_rows is None else query_rows
        whole = QUERY_BLOCK if len(rows) >= ranks.size * QUERY_BLOCK else 1
        query_rows = rows[ranks.block(len(rows), whole)]
    found = None
    if query_rows is None or len(query_rows):
        found = search(
            queries, training, k, metric, query_rows=query_rows, training_rows=training_rows,
            threads=threads, progress=progress,
        )  # fmt: skip
    parts = [part for part in ranks.collect(found) if part is not None]
    if len(parts) == 1:
        only: Neighbors = parts[0]
        return only
    return Neighbors(
        np.concatenate([part.distances for part in parts]),
        np.concatenate([part.indices for part in parts]),
    )
