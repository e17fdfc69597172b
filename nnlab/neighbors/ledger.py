"""The pixel ledger: which pixels elected the neighbour that won.

A distance that is a sum over pixels splits exactly, and so does the difference of two distances:

    d(q, wrong) - d(q, right) = sum over pixels of ( part(q, wrong) - part(q, right) )

where `right` is the nearest training image of the true class and `wrong` the nearest one of the
class that beat it (of any other class, if the answer was right). A negative entry is a pixel that
speaks for the wrong neighbour. In integers the entries add up to the whole without a rest.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError
from nnlab.neighbors.baseline import KnnResult
from nnlab.neighbors.crossvalidation import elect
from nnlab.neighbors.exact_search import search
from nnlab.neighbors.regions import Regions, halve, pixel_parts

SPLITTABLE = {"l1": "L1 distance", "l2": "squared L2 distance", "cosine": "cosine distance"}


@dataclass(frozen=True)
class Ledger:
    """One image's account.

    Attributes:
        index: the image's row in the tested split.
        true, predicted, rival: classes; `rival` is the class of the wrong neighbour.
        right_row, wrong_row: rows of the two neighbours in the training split.
        right_distance, wrong_distance: to each of them (squared for ``l2``).
        entries: (H, W) what each pixel adds to wrong_distance - right_distance.
        regions: border and centre.
        unit: what is split.
    """

    index: int
    true: int
    predicted: int
    rival: int
    right_row: int
    wrong_row: int
    right_distance: float
    wrong_distance: float
    entries: NDArray[Any]
    regions: Regions
    unit: str

    @property
    def total(self) -> float:
        """The sum of all entries: wrong_distance - right_distance, below 0 if wrong is nearer."""
        return _plain(self.entries.sum())

    @property
    def border(self) -> float:
        """The sum of the border's entries."""
        return _plain(self.entries[self.regions.border].sum())

    @property
    def centre(self) -> float:
        """The sum of the centre's entries."""
        return _plain(self.entries[~self.regions.border].sum())

    @property
    def border_share_for_wrong(self) -> float | None:
        """The share of all that speaks for the wrong neighbour which lies in the border."""
        against = np.minimum(self.entries, 0)
        whole = against.sum()
        return float(against[self.regions.border].sum() / whole) if whole else None

    def record(self, classes: list[str]) -> dict[str, Any]:
        """Return the account as plain values for JSON."""
        return {
            "index": self.index,
            "true": classes[self.true],
            "predicted": classes[self.predicted],
            "right_neighbor": {"row": self.right_row, "distance": self.right_distance},
            "wrong_neighbor": {
                "row": self.wrong_row,
                "class": classes[self.rival],
                "distance": self.wrong_distance,
            },
            "unit": self.unit,
            "difference": self.total,
            "border": self.border,
            "centre": self.centre,
            "border_pixels": self.regions.border_share,
            "border_share_for_wrong": self.border_share_for_wrong,
            "pixels": self.entries,
        }

    def in_words(self, classes: list[str]) -> list[str]:
        """Say what the account shows, a sentence a line."""
        nearer = "nearer" if self.total < 0 else "farther" if self.total > 0 else "as near"
        share = self.border_share_for_wrong
        right = self.predicted == self.true
        answer = "was answered right" if right else f"was taken for {classes[self.predicted]}"
        true, rival = classes[self.true], classes[self.rival]
        lines = [
            f"Image {self.index}, {true}, {answer}. The nearest {rival} (training image "
            f"{self.wrong_row}) lies at {self.wrong_distance:,.10g}, the nearest {true} (training "
            f"image {self.right_row}) at {self.right_distance:,.10g}: the wrong one is {nearer}"
            + (f" by {abs(self.total):,.10g}" if self.total else "")
            + f" ({self.unit}).",
            f"Pixel by pixel: {self.border:+,.10g} from the border, {self.centre:+,.10g} from the "
            f"centre, {self.total:+,.10g} together; what is negative speaks for the wrong one.",
        ]
        if share is not None:
            lines.append(
                f"Of all that speaks for the wrong neighbour, {share:.1%} lies in the border, "
                f"which holds {self.regions.border_share:.1%} of the pixels."
            )
        return lines


def check_ledger(metric: str, index: int, count: int) -> None:
    """Raise `InputError` unless the metric is a sum over pixels and there is such an image.

    Args:
        metric: a name.
        index: the image's row.
        count: images in the split.
    """
    if metric not in SPLITTABLE:
        raise InputError(
            f"a {metric} distance is no sum over pixels; use one of {', '.join(SPLITTABLE)}."
        )
    if not 0 <= index < count:
        raise InputError(f"there is no image {index}; the split has rows 0 to {count - 1}.")


def ledger(
    train: tuple[NDArray[Any], NDArray[np.int64]],
    test: tuple[NDArray[Any], NDArray[np.int64]],
    index: int,
    result: KnnResult,
) -> Ledger:
    """Draw up the account of one image.

    Args:
        train: the images (N, H, W, C) and labels (N,) that were searched.
        test: the images and labels that were tested.
        index: the image's row in `test`.
        result: the baseline.

    Raises:
        InputError: see `check_ledger`; or a class without training images.
    """
    metric, threads = result.settings.metric, result.settings.threads
    check_ledger(metric, index, len(test[1]))
    image, true = test[0][index], int(test[1][index])
    images, labels = train
    rows = np.arange(len(labels)) if result.train_rows is None else result.train_rows
    found = search(
        image[None], images, result.k, metric, training_rows=result.train_rows, threads=threads
    )
    elected, _ = elect(found, labels, result.class_count, metric, result.settings.weights, result.k)
    predicted = int(elected[0])
    of_true = labels[rows] == true
    others = labels[rows] == predicted if predicted != true else ~of_true
    if not of_true.any() or not others.any():
        raise InputError(f"image {index} has no two classes among the training images to compare.")
    right_row, wrong_row = (
        int(search(image[None], images, 1, metric, training_rows=rows[chosen],
                   threads=threads).indices[0, 0])
        for chosen in (of_true, others)
    )  # fmt: skip
    right = pixel_parts(image[None], images[right_row][None], metric)[0]
    wrong = pixel_parts(image[None], images[wrong_row][None], metric)[0]
    return Ledger(
        index=index,
        true=true,
        predicted=predicted,
        rival=int(labels[wrong_row]),
        right_row=right_row,
        wrong_row=wrong_row,
        right_distance=_plain(right.sum()),
        wrong_distance=_plain(wrong.sum()),
        entries=wrong - right,
        regions=halve(*image.shape[:2]),
        unit=SPLITTABLE[metric],
    )


def _plain(number: Any) -> float:
    value: float = number.item()
    return value
