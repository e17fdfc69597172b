"""Charts of one run's history."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnlab import pages
from nnlab.pages import SERIES, number, percent
from nnlab.pages.charts import ALERT, FAINT, INK
from nnlab.pages.numbers import MINUS
from nnlab.report.history import (
    Curve,
    epoch_curve,
    layer_samples,
    layer_titles,
    root_mean_squares,
    sampled_epochs,
    step_curve,
    thinned,
)
from nnlab.runs import Run
from nnlab.training.advice import VANISHING

# The same colour means the same everywhere: training blue, validation orange.
TRAIN, VAL = SERIES[0], SERIES[1]
FEW = 12  # so few points are drawn as dots, too
DASHES = ("-", "--", ":", "-.")


def epochs_axis(axes: Any) -> None:
    """Count epochs in whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def legend_below(chart: Any, columns: int = 3) -> None:
    """Put the legend of a chart of many lines where it covers none of them."""
    chart.figure.legend(loc="outside lower center", ncols=columns, columnspacing=1.2)


def loss(run: Run) -> Any:
    """Draw the data loss of training and validation over the epochs; None without history."""
    train, val = epoch_curve(run, "train_loss"), epoch_curve(run, "val_loss")
    if train is None:
        return None
    alt = f"Data loss over the epochs: training {_course(train)}"
    if val is not None:
        alt += f"; validation {_course(val)}, least {number(np.nanmin(val.y))}"
    with pages.chart(f"{alt}.") as chart:
        axes = chart.axes(title="Data loss")
        epochs_axis(axes)
        _line(axes, train, "training", TRAIN)
        if val is not None:
            _line(axes, val, "validation", VAL)
        _mark_best(axes, run)
        axes.legend()
    return chart.svg


def penalty(run: Run) -> Any:
    """Draw the penalty on the weights; None if there is none."""
    curve = epoch_curve(run, "penalty")
    if curve is None or not np.nanmax(curve.y) > 0:
        return None
    with pages.chart(f"Penalty on the weights over the epochs: {_course(curve)}.") as chart:
        axes = chart.axes(title="Penalty on the weights")
        epochs_axis(axes)
        _line(axes, curve, "", SERIES[3])
        axes.set_ylim(0, 1.25 * np.nanmax(curve.y))
        _mark_best(axes, run)
    return chart.svg


def accuracy(run: Run) -> Any:
    """Draw both accuracies over the epochs, the gap between them shaded; None without history."""
    train, val = epoch_curve(run, "train_accuracy"), epoch_curve(run, "val_accuracy")
    if train is None:
        return None
    alt = f"Accuracy over the epochs: training {_course(train, percent)}"
    if val is not None:
        gap = 100 * (train.y[-1] - val.y[-1])
        alt += f"; validation {_course(val, percent)}; the gap at the end is {gap:.1f} points"
    with pages.chart(f"{alt}.") as chart:
        axes = chart.axes(title="Accuracy in %")
        epochs_axis(axes)
        _line(axes, _hundredfold(train), "training", TRAIN)
        if val is not None:
            _line(axes, _hundredfold(val), "validation", VAL)
            axes.fill_between(train.x, 100 * train.y, 100 * val.y, color=FAINT, alpha=0.2, lw=0)
            low, high = sorted((100 * train.y[-1], 100 * val.y[-1]))
            axes.annotate(
                f"gap {gap:.1f}".replace("-", MINUS),
                (train.x[-1], (low + high) / 2),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                annotation_clip=False,
            )
        _mark_best(axes, run)
        axes.legend(loc="lower right")
    return chart.svg


def steps(run: Run) -> tuple[Any, int] | None:
    """Draw the loss of the steps; also how many steps a point stands for. None without any."""
    curve = step_curve(run, "loss")
    if curve is None:
        return None
    with pages.chart(f"Data loss of the batches: {_course(curve)}.") as chart:
        axes = chart.axes(title="Data loss of the batches")
        epochs_axis(axes)
        axes.plot(curve.x, curve.y, color=TRAIN, linewidth=1)
    return chart.svg, curve.block


def learning_rate(run: Run) -> Any:
    """Draw the learning rate; None without history."""
    curve = step_curve(run, "learning_rate")
    if curve is None:
        return None
    alt = f"Learning rate: {_course(curve)}, largest {number(np.nanmax(curve.y))}."
    with pages.chart(alt) as chart:
        axes = chart.axes(title="Learning rate")
        epochs_axis(axes)
        axes.plot(curve.x, curve.y, color=SERIES[2])
        axes.set_ylim(bottom=0)
    return chart.svg


def gradients(run: Run) -> Any:
    """Draw the gradient norm of every layer's weights; None if it was not measured."""
    return _layers(run, "gradient_norm", "Gradient norm of the weights", by_powers=True)


