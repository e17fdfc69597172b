"""The page as a whole: what is said of each run, in which order, and where something is missing."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab import pages
from nnlab.errors import InputError
from nnlab.pages import SERIES, number, percent
from nnlab.report import curves, verdicts
from nnlab.report.comparison import Comparison, compare, run_names
from nnlab.report.history import network_layers
from nnlab.report.results import Results, results
from nnlab.report.verdicts import Finding
from nnlab.report.weights import WeightPictures, weight_pictures
from nnlab.runs import Run
from nnlab.runs.listing import summary_of
from nnlab.training.settings import Settings

# Of more runs than this only the comparison is shown; the page would be too large to read.
DETAILED = 6


@dataclass(frozen=True)
class Pictures:
    """The images of a data set, as far as they are at hand.

    Attributes:
        name: of the data set.
        splits: (N, H, W, C) uint8 by split; empty if there are none.
        missing: why there are none.
    """

    name: str
    splits: Mapping[str, NDArray[np.uint8]]
    missing: str = ""


@dataclass(frozen=True)
class Section:
    """Everything that the page says about one run.

    Attributes:
        name: of the run.
        anchor: identifier of its heading.
        summary: one line.
        facts: (name, value) pairs.
        command: as it was typed.
        settings: option, value, and a mark for those that are no defaults.
        said: warnings that training gave.
        findings: by part of the page: ``state``, ``fitting``, ``gradients``, ``updates``,
            ``units``.
        charts: by the same parts, each a list.
        steps_block: how many steps a point of the batches' loss stands for.
        weights: pictures of the first layer, or None.
        results: what was measured.
        evaluate: the command that measures it.
    """

    name: str
    anchor: str
    summary: str
    facts: list[tuple[str, Any]]
    command: str
    settings: list[tuple[str, str, str]]
    said: list[str]
    findings: dict[str, Finding]
    charts: dict[str, list[Any]]
    steps_block: int
    weights: WeightPictures | None
    results: list[Results]
    evaluate: str


def write_report(
    path: Path, runs: Sequence[Run], pictures: Callable[[Run], Pictures], title: str = ""
) -> None:
    """Write the report of one or several runs as a self-contained page.

    Args:
        path: the file; replaced if it is there.
        runs: at least one, each read from a file.
        pictures: gives a run's images.
        title: of the page; by default the names of the runs.

    Raises:
        InputError: it cannot be written.
    """
    names = run_names(runs)
    comparison: Comparison | None = compare(runs) if len(runs) > 1 else None
    detailed = list(zip(names, runs, strict=True)) if len(runs) <= DETAILED else []
    sections = [
        _section(name, f"run-{index}", run, pictures(run))
        for index, (name, run) in enumerate(detailed, start=1)
    ]
    pages.write(
        path,
        "report.html",
        title=title or (names[0] if len(runs) == 1 else f"{len(runs)} runs"),
        comparison=comparison,
        sections=sections,
        detailed=DETAILED,
        rules=_rules(sections, comparison),
    )


def _rules(sections: Sequence[Section], comparison: Comparison | None) -> list[str]:
    """Return the rules that something on the page follows, each once."""
    followed = list(comparison.findings) if comparison is not None else []
    for section in sections:
        followed += section.findings.values()
        followed += [found.calibration for found in section.results if found.calibration]
    return list(dict.fromkeys(finding.rule for finding in followed if finding.rule))


def _section(name: str, anchor: str, run: Run, pictures: Pictures) -> Section:
    where = shlex.quote(str(run.path))
    evaluate = f"nnlab eval {where}"
    step_chart = curves.steps(run)
    charts = {
        "loss": [curves.loss(run), curves.accuracy(run), curves.penalty(run)],
        "steps": [step_chart[0] if step_chart else None, curves.learning_rate(run)],
        "gradients": [
            curves.gradient_profile({name: run}, "Gradient of a weight, by layer"),
            curves.gradients(run),
        ],
        "updates": [curves.update_ratios(run)],
        "units": [curves.saturated(run), curves.dead(run)],
        "k": [_accuracy_by_k(run)],
    }
    found = {
        "state": verdicts.state(run),
        "fitting": verdicts.fitting(run),
        "gradients": verdicts.gradient_flow(run),
        "updates": verdicts.updates(run),
        "units": verdicts.units(run),
    }
    probes = next((pictures.splits[s] for s in ("val", "test") if s in pictures.splits), None)
    return Section(
        name=name,
        anchor=anchor,
        summary=_summary(run),
        facts=_facts(run),
        command=shlex.join(run.command),
        settings=_settings(run),
        said=[_sentence(str(text)) for text in run.attributes.get("warnings", {}).values()],
        findings={part: finding for part, finding in found.items() if finding is not None},
        charts={part: [c for c in drawn if c is not None] for part, drawn in charts.items()},
        steps_block=step_chart[1] if step_chart else 1,
        weights=weight_pictures(run, probes),
        results=[
            results(
                f"{data}, {split}",
                metrics,
                run.classes,
                pictures.splits.get(split) if data == pictures.name else None,
                _missing(pictures, data, split),
                f"{evaluate} --split {shlex.quote(split)}",
            )
            for (data, split), metrics in run.evaluations.items()
        ],
        evaluate=evaluate,
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _missing(pictures: Pictures, data: str, split: str) -> str:
    if pictures.missing:
        return pictures.missing
    if data != pictures.name:
        return f"The pictures are of {data}; name its data file with --data."
    return f"The data file has no split {split}."


def _summary(run: Run) -> str:
    row = summary_of(run)
    text = f"{row.model} on {row.data}"
    if row.val_accuracy is not None:
        text += f", {percent(row.val_accuracy)} of the validation images right"
    for evaluation in row.evaluations:
        label = row.label(evaluation)
        text += f", {percent(evaluation.accuracy)} of {label}"
    return f"{text}."


def _facts(run: Run) -> list[tuple[str, Any]]:
    row, result, config = summary_of(run), run.attributes.get("result", {}), run.config
    pairs: list[tuple[str, Any]] = [("model", row.model)]
    shape = run.spec.get("image_shape")
    layers = network_layers(run)
    if layers and isinstance(shape, list):
        pairs.append(("layers", _layers_in_words(shape, layers)))
    if "parameters" in result:
        pairs.append(("parameters", int(result["parameters"])))
    pairs += [("trained on", row.data), ("classes", len(run.classes))]
    if isinstance(shape, list):
        pairs.append(("an image", " x ".join(map(str, shape))))
    if run.kind == "knn":
        pairs.append(("training images", _knn_images(run)))
        pairs.append(("votes", str(run.spec.get("weights"))))
    else:
        pairs.append(("training images", config.get("train_images")))
        pairs.append(("validation images", config.get("validation_images")))
        pairs.append(("epochs", row.epochs))
        pairs.append(("best epoch", row.best_epoch))
    for key, title in (("train_accuracy", "training accuracy"), ("val_accuracy", "validation")):
        if key in result:
            pairs.append((title, percent(result[key])))
    if row.seconds is not None:
        pairs.append(("seconds", row.seconds))
    if "images_per_second" in result:
        pairs.append(("images a second", round(float(result["images_per_second"]))))
    return [*pairs, ("begun", row.created.replace("T", " ").replace("+00:00", " UTC"))]


def _knn_images(run: Run) -> Any:
    limit = run.spec.get("limit_train")
    return run.spec.get("images") if limit is None else limit


def _layers_in_words(shape: Sequence[int], layers: Sequence[Mapping[str, Any]]) -> str:
    parts = [f"{int(np.prod(shape)):,}"]
    for layer in layers:
        if layer.get("kind") == "linear":
            parts.append(f"{layer.get('outputs'):,}")
        else:
            parts[-1] += f" {str(layer.get('kind')).replace('_', ' ')}"
    alike = [(part, len(list(group))) for part, group in groupby(parts)]
    return " → ".join(part if count == 1 else f"{count} × {part}" for part, count in alike)


def _settings(run: Run) -> list[tuple[str, str, str]]:
    defaults = _defaults(run.config)
    rows = []
    for name, value in sorted(run.config.items()):
        changed = name in defaults and value != defaults[name] and value is not None
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        rows.append((name.replace("_", "-"), "–" if value is None else shown, "chosen" * changed))
    return rows


def _defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the settings would be, had only model and optimizer been chosen."""
    chosen = {name: config[name] for name in ("model", "optimizer") if name in config}
    try:
        return asdict(Settings.of(chosen).resolve())
    except InputError:
        return {}


