"""Several runs side by side: what differs in their settings and in their results."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnlab import pages
from nnlab.pages import SERIES, number, percent
from nnlab.pages.charts import FAINT, HEIGHT
from nnlab.report.curves import (
    DASHES,
    FEW,
    TRAIN,
    VAL,
    epochs_axis,
    gradient_profile,
    legend_below,
)
from nnlab.report.history import epoch_curve, layer_samples
from nnlab.report.verdicts import GRADIENT_RULE, Finding
from nnlab.runs import Run
from nnlab.runs.listing import differing_settings, splits_of, summary_of

LONGEST_NAME = 28
# A first layer that gets this many times less gradient than another run's is worth a sentence.
FAR_APART = 10.0


@dataclass(frozen=True)
class Comparison:
    """Several runs, ready for the page.

    Attributes:
        results: column headings, and a row a run.
        settings: column headings, and a row a run; no rows if no setting differs.
        findings: in words.
        charts: curves of all runs together.
    """

    results: tuple[list[str], list[list[Any]]]
    settings: tuple[list[str], list[list[Any]]]
    findings: list[Finding]
    charts: list[Any]


def run_names(runs: Sequence[Run]) -> list[str]:
    """Return a name for each run, unique, and as short as that allows."""
    paths = [run.path for run in runs]
    plain = [str(index + 1) if path is None else path.name for index, path in enumerate(paths)]
    counts = Counter(plain)
    return [
        name if counts[name] == 1 or path is None else str(path)
        for name, path in zip(plain, paths, strict=True)
    ]


def shortened(name: str) -> str:
    """Return a name that fits a legend; its end, which tells runs apart, is kept."""
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"


def compare(runs: Sequence[Run]) -> Comparison:
    """Prepare the comparison of at least two runs."""
    named = dict(zip(run_names(runs), runs, strict=True))
    legend = dict(zip(map(shortened, named), runs, strict=True))
    if len(legend) < len(named):
        legend = named
    profile = gradient_profile(legend, "Gradient of a weight, by layer")
    charts = [
        _curves(legend, "val_accuracy", "Validation accuracy, %", 100, percent),
        _curves(legend, "train_accuracy", "Training accuracy, %", 100, percent),
        _curves(legend, "val_loss", "Validation data loss", 1, number),
        _curves(legend, "train_loss", "Training data loss", 1, number),
        _gaps(legend),
        profile,
    ]
    findings = [_best(named), _vanishing(named)]
    return Comparison(
        results=_results(named),
        settings=_settings(named),
        findings=[finding for finding in findings if finding is not None],
        charts=[chart for chart in charts if chart is not None],
    )


def _results(named: Mapping[str, Run]) -> tuple[list[str], list[list[Any]]]:
    rows = [summary_of(run) for run in named.values()]
    splits = splits_of(rows)
    columns = ["run", "model", "data", "best epoch", "training", "validation", "gap"]
    cells = []
    for name, run, row in zip(named, named.values(), rows, strict=True):
        training, validation = _kept_accuracies(run)
        gap = None if training is None or validation is None else 100 * (training - validation)
        cells.append(
            [name, row.model, row.data, row.best_epoch, _share(training), _share(validation),
             "–" if gap is None else f"{gap:.1f}",
             *(_share(row.column(split)) for split in splits), row.seconds]
        )  # fmt: skip
    return [*columns, *splits, "seconds"], cells


def _settings(named: Mapping[str, Run]) -> tuple[list[str], list[list[Any]]]:
    differing = differing_settings([summary_of(run) for run in named.values()])
    names = sorted({name for own in differing for name in own})
    if not names:
        return ["run"], []
    rows = [
        [run, *(_setting(own.get(name)) for name in names)]
        for run, own in zip(named, differing, strict=True)
    ]
    return ["run", *(name.replace("_", "-") for name in names)], rows


def _setting(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _kept_accuracies(run: Run) -> tuple[float | None, float | None]:
    """Return training and validation accuracy of the kept weights."""
    result = run.attributes.get("result", {})
    training, validation = result.get("train_accuracy"), result.get("val_accuracy")
    return (
        None if training is None else float(training),
        None if validation is None else float(validation),
    )


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _curves(
    runs: Mapping[str, Run], quantity: str, title: str, factor: float, written: Callable[..., str]
) -> Any:
    found = {name: epoch_curve(run, quantity) for name, run in runs.items()}
    curves = {name: curve for name, curve in found.items() if curve is not None}
    if not curves:
        return None
    ends = "; ".join(f"{name} ends at {written(curve.y[-1])}" for name, curve in curves.items())
    # A longer legend must not squeeze the curves.
    height = HEIGHT + 18 * max(0, (len(curves) - 1) // 2)
    with pages.chart(f"{title}, over the epochs: {ends}.", height=height) as chart:
        axes = chart.axes(title=title)
        epochs_axis(axes)
        for index, name in enumerate(runs):
            if name in curves:
                _draw(axes, curves[name], factor, index, name)
        legend_below(chart, 2)
    return chart.svg


def _draw(axes: Any, curve: Any, factor: float, index: int, name: str) -> None:
    axes.plot(
        curve.x, factor * curve.y, label=name, color=SERIES[index % len(SERIES)],
        linestyle=DASHES[index // len(SERIES) % len(DASHES)],
        marker="o" if len(curve.x) <= FEW else "", markersize=3.5,
    )  # fmt: skip


def _gaps(runs: Mapping[str, Run]) -> Any:
    """Draw training and validation accuracy of every run, and the gap between them."""
    pairs = {name: _kept_accuracies(run) for name, run in runs.items()}
    full = {name: (t, v) for name, (t, v) in pairs.items() if t is not None and v is not None}
    if len(full) < 2:
        return None
    alt = "; ".join(
        f"{name}: training {percent(t)}, validation {percent(v)}, gap {100 * (t - v):.1f} points"
        for name, (t, v) in full.items()
    )
    with pages.chart(
        f"Accuracy on training and validation images. {alt}.", height=120 + 24 * len(full)
    ) as chart:
        axes = chart.axes(title="Training against validation accuracy, %")
        places = np.arange(len(full))[::-1]
        training, validation = (100 * np.array(part) for part in zip(*full.values(), strict=True))
        axes.hlines(places, validation, training, color=FAINT, linewidth=1.2)
        axes.plot(training, places, "o", color=TRAIN, label="training")
        axes.plot(validation, places, "s", color=VAL, label="validation")
        axes.set_yticks(places, [pages.plain(name) for name in full])
        axes.set_ylim(-0.6, len(full) - 0.4)
        legend_below(chart, 2)
    return chart.svg


def _best(named: Mapping[str, Run]) -> Finding | None:
    accuracies = {name: _kept_accuracies(run)[1] for name, run in named.items()}
    known = {name: value for name, value in accuracies.items() if value is not None}
    if len(known) < 2:
        return None
    data = {str(named[name].config.get("data_checksum", "")) for name in known}
    if len(data) > 1:
        return Finding(
            "These runs were trained on different data: their accuracies are not of one contest."
        )
    ranked = sorted(known, key=known.__getitem__, reverse=True)
    first, second = (percent(known[name]) for name in ranked[:2])
    if known[ranked[0]] == known[ranked[1]]:
        best = f"Best on the validation images are {ranked[0]} and {ranked[1]}, with {first} each."
    else:
        best = (
            f"Best on the validation images is {ranked[0]} with {first}, before {ranked[1]} with "
            f"{second}."
        )
    return Finding(
        f"{best} Whether such a difference is more than "
        "chance, nnlab eval RUN --against RUN2 tests on images that chose nothing."
    )


def _vanishing(named: Mapping[str, Run]) -> Finding | None:
    """Compare how much gradient reaches the first layers, where they are of the same shape."""
    norms: dict[str, float] = {}
    shapes = set()
    for name, run in named.items():
        layers = layer_samples(run, "gradient_norm")
        if len(layers) < 2:
            continue
        first, values = next(iter(layers.items()))
        shapes.add(run.arrays[f"weights/{first}/W"].shape)
        norms[name] = float(np.median(values))
    if len(norms) < 2 or len(shapes) > 1 or min(norms.values()) <= 0:
        return None
    most, least = max(norms, key=norms.__getitem__), min(norms, key=norms.__getitem__)
    ratio = norms[most] / norms[least]
    if ratio < FAR_APART:
        return None
    return Finding(
        f"The gradient that reaches the first layer of {least} is 1/{number(round(ratio))} of that "
        f"of {most} (median norm {norms[least]:.2g} against {norms[most]:.2g}): on its way back "
        f"through the layers of {least} it vanishes.",
        GRADIENT_RULE,
        "alert",
    )