def update_ratios(run: Run) -> Any:
    """Draw how much of its size every layer's weights change in a step; None if not measured."""
    return _layers(
        run, "update_ratio", "Change of the weights in a step, of their size", by_powers=True
    )


def saturated(run: Run) -> Any:
    """Draw the share of what each activation has switched off; None if it was not measured."""
    return _layers(run, "saturated", "Outputs that are off or saturated, %", factor=100)


def dead(run: Run) -> Any:
    """Draw the share of units that are off at every image; None if it was not measured."""
    return _layers(run, "dead", "Units off at every image of a batch, %", factor=100)


def gradient_profile(runs: Mapping[str, Run], title: str) -> Any:
    """Draw how large a gradient reaches each layer, weight by weight; None with fewer than two.

    Args:
        runs: by the name that the legend shows; one run needs no legend. Each has the colour of its
            place among them, also where others have too few layers to be drawn.
        title: of the chart.
    """
    profiles = {name: list(root_mean_squares(run).values()) for name, run in runs.items()}
    profiles = {name: values for name, values in profiles.items() if len(values) > 1}
    if not profiles:
        return None
    alt = "; ".join(
        f"{name}: {', '.join(f'{value:.2g}' for value in values)}"
        for name, values in profiles.items()
    )
    with pages.chart(f"{title}, from the first layer to the last. {alt}.") as chart:
        axes = chart.axes(title=title, xlabel="layer")
        for index, name in enumerate(runs):
            if name not in profiles:
                continue
            values = profiles[name]
            places = np.arange(1, len(values) + 1)
            shown = np.where(np.array(values) > 0, values, np.nan)
            _plot(axes, places, shown, index, label=name, marker="o")
            if len(profiles) == 1:
                bound = VANISHING * values[-1]
                axes.axhline(bound, color=ALERT, linewidth=1, linestyle="--")
                axes.annotate(
                    "vanished", (len(values), bound), xytext=(0, 3), textcoords="offset points",
                    ha="right", fontsize=10, color=ALERT,
                )  # fmt: skip
        axes.set_xticks(np.arange(1, max(len(values) for values in profiles.values()) + 1))
        chart.logarithmic(axes, "y")
        if len(runs) > 1:
            legend_below(chart, 2)
    return chart.svg


def _layers(
    run: Run, quantity: str, title: str, by_powers: bool = False, factor: float = 1.0
) -> Any:
    found, titles = layer_samples(run, quantity), layer_titles(run)
    if not found:
        return None
    x = sampled_epochs(run)
    ends = ", ".join(
        f"{titles.get(name, name)} {number(factor * values[-1])}" for name, values in found.items()
    )
    with pages.chart(f"{title}, over the epochs. At the end: {ends}.") as chart:
        axes = chart.axes(title=title)
        epochs_axis(axes)
        for index, (name, values) in enumerate(found.items()):
            shown = factor * values
            if by_powers:
                shown = np.where(shown > 0, shown, np.nan)
            curve = thinned(x[: len(shown)], shown)
            _plot(axes, curve.x, curve.y, index, label=titles.get(name, name))
        if not by_powers:
            axes.set_ylim(0, factor)
        elif any((values > 0).any() for values in found.values()):
            chart.logarithmic(axes, "y")
        if len(found) > 1:
            legend_below(chart)
    return chart.svg


def _plot(axes: Any, x: Any, y: Any, index: int, **options: Any) -> None:
    """Draw one of many lines: told apart by colour, then by dashes."""
    colour = SERIES[index % len(SERIES)]
    style = DASHES[index // len(SERIES) % len(DASHES)]
    if len(x) <= FEW:
        options.setdefault("marker", "o")
    axes.plot(x, y, color=colour, linestyle=style, markersize=3.5, **options)


def _line(axes: Any, curve: Curve, label: str, colour: str) -> None:
    marker = "o" if len(curve.x) <= FEW else ""
    axes.plot(curve.x, curve.y, color=colour, label=label, marker=marker, markersize=3.5)


def _hundredfold(curve: Curve) -> Curve:
    return Curve(curve.x, 100 * curve.y, curve.block)


def _mark_best(axes: Any, run: Run) -> None:
    progress = run.attributes.get("progress", {})
    best = int(progress.get("best_epoch", 0))
    if best and epoch_curve(run, "val_loss") is not None:
        axes.axvline(best, color=INK, linewidth=0.8, linestyle=":")
        low, high = axes.get_xlim()
        clear_of_the_title = best > (low + high) / 2
        axes.annotate(
            "best", (best, 1), xycoords=("data", "axes fraction"), fontsize=10,
            xytext=(0, 3) if clear_of_the_title else (3, -2), textcoords="offset points",
            ha="center" if clear_of_the_title else "left",
            va="bottom" if clear_of_the_title else "top",
        )  # fmt: skip


def _course(curve: Curve, written: Any = number) -> str:
    return f"from {written(curve.y[0])} to {written(curve.y[-1])}"
