"""Searches whose trials depend on one another: Optuna's samplers and pruners on a shared storage.

Optuna's storage says which trials there are, what they try and how they end; the run files hold
everything else, and claims say who works on what. A trial of a worker that died stays running in
the storage: whoever claims its run goes on with the very same trial from its checkpoint, and only
the holder of the claim tells its end. So no trial is doubled, failed and begun anew, or lost.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import random
from statistics import fmean
from time import monotonic, sleep
from typing import Any

from nnlab.claims import claim
from nnlab.errors import BusyError, InputError
from nnlab.randomness import generator
from nnlab.sweep.source import Claims, Held
from nnlab.sweep.space import Parameter, Point, Value
from nnlab.sweep.study import JOURNAL, Study, shown_storage
from nnlab.sweep.trials import DONE, FINAL, PRUNED, Standing, Task, Trials

IDENTITY = "nnlab_study"
# What SQLAlchemy raises for a table that somebody else has made meanwhile.
ALREADY_THERE = ("IntegrityError", "ProgrammingError")
# Between the tries to open a database, seconds at most.
OPENING_PAUSES = (1.0, 2.0, 4.0)
# How long the maker of a study in a storage may take to say whose it is.
NAMING_SECONDS = 5.0
# Taken while a trial is asked for, so that no two workers ask for the last one.
ASKING = "ask"


def open_shared(study: Study, identity: str) -> "SharedTrials":
    """Open a study's storage, or begin it.

    Args:
        study: whose folder has been entered.
        identity: of the folder, so that no other study of the same name is taken for it.

    Raises:
        InputError: Optuna is not installed, the storage cannot be used, or it has another study of
            this name.
    """
    try:
        import optuna
    except ImportError as error:
        raise InputError(
            f"{study.path}: sampler tpe and pruners need Optuna: pip install "
            "'nnlab-toolkit[sweep]'."
        ) from error
    url = study.storage
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with _storage_of(study):
        for pause in (*OPENING_PAUSES, None):
            try:
                found, known = _load(study, identity)
                break
            except _errors_of_storages() as error:
                # Workers that begin at once make the same tables, and all but one fail.
                if pause is None or type(error).__name__ not in ALREADY_THERE:
                    raise
                sleep(pause * random())
    if known != identity:
        raise InputError(
            f"{shown_storage(url)} has another study called {study.path.stem}; rename {study.path}."
        )
    return SharedTrials(study, found)


def _load(study: Study, identity: str) -> tuple[Any, str | None]:
    """Open a study's storage; return Optuna's study and the identity that it has there."""
    import optuna

    if study.storage is None:
        from nnlab.sweep.journal import open_journal

        storage: Any = open_journal(study.folder / JOURNAL)
    else:
        storage = _database(study.storage)
    name = study.path.stem
    try:
        found = optuna.load_study(storage=storage, study_name=name)
    except KeyError:
        direction = "maximize" if study.more_is_better else "minimize"
        # Of several that begin it at once, one makes it; the others wait to hear whose it is.
        try:
            found = optuna.create_study(storage=storage, study_name=name, direction=direction)
            found.set_user_attr(IDENTITY, identity)
            return found, identity
        except optuna.exceptions.DuplicatedStudyError:
            found = optuna.load_study(storage=storage, study_name=name)
    deadline = monotonic() + NAMING_SECONDS
    known: str | None = found.user_attrs.get(IDENTITY)
    while known is None and monotonic() < deadline:
        sleep(0.05)
        known = found.user_attrs.get(IDENTITY)
    if known is None and not found.get_trials(deepcopy=False):  # its maker died before it said so
        found.set_user_attr(IDENTITY, identity)
        known = identity
    return found, known


def _database(url: str) -> Any:
    """Open a database that a worker is connected to only while it asks it something.

    Optuna keeps connections open, more than one a worker, and a PostgreSQL allows 100 of all unless
    told.
    """
    import optuna
    from sqlalchemy.pool import NullPool

    return optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": NullPool})


@contextmanager
def _storage_of(study: Study) -> Iterator[None]:
    """Turn what a storage or its driver raises into one line, and keep Optuna quiet.

    Its warnings are for those who write programs with it: that a feature may change.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except _errors_of_storages() as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"the storage {shown_storage(study.storage)} of {study.path} cannot be used: {reason}"
        ) from error


def _errors_of_storages() -> tuple[type[Exception], ...]:
    from optuna.exceptions import OptunaError

    known: list[type[Exception]] = [ImportError, OSError, ValueError, RuntimeError, OptunaError]
    try:
        from sqlalchemy.exc import SQLAlchemyError

        known.append(SQLAlchemyError)
    except ImportError:
        pass
    return tuple(known)


class SharedTrials(Trials):
    """The trials of a study as its storage knows them."""

    def __init__(self, study: Study, optuna_study: Any) -> None:
        super().__init__(study)
        self.optuna_study = optuna_study
        self._points: dict[int, Point] = {}

    def stored(self) -> list[Any]:
        """Return Optuna's trials, in the order of their numbers."""
        with _storage_of(self.study):
            found: list[Any] = self.optuna_study.get_trials(deepcopy=False)
        return found

    @property
    def locked_seconds(self) -> float:
        """For how long the journal has been locked."""
        if self.study.storage is not None:
            return 0.0
        from nnlab.sweep.journal import locked_seconds

        return locked_seconds(self.study.folder / JOURNAL)

    def begun(self) -> int:
        """Return how many trials there are in the storage."""
        return len(self.stored())

    def point(self, trial: int) -> Point:
        """Return what a trial tries."""
        if trial not in self._points:
            for stored in self.stored():
                if stored.state.is_finished():
                    self._points[stored.number] = dict(stored.params)
                elif stored.number == trial:  # what it tries may still be in the choosing
                    return dict(stored.params)
        return self._points[trial]