def _accuracy_by_k(run: Run) -> Any:
    """Draw the accuracies of a nearest-neighbour run over k; None for other runs."""
    ks, tested = (run.arrays.get(f"accuracy_by_k/{part}") for part in ("k", "accuracy"))
    if ks is None or tested is None or len(ks) == 0:
        return None
    chosen = run.spec.get("k")
    order = np.argsort(ks)
    alt = ", ".join(f"{percent(tested[i])} with k = {ks[i]}" for i in order)
    with pages.chart(f"Accuracy over k: {alt}; chosen is k = {chosen}.") as chart:
        axes = chart.axes(title="Accuracy over k, %", xlabel="k")
        folds = run.arrays.get("cross_validation/accuracy")
        tried = run.arrays.get("cross_validation/k")
        if folds is not None and tried is not None:
            mean = 100 * folds.mean(axis=1)
            places = np.argsort(tried)
            axes.plot(
                tried[places], mean[places], "s--", color=SERIES[1], markersize=4,
                label="cross-validation",
            )  # fmt: skip
        axes.plot(
            ks[order], 100 * tested[order], "o-", color=SERIES[0], markersize=4,
            label=str(run.config.get("split", "test")),
        )  # fmt: skip
        axes.set_xticks(ks[order], [number(k) for k in ks[order]])
        axes.legend()
    return chart.svg
