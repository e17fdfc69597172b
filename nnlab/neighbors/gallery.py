"""Sheets that show what the search saw: queries with their neighbours, and a pixel ledger."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nnlab.neighbors.baseline import KnnResult
from nnlab.neighbors.ledger import Ledger
from nnlab.neighbors.metrics import find_metric
from nnlab.neighbors.pictures import FAINT, INK, RIGHT, WRONG, Tile, sheet, short

Split = tuple[NDArray[Any], NDArray[np.int64]]
QUERIES = 5  # of each kind
NEIGHBORS = 6


def draw_gallery(
    train: Split, test: Split, result: KnnResult, classes: Sequence[str], title: str
) -> Image.Image:
    """Draw queries with their nearest neighbours and the absolute differences below them.

    Wrong answers stand to the left, right ones to the right, each evenly spaced through the split.
    A green frame marks what has the query's true class, a red one what has not.

    Args:
        train: the images (N, H, W, C) and labels that were searched.
        test: the images and labels that were tested.
        result: the baseline.
        classes: names.
        title: of the sheet.
    """
    wrong = result.predicted != result.labels
    panels = [_spaced(np.flatnonzero(kind), QUERIES) for kind in (wrong, ~wrong)]
    rows: list[list[Tile]] = []
    for pair in zip_longest(*(panel for panel in panels if panel)):
        blocks = [
            _query_rows(train, test, result, classes, number) if number is not None else []
            for number in pair
        ]
        for line in range(2):
            row: list[Tile] = []
            for block in blocks:
                tiles = block[line] if block else []
                row += [*tiles, *[Tile(None)] * (NEIGHBORS + 2 - len(tiles))]
            rows.append(row[:-1])
    metric = result.settings.metric
    notes = [
        f"k = {result.k}, {metric}: {find_metric(metric).summary}. "
        f"{result.metrics.accuracy:.2%} of {len(result.labels):,} right. "
        "Each row: a query and its answer, then its neighbours, nearest first;",
        "under each the absolute difference to the query (brighter = more). Green: of the query's "
        "true class. Red: of another one. Wrong answers to the left, right ones to the right.",
    ]
    return sheet(title, rows, notes)


def _spaced(rows: NDArray[np.int64], count: int) -> list[int]:
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)
    return [int(rows[place]) for place in places]


def _query_rows(
    train: Split, test: Split, result: KnnResult, classes: Sequence[str], number: int
) -> list[list[Tile]]:
    index = number if result.test_rows is None else int(result.test_rows[number])
    query, true = test[0][index], int(result.labels[number])
    predicted = int(result.predicted[number])
    frame = RIGHT if predicted == true else WRONG
    answer = [f"{index}: {classes[true]}", f"answer: {classes[predicted]}"]
    above, below = [Tile(query, answer, frame)], [Tile(None)]
    rows = result.neighbors.indices[number][:NEIGHBORS]
    stored = result.neighbors.distances[number][:NEIGHBORS]
    distances = find_metric(result.settings.metric).distance(stored)
    for place, (row, distance) in enumerate(zip(rows, distances, strict=True)):
        label = int(train[1][row])
        frame = RIGHT if label == true else WRONG
        caption = [classes[label], short(float(distance))]
        caption += ["no vote"] if place >= result.k else []
        above.append(Tile(train[0][row], caption, frame))
        difference = np.abs(query.astype(np.int16) - train[0][row]).astype(np.uint8)
        below.append(Tile(difference))
    return [above, below]


def draw_ledger(
    account: Ledger, image: NDArray[Any], train: NDArray[Any], classes: list[str]
) -> Image.Image:
    """Draw one image's account: the three images, two differences, and who each pixel speaks for.

    Args:
        account: the ledger.
        image: (H, W, C) the query.
        train: (N, H, W, C) the searched images.
        classes: names.
    """
    wrong, right = train[account.wrong_row], train[account.right_row]

    def difference(other: NDArray[Any]) -> NDArray[np.uint8]:
        return np.abs(image.astype(np.int16) - other).astype(np.uint8)

    rows = [
        [
            Tile(image, ["query", classes[account.true]], INK),
            Tile(wrong, [f"nearest {classes[account.rival]}",
                         short(account.wrong_distance)], WRONG),
            Tile(right, [f"nearest {classes[account.true]}",
                         short(account.right_distance)], RIGHT),
        ],
        [
            Tile(_heat(account.entries, account.regions.border),
                 ["the ledger", f"sum {short(account.total)}"], FAINT),
            Tile(difference(wrong), ["difference to", f"{classes[account.rival]}"], WRONG),
            Tile(difference(right), ["difference to", f"{classes[account.true]}"], RIGHT),
        ],
    ]  # fmt: skip
    notes = [part for line in account.in_words(classes) for part in _wrapped(line, 100)]
    notes.append("The ledger: red pixels speak for the wrong neighbour, blue ones for the right")
    notes.append("one, white for neither; the thin line parts border and centre.")
    return sheet(f"Which pixels elected {classes[account.predicted]}?", rows, notes)


def _heat(entries: NDArray[Any], border: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Colour each pixel from red (negative) over white to blue; a line around the centre."""
    scale = 4
    size = np.abs(entries).max() or 1
    strength = np.clip(np.abs(entries) / size, 0, 1) ** 0.7
    fade = (255 * (1 - strength)).astype(np.uint8)
    full = np.full_like(fade, 255)
    red = np.where(entries < 0, full, fade)
    blue = np.where(entries > 0, full, fade)
    colours = np.stack([red, fade, blue], axis=2).repeat(scale, 0).repeat(scale, 1)
    rows, columns = np.flatnonzero(~border.all(1)), np.flatnonzero(~border.all(0))
    top, bottom = scale * rows[0], scale * (rows[-1] + 1) - 1
    left, right = scale * columns[0], scale * (columns[-1] + 1) - 1
    colours[[top, bottom], left : right + 1] = 90
    colours[top : bottom + 1, [left, right]] = 90
    return np.asarray(colours, dtype=np.uint8)


def _wrapped(line: str, width: int) -> list[str]:
    lines = [""]
    for word in line.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
