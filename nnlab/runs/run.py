"""A run: everything that one training or one nearest-neighbour experiment leaves behind.

    /                       nnlab_format, format_version, nnlab_version, created, kind
    /command                the command line, as typed
    /config                 JSON of every setting in force
    /model/spec             JSON that builds the model again
    /classes                the names of the classes
    /history/epoch|step     one 1-D data set a quantity
    /history/sampled        the same, of the steps that its ``step`` names
    /evaluations/DATA/SPLIT what was measured: attributes, and arrays by class
    /summary                JSON of what a listing shows
    everything else         plain arrays (weights, optimizer, preprocessing, ...) and attributes

A run is a plain object in memory and is written whole, in the order of names, so that the same run
gives the same bytes (see `nnlab.runs.container`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import h5py
import numpy as np
from numpy.typing import NDArray

from nnlab import hdf5
from nnlab._version import __version__
from nnlab.claims import Claim
from nnlab.metrics import Metrics, Mistakes, Reliability
from nnlab.runs import container

Plain = str | int | float | bool
# Bytes of the JSON that describes the model.
MOST_SPEC = 2**20

# Groups and data sets that are not free for `Run.arrays` and `Run.attributes`.
RESERVED = {"command", "config", "model", "classes", "history", "evaluations", container.SUMMARY}
SERIES = ("epoch", "step", "sampled")
NUMBERS = (
    "n", "accuracy", "loss", "log_loss", "top5_accuracy", "expected_calibration_error",
    "brier_score", "hinge_loss",
)  # fmt: skip
ARRAYS = ("precision", "recall", "f1", "support", "confusion_matrix")
# What an evaluation may have besides: a group of arrays each.
TABLES: dict[str, type[Reliability] | type[Mistakes]] = {
    "reliability": Reliability,
    "mistakes": Mistakes,
}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(eq=False)
class Run:
    """One run in memory.

    Attributes:
        kind: ``"network"`` or ``"knn"``.
        command: the command line, as typed.
        config: every setting in force; anything that JSON can hold.
        classes: the names of the classes.
        spec: what builds the model again; anything that JSON can hold.
        arrays: plain arrays by their path in the file, such as ``"preprocessing/mean"``.
        attributes: plain values by group and name, such as ``["progress"]["epoch"]``.
        history: 1-D arrays by series (``"epoch"``, ``"step"``, ``"sampled"``) and quantity.
        evaluations: what was measured, by (data set, split).
        created: when the run began, ISO 8601 in UTC.
        path: the file it was read from or saved to last; None before.
    """

    kind: str
    command: Sequence[str]
    config: dict[str, Any]
    classes: Sequence[str]
    spec: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    attributes: dict[str, dict[str, Plain]] = field(default_factory=dict)
    history: dict[str, dict[str, NDArray[Any]]] = field(
        default_factory=lambda: {series: {} for series in SERIES}
    )
    evaluations: dict[tuple[str, str], Metrics] = field(default_factory=dict)
    created: str = field(default_factory=_now)
    path: Path | None = None

    def save(self, path: Path, held: Claim | None = None) -> str:
        """Write the run as a file, whole or not at all; one of that name is replaced.

        Args:
            path: the file.
            held: the claim to `path`; None to claim it for this one write.

        Returns:
            A warning, usually empty; see `nnlab.atomic.write_bytes`.

        Raises:
            InputError: the file could not be written; an older one of that name is untouched.
            ClaimLostError: another process has taken the file over.
            ValueError: a path in `arrays` or `attributes` that is taken by the format.
            TypeError: an array or a value that is not plain.
        """
        warning = container.write(path, self._fill, held)
        self.path = path
        return warning

    def image(self) -> memoryview:
        """Return the bytes that `save` would write."""
        return container.build(self._fill)

    def summary(self) -> dict[str, Any]:
        """Return what a listing shows, without arrays."""
        trained_on = self.spec.get("data")
        named = trained_on.get("name") if isinstance(trained_on, Mapping) else None
        return {
            "kind": self.kind,
            "created": self.created,
            "data": named or self.config.get("data"),
            "config": self.config,
            "spec": {key: item for key, item in self.spec.items() if isinstance(item, Plain)},
            "attributes": {
                path: dict(sorted(record.items()))
                for path, record in sorted(self.attributes.items())
            },
            "evaluations": [
                {"data": data, "split": split, "n": found.n, "accuracy": found.accuracy}
                for (data, split), found in sorted(self.evaluations.items(), key=itemgetter(0))
            ],
        }

    def _fill(self, file: h5py.File) -> None:
        hdf5.set_attributes(
            file, nnlab_format="run", format_version=container.VERSION,
            nnlab_version=__version__, created=self.created, kind=self.kind,
        )  # fmt: skip
        hdf5.write_texts(file, "command", list(self.command))
        hdf5.write_text(file, "config", _json(self.config))
        hdf5.write_text(file.create_group("model"), "spec", _json(self.spec))
        hdf5.write_texts(file, "classes", list(self.classes))
        for series in SERIES:
            group = file.create_group(f"history/{series}")
            for name, values in sorted(self.history.get(series, {}).items()):
                group.create_dataset(name, data=_plain_array(name, values))
        for path, values in sorted(self.arrays.items()):
            file.create_dataset(_free(path), data=_plain_array(path, values))
        for path, record in sorted(self.attributes.items()):
            group = file.require_group(_free(path))
            hdf5.set_attributes(group, **_plain_record(path, record))
        evaluations = file.create_group("evaluations")
        for (data, split), metrics in sorted(self.evaluations.items(), key=itemgetter(0)):
            _write_metrics(evaluations.create_group(f"{_quoted(data)}/{_quoted(split)}"), metrics)
        hdf5.write_text(file, container.SUMMARY, _json(self.summary()))


def open_run(path: Path) -> Run:
    """Read a run file into memory.

    Raises:
        InputError: there is no such file, or it cannot be read.
        FileFormatError: it is damaged, foreign, hostile, or of a newer version.
    """
    with container.opened(path) as file:
        run = Run(
            kind=hdf5.text_attribute(file, "kind"),
            command=hdf5.read_texts(file, "command"),
            config=_json_object(hdf5.read_text(file, "config")),
            classes=hdf5.read_texts(file, "classes"),
            spec=_read_spec(file["model"]),
            history={
                series: {name: values[()] for name, values in group.items()}
                for series, group in _series(file)
            },
            created=hdf5.text_attribute(file, "created"),
            path=path,
        )
        for data, splits in file["evaluations"].items():
            for split, group in splits.items():
                run.evaluations[_unquoted(data), _unquoted(split)] = _read_metrics(group)
        _check_samples(run.history["sampled"])
        for member_path, member in _free_members(file):
            if isinstance(member, h5py.Dataset):
                run.arrays[member_path] = member[()]
            elif len(member.attrs):
                run.attributes[member_path] = hdf5.read_attributes(member)
    return run


def _series(file: h5py.File) -> Iterator[tuple[str, Any]]:
    for series in SERIES:
        yield series, file.get(f"history/{series}", {})


def _check_samples(sampled: Mapping[str, NDArray[Any]]) -> None:
    """Raise `ValueError` unless every sample has its step: whoever shows them relies on it."""
    if sampled and {values.shape for values in sampled.values()} != {(len(sampled["step"]),)}:
        raise ValueError("the samples are not a table")


def _read_spec(group: h5py.Group) -> dict[str, Any]:
    # A network is described by kilobytes, and whoever reads that walks through its layers.
    if group["spec"].nbytes > MOST_SPEC:
        raise ValueError("the description of the model is too long")
    return _json_object(hdf5.read_text(group, "spec"))


def _free_members(group: h5py.Group, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, member in group.items():
        if not prefix and name in RESERVED:
            continue
        yield prefix + name, member
        if isinstance(member, h5py.Group):
            yield from _free_members(member, f"{prefix}{name}/")


def _write_metrics(group: h5py.Group, metrics: Metrics) -> None:
    for name in NUMBERS:
        value = getattr(metrics, name)
        if value is not None:
            group.attrs[name] = value
    for name in ARRAYS:
        group.create_dataset(name, data=getattr(metrics, name))
    for name, kind in TABLES.items():
        table = getattr(metrics, name)
        if table is not None:
            for column in fields(kind):
                group[f"{name}/{column.name}"] = getattr(table, column.name)


def _read_metrics(group: h5py.Group) -> Metrics:
    record = hdf5.read_attributes(group)
    numbers = {name: None if name not in record else float(record[name]) for name in NUMBERS[1:]}
    arrays = {name: group[name][()] for name in ARRAYS}
    tables = {
        name: kind(**{column.name: group[name][column.name][()] for column in fields(kind)})
        for name, kind in TABLES.items()
        if name in group
    }
    metrics = Metrics(n=int(record["n"]), **numbers, **arrays, **tables)  # type: ignore[arg-type]
    _check_metrics(metrics)
    return metrics


def _check_metrics(metrics: Metrics) -> None:
    """Raise `ValueError` if a measurement contradicts itself: whoever shows it relies on it."""
    matrix, mistakes = metrics.confusion_matrix, metrics.mistakes
    count = len(metrics.support)
    if matrix.shape != (count, count) or (matrix.sum(axis=1) != metrics.support).any():
        raise ValueError("the confusion matrix does not belong to the classes")
    if mistakes is None:
        return
    columns = [mistakes.index, mistakes.label, mistakes.predicted, mistakes.probability]
    if len({column.shape for column in columns}) > 1 or (mistakes.index < 0).any():
        raise ValueError("the mistakes are not a table")
    for classes in (mistakes.label, mistakes.predicted):
        if ((classes < 0) | (classes >= count)).any():
            raise ValueError("a mistake is of no class")


def _free(path: str) -> str:
    if path.partition("/")[0] in RESERVED:
        raise ValueError(f"/{path} is taken by the format of the run file")
    return path


def _plain_array(path: str, values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biufS":
        raise TypeError(f"/{path}: a run file holds plain numbers, not {array.dtype}")
    return array


def _plain_record(path: str, record: Mapping[str, Any]) -> dict[str, Plain]:
    plain = {}
    for name, value in record.items():
        item = value.item() if isinstance(value, np.generic) else value
        if not isinstance(item, Plain):
            raise TypeError(f"/{path}: {name} is {item!r}, neither a number nor a text")
        plain[name] = item
    return dict(sorted(plain.items()))


def _quoted(name: str) -> str:
    """Make any name one that HDF5 can use for a group; `_unquoted` makes it the name again."""
    if not name:
        return "%"
    if name == ".":
        return "%2E"
    return "".join(
        sign if sign.isprintable() and sign not in "/%" else quote(sign, "", errors=hdf5.ODD_BYTES)
        for sign in name
    )


def _unquoted(name: str) -> str:
    return "" if name == "%" else unquote(name, errors=hdf5.ODD_BYTES)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, default=_listed)


def _listed(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} cannot be kept as JSON")


def _json_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value
