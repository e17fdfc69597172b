"""Which images of a source go into a data file, decided from their labels alone.

Nothing is decoded to choose: of a million photographs, `--limit 1000` reads a thousand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nnlab.datasets.splitting import Chosen, Indices, SplitOptions, arrange_splits
from nnlab.errors import InputError

# A message names so many classes.
NAMED = 12


@dataclass(frozen=True)
class ChoiceOptions:
    """What is chosen.

    Attributes:
        relabel: old name of a class -> new name; several may get the same.
        classes: the classes to keep, by their new names, in the order of their labels; None for
            all.
        splits: which splits are made, and how large they may be.
    """

    relabel: Mapping[str, str] = field(default_factory=dict)
    classes: Sequence[str] | None = None
    splits: SplitOptions = field(default_factory=SplitOptions)


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        classes: names in the order of the labels.
        splits: name -> its images.
        steps: a line about each thing that was done.
    """

    classes: list[str]
    splits: dict[str, Chosen]
    steps: list[str]


def choose(classes: Sequence[str], labels: Mapping[str, Indices], options: ChoiceOptions) -> Choice:
    """Choose images.

    Args:
        classes: the source's names, in the order of the labels.
        labels: split -> labels (N,) of its images; `train` is one of them.
        options: what to choose.

    Raises:
        InputError: a class that is not there, no training images are left, or an amount makes no
            sense.
    """
    names, table, steps = _relabelled(classes, options)
    splits: dict[str, Chosen] = {}
    for split, of_split in labels.items():
        new = table[of_split]
        rows = np.flatnonzero(new >= 0)
        if len(rows):
            splits[split] = Chosen(split, rows, new[rows])
        if len(rows) < len(of_split):
            left = f"{len(of_split) - len(rows):,} of {len(of_split):,} images of {split}"
            steps.append(f"{left} are of other classes and were left out")
    if "train" not in splits:
        raise InputError(f"no training images are of the classes {_some(names)}.")
    splits, more = arrange_splits(splits, options.splits)
    return Choice(names, splits, steps + more)


def _relabelled(
    classes: Sequence[str], options: ChoiceOptions
) -> tuple[list[str], Indices, list[str]]:
    """Return the new names, the new label of each old one (-1: left out), and what was done."""
    _check_known("--relabel", options.relabel, classes)
    renamed = [options.relabel.get(name, name) for name in classes]
    names, steps = list(dict.fromkeys(renamed)), []
    if options.relabel:
        pairs = ", ".join(f"{old} as {new}" for old, new in options.relabel.items())
        steps.append(f"classes were relabelled: {pairs}")
    if options.classes is not None:
        _check_known("--classes", options.classes, names)
        names = list(options.classes)
        steps.append(f"the classes {', '.join(names)} were kept")
    places = {name: label for label, name in enumerate(names)}
    return names, np.array([places.get(name, -1) for name in renamed], np.int64), steps


def _check_known(
    option: str, wanted: Sequence[str] | Mapping[str, str], known: Sequence[str]
) -> None:
    for name in wanted:
        if name not in known:
            raise InputError(f"{option}: there is no class {name!r}; there are {_some(known)}.")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def parse_classes(text: str) -> list[str]:
    """Turn ``cat,dog`` into names.

    Raises:
        InputError: an empty name, or one that stands twice.
    """
    names = [name.strip() for name in text.split(",")]
    if "" in names or len(set(names)) < len(names):
        raise InputError(f"--classes {text}: expected different names, such as cat,dog.")
    return names


def parse_relabel(text: str) -> dict[str, str]:
    """Turn ``cat=animal,dog=animal`` into old name -> new name.

    Raises:
        InputError: it is something else, or gives a class two names.
    """
    pairs = [part.partition("=") for part in text.split(",")]
    names = {old.strip(): new.strip() for old, _, new in pairs}
    if "" in {*names, *names.values()} or len(names) < len(pairs) or text.count("=") > len(pairs):
        raise InputError(f"--relabel {text}: expected OLD=NEW,..., each old name once.")
    return names
