"""What `nnlab sweep status` and `best` show."""

from typing import Any

from nnlab.cli.output import Output, percent
from nnlab.sweep.importances import importances
from nnlab.sweep.results import Overview, TrialResult, overview, parameter_names, ranked
from nnlab.sweep.space import Point
from nnlab.sweep.study import Study
from nnlab.sweep.trials import DIVERGED, FAILED, RUNNING, STOPPED, Trials
from nnlab.training.durations import format_duration

# A living worker holds the lock of a journal for milliseconds.
LONG_LOCKED = 2.0


def show_status(out: Output, study: Study, trials: Trials) -> None:
    """Show where a study stands."""
    found = overview(trials)
    best = ranked(study, found.trials)[:1]
    out.line(f"{study.path}: {study.sampler} search by {study.metric}, runs in {study.folder}")
    counts = [f"{count:,} {state}" for state, count in found.runs.items() if count]
    of = "" if found.total is None else f" of {found.total:,} runs"
    out.line(
        f"{', '.join(counts) or 'nothing begun'}{of}; {format_duration(found.seconds)} of training"
    )
    if best:
        out.line(f"best: {describe(study, best[0])}")
    _show_open(out, study, found)
    locked = trials.locked_seconds
    if locked > LONG_LOCKED:
        out.note(
            f"the journal has been locked for {locked:.0f} s: its holder may have "
            "died; the workers take the lock away after half a minute"
        )
    out.result(
        {
            "study": str(study.path),
            "folder": str(study.folder),
            "sampler": study.sampler,
            "metric": study.metric,
            "total": found.total,
            "runs": found.runs,
            "finished": found.finished,
            "seconds": found.seconds,
            "best": best[0].record() if best else None,
            "trials": [trial.record() for trial in found.trials],
        }
    )


def _show_open(out: Output, study: Study, found: Overview) -> None:
    rows = []
    for trial in found.trials:
        for task, standing in trial.runs:
            if standing.state in {RUNNING, STOPPED, FAILED, DIVERGED}:
                where = standing.worker or standing.reason or "-"
                metric = dict(standing.metrics).get(study.metric)
                rows.append(
                    [task.run.name, standing.state, point_text(trial.point), where,
                     standing.epoch or "-", metric_text(study, metric)]
                )  # fmt: skip
    if rows:
        out.table("", ["run", "state", "settings", "where or why", "epoch", "best"], rows, left=4)


def show_best(out: Output, study: Study, trials: Trials, top: int, at_end: bool) -> None:
    """Show the best trials; after a sweep, the best one in a line."""
    found = overview(trials)
    best = ranked(study, found.trials)
    if at_end:
        counts = ", ".join(f"{count:,} {state}" for state, count in found.runs.items() if count)
        out.line(f"{counts} -> {study.folder}")
        if best:
            out.line(f"best: {describe(study, best[0])}")
    elif best:
        names = parameter_names(study, best[:top])
        repeated = study.repeats > 1
        numbers = [study.metric.replace("_", "\n"), *(["+-"] if repeated else []), "seconds"]
        columns = ["trial", *[name.replace("_", "-") for name in names], *numbers]
        rows = [
            [trial.number, *[value_text(trial.point.get(name)) for name in names],
             metric_text(study, trial.value),
             *([metric_text(study, trial.spread)] if repeated else []), f"{trial.seconds:.1f}"]
            for trial in best[:top]
        ]  # fmt: skip
        out.table("", columns, rows, left=1 + len(names))
    else:
        out.line("no trial is done yet.")
    shares = importances(best)
    if shares and not at_end:
        parts = [f"{name.replace('_', '-')} {share:.0%}" for name, share in shares.items()]
        out.line(f"share of the differences by one parameter alone: {', '.join(parts)}")
    if best:
        out.line(
            f"again, with these settings: nnlab train --config {best[0].runs[0][0].run} -o again.h5"
        )
    out.result(
        {
            "study": str(study.path),
            "folder": str(study.folder),
            "metric": study.metric,
            "finished": found.finished,
            "runs": found.runs,
            "best": best[0].record() if best else None,
            "importances": shares,
            "trials": [trial.record() for trial in best[:top]],
        }
    )


def describe(study: Study, trial: TrialResult) -> str:
    """Say in a line what a trial tried and reached."""
    spread = "" if trial.spread is None else f" +- {metric_text(study, trial.spread)}"
    return (
        f"trial {trial.number}, {study.metric} {metric_text(study, trial.value)}{spread}: "
        f"{point_text(trial.point)} -> {trial.runs[0][0].run}"
    )


def metric_text(study: Study, value: float | None) -> str:
    """Write a value of the study's metric."""
    if value is None:
        return "-"
    return percent(value) if study.metric == "val_accuracy" else f"{value:.4f}"


def point_text(point: Point) -> str:
    """Write what a trial tried."""
    return " ".join(
        f"{name.replace('_', '-')}={value_text(value)}" for name, value in point.items()
    )


def value_text(value: Any) -> str:
    """Write one value of a setting, as short as tells it from its neighbours."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
