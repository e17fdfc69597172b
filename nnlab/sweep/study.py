"""A study: what is searched, how, and by which measure, as `STUDY.toml` says it."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nnlab.errors import InputError
from nnlab.sweep.space import Point, Space, parse_space
from nnlab.training.durations import parse_duration
from nnlab.training.settings import Settings

SAMPLERS = ("grid", "random", "tpe")
PRUNERS = ("none", "median", "successive-halving", "hyperband")
# The measure and whether more of it is better.
METRICS = {"val_accuracy": True, "val_loss": False}
# In the folder of a study without a database: the trials that Optuna shares.
JOURNAL = "journal.log"
# What a database's URL may hold besides its place.
SECRETS = ("user=", "password=")
FOLDER_SUFFIX = ".sweep"
LARGEST_STUDY = 1_000_000

KEYS = (
    "data", "sampler", "trials", "time", "seed", "metric", "repeats", "attempts", "pruner",
    "checkpoint-every", "folder", "storage", "fixed", "search",
)  # fmt: skip
# What may change while a study is under way: it decides how much is done, not what a trial is.
MAY_CHANGE = ("trials", "time", "attempts", "checkpoint-every")


@dataclass(frozen=True)
class Study:
    """One search.

    Attributes:
        path: of STUDY.toml.
        folder: where the trials' run files go.
        data: a data file, or the name of a known data set.
        space: what is searched.
        sampler: of `SAMPLERS`.
        pruner: of `PRUNERS`.
        trials: how many; None for as many as the grid has or `time` allows.
        time: seconds of training, all trials together, after which no other is begun; or None.
        seed: decides the trials of a random search.
        metric: of `METRICS`, on the validation images.
        repeats: how many runs of each trial, with the seeds `seeds`.
        attempts: how often a run is begun that dies without a word and without a checkpoint.
        checkpoint_every: as `train` takes it.
        storage: URL of a database in which Optuna's trials are shared; None for a journal file in
            the folder.
    """

    path: Path
    folder: Path
    data: str
    space: Space
    sampler: str = "random"
    pruner: str = "none"
    trials: int | None = None
    time: float | None = None
    seed: int = 0
    metric: str = "val_accuracy"
    repeats: int = 1
    attempts: int = 5
    checkpoint_every: str = "1m"
    storage: str | None = None
    grid: tuple[Point, ...] = field(default=(), repr=False)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of a trial's runs: that under [fixed], and those after it."""
        first = int(self.space.fixed.get("seed", 0))
        return tuple(range(first, first + self.repeats))

    @property
    def needs_optuna(self) -> bool:
        """Whether the trials depend on one another, so that their results have to be shared."""
        return self.sampler == "tpe" or self.pruner != "none"

    @property
    def most_epochs(self) -> int:
        """How many epochs a trial trains at most."""
        if "epochs" in self.space.fixed:
            return int(self.space.fixed["epochs"])
        counts = [Settings().epochs]
        for parameter in self.space.parameters:
            if parameter.name == "epochs":
                searched = [int(value) for value in parameter.choices or (parameter.high,)]
                # Where it does not count, the default does.
                counts = searched + (counts if parameter.when else [])
        return max(counts)

    @property
    def more_is_better(self) -> bool:
        """Whether a higher value of the metric is better."""
        return METRICS[self.metric]

    def definition(self) -> dict[str, Any]:
        """Return what makes a trial what it is, as plain values; equal for equal studies."""
        parameters = [
            {
                **vars(parameter),
                "choices": list(parameter.choices),
                "when": {name: list(values) for name, values in parameter.when.items()},
            }
            for parameter in self.space.parameters
        ]
        record = {
            "sampler": self.sampler,
            "pruner": self.pruner,
            "seed": self.seed,
            "metric": self.metric,
            "repeats": self.repeats,
            "fixed": dict(sorted(self.space.fixed.items())),
            "search": parameters,
        }
        plain = json.loads(json.dumps(record))
        assert isinstance(plain, dict)
        return plain


def shown_storage(url: str | None) -> str:
    """Return how a storage is named in messages and files: without user and password."""
    if url is None or url == JOURNAL:
        return JOURNAL
    parts = urlsplit(url)
    # Not urlunsplit, which takes the slashes of a database without a host away.
    named = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    told = [pair for pair in parts.query.split("&") if not pair.startswith(SECRETS)]
    return named + (f"?{'&'.join(told)}" if any(told) else "")


