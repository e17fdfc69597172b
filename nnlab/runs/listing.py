"""Many runs side by side: what each is, how its settings differ, what it reached."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnlab.errors import FileFormatError, InputError
from nnlab.runs import Run, container

SUFFIX = ".h5"
# What has a column of its own, follows from the data, or does not change the result.
NOT_SETTINGS = {
    "model", "metric", "k", "data", "data_path", "data_checksum", "train_images",
    "validation_images", "threads",
}  # fmt: skip
# Columns in which more is better; a sorted listing begins with the best.
MORE_IS_BETTER = {"val_accuracy", "created"}


@dataclass(frozen=True)
class Evaluation:
    """What a run reached on one split.

    Attributes:
        data, split: of which data set.
        n: number of images.
        accuracy: share of them classified right.
    """

    data: str
    split: str
    n: int
    accuracy: float


@dataclass(frozen=True)
class RunSummary:
    """One run file, in short.

    Attributes:
        path: of the file.
        kind: ``"network"`` or ``"knn"``.
        model: ``"mlp"``, ``"knn l1 k=5"``, ...
        data: name of the data set it was trained on.
        created: when it began, ISO 8601 in UTC.
        config: every setting in force.
        finished: training came to its end.
        diverged: training ended with numbers that were not finite; the last good weights are kept.
        epochs: epochs done; None for a kNN run.
        best_epoch: the epoch of the best weights; None for a kNN run, or before the first.
        val_accuracy: their accuracy on the validation images; None without any.
        evaluations: what was measured on which split.
        seconds: spent in training or searching; None if unknown.
    """

    path: Path
    kind: str
    model: str
    data: str
    created: str
    config: dict[str, Any]
    finished: bool
    diverged: bool
    epochs: int | None
    best_epoch: int | None
    val_accuracy: float | None
    evaluations: list[Evaluation]
    seconds: float | None

    def column(self, name: str) -> Any:
        """Return the value of a column: a field, a label of an evaluation, or a setting."""
        if name == "run":
            return str(self.path)
        if name in COLUMNS:
            return getattr(self, name)
        for evaluation in self.evaluations:
            if self.label(evaluation) == name:
                return evaluation.accuracy
        return self.config.get(name)

    def label(self, evaluation: Evaluation) -> str:
        """Name the column of an evaluation: the split, after the data set if it is another."""
        if evaluation.data == self.data:
            return evaluation.split
        return f"{evaluation.data}/{evaluation.split}"

    def record(self) -> dict[str, Any]:
        """Return everything as plain values, by the keys of `nnlab runs --json`."""
        return {
            **{name: self.column(name) for name in COLUMNS},
            "evaluations": [vars(evaluation) for evaluation in self.evaluations],
            "config": self.config,
        }


COLUMNS = (
    "run", "kind", "model", "data", "created", "finished", "diverged", "epochs", "best_epoch",
    "val_accuracy", "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Broken:
    """A file that should be a run and cannot be read: its path, and why."""

    path: Path
    reason: str


def find_runs(paths: Sequence[Path], verify: bool = False) -> tuple[list[RunSummary], list[Broken]]:
    """Summarize run files.

    Only each file's summary is read and checked, so that thousands take a second.

    Args:
        paths: run files, or folders to search, with all below, for run files called ``*.h5``.
            Hidden folders and HDF5 files of other kinds are passed over there.
        verify: check every byte of every file against its digest.

    Returns:
        The runs in the order of their paths, and the files that could not be read.

    Raises:
        InputError: a path that does not exist.
    """
    rows, broken = [], []
    for path, named in _candidates(paths):
        try:
            row = _summarize(path, verify)
            if row is None and named:
                raise FileFormatError(
                    f"{path} is another kind of HDF5 file, not an nnlab run file."
                )
            if row is not None:
                rows.append(row)
        except InputError as error:
            broken.append(Broken(path, str(error)))
    return rows, broken


def summary_of(run: Run) -> RunSummary:
    """Return a run that has been opened as a row of a listing.

    Raises:
        ValueError: it was never saved.
    """
    if run.path is None:
        raise ValueError("a run without a file cannot be listed")
    return _summary_row(run.path, run.summary())


def splits_of(rows: Iterable[RunSummary]) -> list[str]:
    """Return the labels of all evaluations: ``test`` first, then as they come."""
    labels = dict.fromkeys(row.label(found) for row in rows for found in row.evaluations)
    return sorted(labels, key=lambda label: label != "test")


def differing_settings(
    rows: Sequence[RunSummary], only_unusual: bool = False
) -> list[dict[str, Any]]:
    """Return, for each run, its settings that are not the same in all runs of its kind.

    Args:
        rows: the runs.
        only_unusual: leave out a value that more than half of them share; in a table it goes
            without saying.
    """
    usual: dict[str, dict[str, str | None]] = {}
    for kind in {row.kind for row in rows}:
        configs = [row.config for row in rows if row.kind == kind]
        usual[kind] = {}
        for name in dict.fromkeys(name for config in configs for name in config):
            values = Counter(_key(config.get(name)) for config in configs)
            if len(values) > 1 and name not in NOT_SETTINGS:
                value, count = values.most_common(1)[0]
                usual[kind][name] = value if count > len(configs) / 2 else None
    return [
        {
            name: row.config[name]
            for name, value in usual[row.kind].items()
            if name in row.config and not (only_unusual and _key(row.config[name]) == value)
        }
        for row in rows
    ]


def _key(value: Any) -> str:
    return json.dumps(value)


def sort_runs(rows: Sequence[RunSummary], column: str, reverse: bool = False) -> list[RunSummary]:
    """Sort runs by a column: accuracies best first, the rest smallest first; no value last.

    Args:
        rows: the runs.
        column: a name of `COLUMNS`, a label of an evaluation, or a setting.
        reverse: turn the order round.

    Raises:
        InputError: there is no such column.
    """
    check_column(rows, column)
    present = [row for row in rows if row.column(column) is not None]
    absent = [row for row in rows if row.column(column) is None]
    downwards = column in MORE_IS_BETTER or column in splits_of(rows)
    present.sort(key=lambda row: _sortable(row.column(column)), reverse=downwards != reverse)
    return present + absent


def check_column(rows: Sequence[RunSummary], column: str) -> None:
    """Check that some run has this column.

    Raises:
        InputError: none has.
    """
    splits = splits_of(rows)
    settings = dict.fromkeys(name for row in rows for name in row.config)
    if rows and column not in {*COLUMNS, *splits, *settings}:
        raise InputError(
            f"there is no column {column}; there are {', '.join([*COLUMNS, *splits])} and the "
            f"settings, such as {', '.join(list(settings)[:3])}."
        )


def _sortable(value: Any) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, str(value))


def _candidates(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Yield each path once, and whether it was named itself."""
    seen = set()
    for path in paths:
        if path.is_dir():
            found = [(item, False) for item in _files_below(path)]
        elif path.exists():
            found = [(path, True)]
        else:
            raise InputError(f"{path} does not exist.")
        for item, named in found:
            place = os.path.abspath(item)
            if place not in seen:
                seen.add(place)
                yield item, named


