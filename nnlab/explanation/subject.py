"""Which image is explained, and by which run."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Subject:
    """Which image is explained, and by which run.

    Attributes:
        run: the run file.
        model: what classifies: ``mlp``, ``softmax``, ``5 nearest neighbours``, ...
        image: the file, or the data set, split and row, that the image came from.
        classes: the names of the classes.
        label: the right class; the predicted one where nobody knows.
        label_is_known: whether somebody does.
        config: every setting of the run.
    """

    run: str
    model: str
    image: str
    classes: list[str]
    label: int
    label_is_known: bool
    config: dict[str, Any]
