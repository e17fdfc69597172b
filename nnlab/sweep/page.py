"""A study as one page: the best trials, what mattered, and where good values lie."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnlab import pages
from nnlab.pages import SERIES, number, percent
from nnlab.pages.charts import FAINT
from nnlab.sweep.importances import FEWEST, importances
from nnlab.sweep.results import Overview, TrialResult, parameter_names, ranked
from nnlab.sweep.space import Parameter, Value
from nnlab.sweep.study import Study

SHOWN = 20
# So many of the best trials are drawn over the others.
BEST = 5
# A logarithmic axis that spans less than this many times its beginning has ticks of its own.
WIDE = 30


def write_page(path: Path, study: Study, found: Overview) -> None:
    """Write the page of a study.

    Raises:
        InputError: it cannot be written.
    """
    trials = ranked(study, found.trials)
    shares = importances(trials)
    names = parameter_names(study, trials)
    counts = [f"{count:,} {state}" for state, count in found.runs.items() if count]
    pages.write(
        path,
        "sweep.html",
        title=f"Sweep {study.path.stem}",
        facts=[
            ("sampler", study.sampler),
            ("metric", study.metric.replace("_", " ")),
            ("runs", ", ".join(counts)),
            ("training, hours", found.seconds / 3600),
            ("runs a trial", study.repeats),
        ],
        columns=["trial", *(_option(name) for name in names), _metric(study)],
        rows=[
            [str(trial.number), *(_text(trial.point.get(name)) for name in names),
             _value(study, trial.value)]
            for trial in trials[:SHOWN]
        ],
        text_columns=1 + len(names),
        again=f"nnlab train --config {trials[0].runs[0][0].run} -o again.h5" if trials else "",
        fewest=FEWEST,
        importances=[(_option(name), percent(share, 0)) for name, share in shares.items()],
        parallel=_parallel(study, trials, names),
        charts=[
            chart
            for chart in (
                _history(study, found.trials),
                *(_slice(study, trials, name) for name in (shares or dict.fromkeys(names))),
            )
            if chart is not None
        ],
    )  # fmt: skip


def _history(study: Study, trials: Sequence[TrialResult]) -> Any:
    done = [trial for trial in trials if trial.value is not None]
    if len(done) < 2:
        return None
    better = max if study.more_is_better else min
    best = [better(trial.value or 0.0 for trial in done[: index + 1]) for index in range(len(done))]
    alt = f"{_metric(study)} of every trial, and the best so far: {_value(study, best[-1])}."
    with pages.chart(alt) as chart:
        axes = chart.axes(title="Trial by trial", xlabel="trial", ylabel=_metric(study))
        numbers = [trial.number for trial in done]
        axes.plot(numbers, [_shown(study, trial.value) for trial in done], ".", color=SERIES[0])
        axes.step(numbers, [_shown(study, value) for value in best], where="post", color=SERIES[1])
    return chart.svg


def _slice(study: Study, trials: Sequence[TrialResult], name: str) -> Any:
    points = [(trial.point[name], trial.value) for trial in trials if name in trial.point]
    if len(points) < 2:
        return None
    parameter = _parameter(study, name)
    alt = f"{_metric(study)} of every trial by {_option(name)}; best at {_text(points[0][0])}."
    with pages.chart(alt) as chart:
        axes = chart.axes(title=_option(name), xlabel=_option(name), ylabel=_metric(study))
        if parameter.choices:
            places = {value: place for place, value in enumerate(parameter.choices)}
            across: list[Any] = [places[value] for value, _ in points]
            axes.set_xticks(list(places.values()), [pages.plain(_text(value)) for value in places])
        else:
            across = [value for value, _ in points]
            if parameter.log:
                chart.logarithmic(axes, "x")
                if parameter.high < WIDE * parameter.low:  # there may be no power of ten to name
                    ticks = np.geomspace(parameter.low, parameter.high, 4)
                    axes.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
        axes.plot(across, [_shown(study, value) for _, value in points], ".", color=SERIES[0])
        axes.plot(across[:1], [_shown(study, points[0][1])], "o", color=SERIES[1])
    return chart.svg


def _parallel(study: Study, trials: Sequence[TrialResult], names: Sequence[str]) -> Any:
    """Draw a line a trial through its place in every parameter; the best ones stand out."""
    if len(trials) < 2 or len(names) < 2:
        return None
    alt = (
        f"Parallel coordinates: a line a trial through its {len(names)} parameters, from the least "
        f"value below to the largest above; the {min(BEST, len(trials))} best are drawn over the "
        "others."
    )
    with pages.chart(alt, width=720) as chart:
        axes = chart.axes(title="All parameters, the best trials over the others")
        for rank, trial in reversed(list(enumerate(trials))):
            heights = [_height(study, name, trial.point.get(name)) for name in names]
            is_best = rank < BEST
            axes.plot(
                range(len(names)), heights,
                color=SERIES[rank % len(SERIES)] if is_best else FAINT,
                linewidth=1.8 if is_best else 0.6,
                alpha=1.0 if is_best else 0.5,
                label=f"trial {trial.number}" if is_best else None,
            )  # fmt: skip
        axes.set_xticks(range(len(names)), [pages.plain(_option(name)) for name in names])
        axes.set_yticks([0, 1], ["least", "largest"])
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return chart.svg


def _height(study: Study, name: str, value: Value | None) -> float:
    """Return where a value lies between its parameter's least, 0, and largest, 1; else nan."""
    if value is None:
        return math.nan
    parameter = _parameter(study, name)
    if parameter.choices:
        return parameter.choices.index(value) / max(1, len(parameter.choices) - 1)
    scale = math.log if parameter.log else float
    low, high = scale(parameter.low), scale(parameter.high)
    return 0.5 if high == low else (scale(float(value)) - low) / (high - low)


def _parameter(study: Study, name: str) -> Parameter:
    return next(item for item in study.space.parameters if item.name == name)


def _option(name: str) -> str:
    return name.replace("_", "-")


def _metric(study: Study) -> str:
    return "validation accuracy, %" if study.metric == "val_accuracy" else "validation loss"


def _shown(study: Study, value: float | None) -> float:
    return (value or 0.0) * (100 if study.metric == "val_accuracy" else 1)


def _value(study: Study, value: float | None) -> str:
    return percent(value) if study.metric == "val_accuracy" else number(value)


def _text(value: Value | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
