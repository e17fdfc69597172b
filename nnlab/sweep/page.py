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
from nnlab.training.durations import format_duration

SHOWN = 20
# So many of the best trials are drawn over the others.
BEST = 5
# In the parallel coordinates, where a parameter lies that did not count, below the least value.
NOT_COUNTED = -0.3
# The width of the parallel coordinates and of the part for each of them, in CSS pixels.
PARALLEL_WIDTH, EACH = 720, 84


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
            ("training", format_duration(found.seconds)),
            ("runs a trial", study.repeats),
        ],
        columns=["trial", *(_option(name) for name in names), _metric(study).partition(",")[0],
                 *(["+-"] if study.repeats > 1 else [])],
        rows=[
            [str(trial.number), *(_text(trial.point.get(name)) for name in names),
             _value(study, trial.value),
             *([_value(study, trial.spread)] if study.repeats > 1 else [])]
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
            _span(chart, axes, parameter)
        axes.plot(across, [_shown(study, value) for _, value in points], ".", color=SERIES[0])
        axes.plot(across[:1], [_shown(study, points[0][1])], "o", color=SERIES[1])
    return chart.svg


def _span(chart: pages.Chart, axes: Any, parameter: Parameter) -> None:
    """Let the axis across show the whole range of a parameter and little more."""
    from matplotlib.ticker import MaxNLocator

    low, high = parameter.low, parameter.high
    if not parameter.log:
        margin = 0.04 * (high - low)
        axes.set_xlim(low - margin, high + margin)
        if parameter.integer:
            axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        return
    chart.logarithmic(axes, "x")
    margin = (high / low) ** 0.04
    axes.set_xlim(low / margin, high * margin)
    if math.floor(math.log10(high)) - math.ceil(math.log10(low)) < 1:  # one power of ten, or none
        ticks = np.geomspace(low, high, 4)
        if parameter.integer:
            ticks = np.unique(ticks.round())
        axes.set_xticks(ticks, [_text(_short(tick)) for tick in ticks])
        axes.minorticks_off()


def _parallel(study: Study, trials: Sequence[TrialResult], names: Sequence[str]) -> Any:
    """Draw a line a trial through its place in every parameter and the metric.

    The best ones stand out. Ends of the axes are written at them; a parameter that did not count
    for a trial has a place below.
    """
    if len(trials) < 2 or len(names) < 2:
        return None
    metrics = [_shown(study, trial.value) for trial in trials]
    ends = [*(_ends(_parameter(study, name)) for name in names), (min(metrics), max(metrics))]
    conditional = any(name not in trial.point for trial in trials for name in names)
    alt = (
        f"Parallel coordinates: a line a trial through its {len(names)} parameters, from the least "
        f"value below to the largest above, to its {_metric(study).partition(',')[0]}; the "
        f"{min(BEST, len(trials))} best are drawn over the others."
    )
    width = max(PARALLEL_WIDTH, EACH * (len(names) + 3))
    with pages.chart(alt, width=width, height=300) as chart:
        axes = chart.axes()
        axes.set_title("All parameters, the best trials over the others", pad=30)
        axes.spines[:].set_visible(False)
        lines = []
        for rank, trial in reversed(list(enumerate(trials))):
            heights = [_height(study, name, trial.point.get(name)) for name in names]
            heights.append(_between(metrics[rank], min(metrics), max(metrics)))
            is_best = rank < BEST
            lines += axes.plot(
                range(len(heights)), heights,
                color=SERIES[rank % len(SERIES)] if is_best else FAINT,
                linewidth=1.8 if is_best else 0.6,
                alpha=1.0 if is_best else 0.5,
                label=f"trial {trial.number}" if is_best else None,
            )  # fmt: skip
        for place, (least, largest) in enumerate(ends):
            axes.text(place, 1.05, pages.plain(_text(_short(largest))), ha="center", va="bottom")
            axes.text(place, -0.05, pages.plain(_text(_short(least))), ha="center", va="top")
        labels = [*(_option(name) for name in names), _metric(study).replace(" ", "\n", 1)]
        axes.set_xticks(range(len(labels)), [_broken(label) for label in labels])
        axes.set_yticks([NOT_COUNTED] if conditional else [], ["does not\ncount"][:conditional])
        axes.set_ylim(NOT_COUNTED - 0.1 if conditional else -0.25, 1.02)
        axes.tick_params(length=0)
        axes.grid(visible=False, axis="y")
        best = lines[::-1][:BEST]
        axes.legend(handles=best, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return chart.svg


def _ends(parameter: Parameter) -> tuple[Value, Value]:
    if parameter.choices:
        return parameter.choices[0], parameter.choices[-1]
    if parameter.integer:
        return int(parameter.low), int(parameter.high)
    return parameter.low, parameter.high


def _height(study: Study, name: str, value: Value | None) -> float:
    """Return where a value lies between its parameter's least, 0, and largest, 1."""
    if value is None:
        return NOT_COUNTED
    parameter = _parameter(study, name)
    if parameter.choices:
        return _between(parameter.choices.index(value), 0, len(parameter.choices) - 1)
    scale = math.log if parameter.log else float
    return _between(scale(float(value)), scale(parameter.low), scale(parameter.high))


def _between(value: float, low: float, high: float) -> float:
    return 0.5 if high == low else (value - low) / (high - low)


def _short(value: Value) -> Value:
    """Round a number to what an axis has room for."""
    if isinstance(value, bool) or not isinstance(value, float):
        return value
    return int(value) if value.is_integer() else float(f"{value:.2g}")


def _broken(label: str) -> str:
    """Break a long name where it has a joint."""
    if len(label) <= 11 or "\n" in label:
        return label
    joints = [place for place, sign in enumerate(label) if sign in "-."]
    if not joints:
        return label
    middle = min(joints, key=lambda place: abs(place - len(label) / 2))
    return f"{label[: middle + 1]}\n{label[middle + 1 :]}"


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