def read_study(path: Path, storage: str | None = None) -> Study:
    """Read a study.

    Args:
        path: of STUDY.toml.
        storage: instead of what the study says.

    Raises:
        InputError: it cannot be read, is no TOML, or says something that makes no study.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise InputError(f"{path} cannot be read: {reason}.") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is no valid TOML: {error}.") from error
    try:
        study = _study(path, values)
        return study if storage is None else replace(study, storage=storage)
    except InputError as error:
        message = str(error)
        raise InputError(
            message if message.startswith(str(path)) else f"{path}: {message}"
        ) from None


def _study(path: Path, values: Mapping[str, Any]) -> Study:
    values = {key.replace("_", "-"): value for key, value in values.items()}
    for key in values:
        if key not in KEYS:
            raise InputError(f"unknown key {key!r}; known: {', '.join(KEYS)}.")
    data = _text(values, "data", None)
    if data is None:
        raise InputError("data is missing: a data file, or the name of a known data set.")
    fixed = {key.replace("-", "_"): value for key, value in _table(values, "fixed").items()}
    settings = Settings.of(fixed)
    fixed = {name: getattr(settings, name) for name in fixed}
    space = parse_space(_table(values, "search"), fixed)
    if not space.parameters:
        raise InputError("[search] is missing or empty: name the options to be searched.")
    folder = _text(values, "folder", f"{path.stem}{FOLDER_SUFFIX}")
    duration = values.get("time")
    study = Study(
        path=path,
        folder=path.parent / Path(str(folder)).expanduser(),
        data=_place(path, data),
        space=space,
        sampler=_choice(values, "sampler", SAMPLERS, "random"),
        pruner=_choice(values, "pruner", PRUNERS, "none"),
        trials=_count(values, "trials", None),
        time=None if duration is None else parse_duration(str(duration), "time"),
        seed=_count(values, "seed", 0, least=0) or 0,
        metric=_choice(values, "metric", tuple(METRICS), "val_accuracy"),
        repeats=_count(values, "repeats", 1) or 1,
        attempts=_count(values, "attempts", 5) or 5,
        checkpoint_every=str(values.get("checkpoint-every", "1m")),
        storage=_text(values, "storage", None),
    )
    if study.sampler == "grid" and study.pruner != "none":
        raise InputError("a grid is trained whole; a pruner goes with sampler random or tpe.")
    if settings.val == 0:
        raise InputError("fixed.val is 0; trials are compared on validation images.")
    return _with_amount(study)


def _with_amount(study: Study) -> Study:
    """Decide how many trials there are."""
    grid: tuple[Point, ...] = ()
    trials = study.trials
    if study.sampler == "grid":
        grid = tuple(islice(study.space.grid(), LARGEST_STUDY + 1))
        if len(grid) > LARGEST_STUDY:
            raise InputError(
                f"the grid has more than {LARGEST_STUDY:,} points; take fewer values, or sampler = "
                '"random".'
            )
        trials = len(grid) if trials is None else min(trials, len(grid))
    elif trials is None and study.time is None:
        raise InputError('say how long to search: trials = N, or time = "8h" of training.')
    return replace(study, grid=grid, trials=trials)


def _place(path: Path, data: str) -> str:
    """Return where the data lies: a path is seen from the study's folder."""
    beside = path.parent / Path(data).expanduser()
    looks_like_path = "/" in data or Path(data).suffix != ""
    return str(beside) if looks_like_path or beside.exists() else data


def _table(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = values.get(key, {})
    if not isinstance(table, dict):
        raise InputError(f"{key} is a table: [{key}].")
    return table


def _text(values: Mapping[str, Any], key: str, default: str | None) -> str | None:
    value = values.get(key, default)
    if value is not default and (not isinstance(value, str) or not value):
        raise InputError(f"{key} is no text: {value!r}.")
    return value


def _choice(values: Mapping[str, Any], key: str, known: tuple[str, ...], default: str) -> str:
    value = values.get(key, default)
    if value not in known:
        raise InputError(f"{key} is one of {', '.join(known)}, not {value!r}.")
    return str(value)


def _count(values: Mapping[str, Any], key: str, default: int | None, least: int = 1) -> int | None:
    value = values.get(key, default)
    if value is None:
        return None
    if type(value) is not int or not least <= value <= LARGEST_STUDY:
        raise InputError(
            f"{key} is a whole number from {least} to {LARGEST_STUDY:,}, not {value!r}."
        )
    return value