def _files_below(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(SUFFIX):
                yield Path(where, name)


def _summarize(path: Path, verify: bool) -> RunSummary | None:
    text = container.read_summary(path)
    if text is None:
        return None
    if verify:
        container.check_seal(path, path.read_bytes())
    try:
        return _summary_row(path, json.loads(text))
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FileFormatError(f"{path} has a summary that cannot be read ({error}).") from error


def _summary_row(path: Path, summary: Mapping[str, Any]) -> RunSummary:
    config, spec, attributes = summary["config"], summary["spec"], summary["attributes"]
    progress, result = attributes.get("progress", {}), attributes.get("result", {})
    is_knn = summary["kind"] == "knn"
    best_epoch = progress.get("best_epoch") or None
    accuracy = result.get("val_accuracy")
    if accuracy is None and best_epoch:
        accuracy = progress.get("best_accuracy")
    seconds = result.get("seconds", progress.get("seconds"))
    return RunSummary(
        path=path,
        kind=str(summary["kind"]),
        model=_knn_model(config, spec) if is_knn else str(config.get("model", "?")),
        data=Path(str(summary["data"])).stem,
        created=str(summary["created"]),
        config=dict(config),
        finished=is_knn or bool(progress.get("finished")),
        diverged=bool(progress.get("diverged")),
        epochs=None if is_knn else int(progress.get("epoch", 0)),
        best_epoch=best_epoch,
        val_accuracy=None if accuracy is None or accuracy < 0 else float(accuracy),
        evaluations=[Evaluation(**found) for found in summary["evaluations"]],
        seconds=None if seconds is None else float(seconds),
    )


def _knn_model(config: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    metric, k = (spec.get(name, config.get(name)) for name in ("metric", "k"))
    return f"knn {metric} k={k}"
