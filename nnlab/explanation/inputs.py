"""What a user names in words: classes, and the scores of a worked example."""

import math
from collections.abc import Sequence

import numpy as np

from nnlab.core.losses import LOSSES, Loss, loss_from_spec
from nnlab.errors import InputError
from nnlab.explanation.losses import LossPart, loss_part

# What a worked example shows unless told: the two losses that a course begins with.
SHOWN = ("hinge", "softmax")


def find_class(text: str, classes: Sequence[str]) -> int:
    """Return the number of the class that `text` means: a name, or else a number from 0.

    Raises:
        InputError: there is no such class, or two of that name.
    """
    named = [index for index, name in enumerate(classes) if name == text]
    if len(named) == 1:
        return named[0]
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    known = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
    problem = "names several classes" if named else "is no class"
    raise InputError(
        f"--true {text} {problem}; name one of {known}, or its number from 0 to {len(classes) - 1}."
    )


def parse_scores(text: str) -> list[float]:
    """Return the numbers of a text such as ``13,8,-2``.

    Raises:
        InputError: fewer than two, or something that is not a finite number.
    """
    try:
        scores = [float(part) for part in text.split(",")]
    except ValueError:
        scores = []
    if len(scores) < 2 or not all(math.isfinite(score) for score in scores):
        raise InputError(
            f"--scores takes two or more numbers with commas between them, such as 13,8,-2, not "
            f"{text!r}."
        )
    return scores


def example_losses(
    scores: Sequence[float], label: int, delta: float | None, kind: str | None
) -> list[LossPart]:
    """Work out the losses of given scores.

    Args:
        scores: of the classes.
        label: the right one.
        delta: of the hinge losses; None for 1.
        kind: the name of a loss; None for the hinge loss, and without a delta softmax too.

    Raises:
        InputError: an unknown loss, or a delta that is not above 0.
    """
    if kind is None:
        kinds = SHOWN if delta is None else SHOWN[:1]
    elif kind in LOSSES:
        kinds = (kind,)
    else:
        raise InputError(f"--loss is one of {', '.join(LOSSES)}, not {kind!r}.")
    if delta is not None and kinds == ("softmax",):
        raise InputError("--delta is the margin of the hinge losses; the softmax loss has none.")
    return [loss_part(_loss(name, delta), np.array(scores), label) for name in kinds]


def _loss(kind: str, delta: float | None) -> Loss:
    spec = {"kind": kind}
    try:
        return loss_from_spec(spec if delta is None else {**spec, "delta": delta})
    except ValueError as error:
        raise InputError(f"--delta: {error}.") from None