class SharedSource:
    """The runs of a search through Optuna.

    Args:
        trials: of the study, with its storage.
    """

    def __init__(self, trials: SharedTrials) -> None:
        self.study = trials.study
        self.trials = trials
        self.others = 0
        self._claims = Claims()
        self._optuna = trials.optuna_study
        self._optuna.pruner = make_pruner(self.study)

    def take(self) -> Held | None:
        """Claim a run that was begun and nobody works on, or the first one of a new trial."""
        self.others = 0
        try:
            with claim(self.study.folder / ASKING, "sweep", brief=True), _storage_of(self.study):
                stored = self.trials.stored()
                for trial in stored:
                    if trial.state.name == "RUNNING":
                        held = self._go_on(trial.number)
                        if held is not None:
                            return held
                return self._ask(len(stored))
        except BusyError:
            self.others += 1
            return None

    def _go_on(self, number: int) -> Held | None:
        """Claim a run of a running trial; end the trial if all its runs have ended."""
        ended = True
        for task in self._tasks(number):
            standing = self.trials.standing(task)
            if standing.state in FINAL:
                continue
            ended = False
            held = self._claims.take(task)
            if held is None:
                self.others += 1
                continue
            standing = self.trials.standing(task)
            if standing.state not in FINAL:
                return Held(task, held, standing)
            held.release()
        if ended:
            self._tell(number)
        return None

    def _ask(self, known: int) -> Held | None:
        """Begin a new trial, unless there are enough."""
        if self.study.trials is not None and known >= self.study.trials:
            return None
        if self.study.time is not None and self._seconds(known) >= self.study.time:
            return None
        self._optuna.sampler = make_sampler(self.study, known)
        number = self._optuna.ask().number
        return self._go_on(number)

    def _seconds(self, known: int) -> float:
        return sum(
            self.trials.standing(task).seconds
            for number in range(known)
            for task in self._tasks(number)
        )

    def _tasks(self, number: int) -> Iterator[Task]:
        """Yield the runs of a trial; what it tries is chosen now, as far as it is not yet."""
        stored = self.trials.stored()[number]
        if stored.state.name == "RUNNING":
            from optuna.trial import Trial

            self._optuna.sampler = make_sampler(self.study, number)
            trial = Trial(self._optuna, stored._trial_id)
            self.study.space.walk(lambda parameter: _suggest(trial, parameter))
        yield from self.trials.tasks(number)

    def heard(self, held: Held, record: dict[str, Any]) -> bool:
        """Report an epoch of a trial's first run; return whether to give the trial up."""
        if self.study.pruner == "none" or held.task.seed != self.study.seeds[0]:
            return False
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import Trial

        stored = self.trials.stored()[held.task.trial]
        value, epoch = record.get(self.study.metric), int(record["epoch"])
        if value is None or stored.state.name != "RUNNING":
            return False
        # A run may have ended before its last epochs are heard of, and any worker tells the end.
        with _storage_of(self.study), suppress(UpdateFinishedTrialError):
            trial = Trial(self._optuna, stored._trial_id)
            if epoch not in stored.intermediate_values:  # a resumed run repeats some
                trial.report(float(value), epoch)
            return bool(trial.should_prune()) and epoch < int(record["epochs"])
        return False

    def ended(self, held: Held, standing: Standing) -> None:
        """Let go of a run; with the last one of a trial, tell how the trial ended."""
        try:
            if standing.state in FINAL:
                tasks = self.trials.tasks(held.task.trial)
                if all(self.trials.standing(task).state in FINAL for task in tasks):
                    self._tell(held.task.trial)
        finally:
            self._claims.give_back(held, standing)

    def _tell(self, number: int) -> None:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        standings = [self.trials.standing(task) for task in self.trials.tasks(number)]
        values = [standing.value(self.study.metric) for standing in standings]
        known = [value for value in values if value is not None]
        # Whoever tells second tells the same: it all follows from the files.
        with _storage_of(self.study), suppress(UpdateFinishedTrialError, ValueError):
            if all(standing.state == DONE for standing in standings) and known:
                self._optuna.tell(number, fmean(known))
            elif any(standing.state == PRUNED for standing in standings):
                self._optuna.tell(number, state=TrialState.PRUNED)
            else:
                self._optuna.tell(number, state=TrialState.FAIL)


def make_sampler(study: Study, number: int) -> Any:
    """Return the sampler for one trial.

    Its random numbers are those of the trial, so that workers that begin at the same time do not
    try the same.
    """
    import optuna

    seed = int(generator(study.seed, "sweep sampler", number).integers(2**32))
    if study.sampler == "tpe":
        # Running trials count as bad ones, or all workers would crowd around the best one.
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    return optuna.samplers.RandomSampler(seed=seed)


def make_pruner(study: Study) -> Any:
    """Return the pruner; its steps are epochs."""
    from optuna import pruners

    return {
        "none": pruners.NopPruner,
        "median": pruners.MedianPruner,
        "successive-halving": pruners.SuccessiveHalvingPruner,
        "hyperband": lambda: pruners.HyperbandPruner(max_resource=study.most_epochs),
    }[study.pruner]()


def _suggest(trial: Any, parameter: Parameter) -> Value:
    name = parameter.name
    if parameter.choices:
        value: Value = trial.suggest_categorical(name, parameter.choices)
        return value
    if parameter.integer:
        number: Value = trial.suggest_int(
            name, int(parameter.low), int(parameter.high), step=int(parameter.step or 1),
            log=parameter.log,
        )  # fmt: skip
        return number
    return trial.suggest_float(
        name, parameter.low, parameter.high, step=parameter.step, log=parameter.log
    )
