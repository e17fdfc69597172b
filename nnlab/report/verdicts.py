"""What a run's numbers say, in words, each with the rule that it follows.

The bounds are rules of thumb; those of training are `nnlab.training.advice`'s own.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from nnlab.metrics import Metrics, Reliability
from nnlab.pages import number, percent
from nnlab.report.history import layer_samples, layer_titles, root_mean_squares
from nnlab.runs import Run
from nnlab.training.advice import BOLD, HALF, RISE, TIMID, VANISHING

WIDE_GAP, NARROW_GAP, WELL_FITTED = 0.05, 0.02, 0.95
ERRORS = 2
SURE = 0.02

FITTING_RULE = (
    f"Overfitting: training accuracy more than {100 * WIDE_GAP:.0f} points above validation "
    f"accuracy, and more than {ERRORS} standard errors of it, or a validation loss that ends "
    f"{100 * (RISE - 1):.0f} % above its least. Underfitting: less than {100 * NARROW_GAP:.0f} "
    f"points between them and a training accuracy below {100 * WELL_FITTED:.0f} %. Both are "
    "measured with the kept weights."
)
GRADIENT_RULE = (
    "The gradient vanishes where the first layer's is below "
    f"1/{1 / VANISHING:.0f} of the last layer's: root mean square over a layer's weights, median "
    "of the sampled steps."
)
UPDATE_RULE = (
    f"A step usually changes weights by about 0.1 % of their size; more than {100 * BOLD:.0f} % is "
    f"too bold, less than {100 * TIMID:.3f} % too timid."
)
UNITS_RULE = (
    "A unit counts as off (saturated) where its local derivative is below a tenth of the steepest, "
    "and as dead where that holds at every image of a batch. More than "
    f"{100 * HALF:.0f} % of a layer is trouble."
)
CALIBRATION_RULE = (
    f"Well calibrated: mean confidence and accuracy differ by less than {100 * SURE:.0f} points."
)


@dataclass(frozen=True)
class Finding:
    """One thing that the numbers say.

    Attributes:
        text: a sentence or two.
        rule: when this is said; empty where it needs no rule.
        kind: ``"note"``, or ``"alert"`` for trouble.
    """

    text: str
    rule: str = ""
    kind: str = "note"


def state(run: Run) -> Finding | None:
    """Say so if training did not come to its end."""
    progress = run.attributes.get("progress", {})
    if run.kind != "network" or progress.get("finished"):
        return None
    done = f"{number(progress.get('epoch', 0))} of {number(progress.get('epochs', 0))} epochs"
    if progress.get("diverged"):
        return Finding(
            f"Training diverged after {done}: the loss or a weight was no longer a finite number. "
            "The weights are those of the last good epoch; try a smaller --lr, or --clip.",
            kind="alert",
        )
    return Finding(f"Training has not come to its end: {done} are done; --resume goes on.")


def fitting(run: Run) -> Finding | None:
    """Judge over- and underfitting; None for a run that was not trained."""
    result = run.attributes.get("result", {})
    training, validation = result.get("train_accuracy"), result.get("val_accuracy")
    if run.kind != "network" or training is None:
        return None
    if validation is None:
        return Finding(
            "There were no validation images, so over- and underfitting cannot be told apart: "
            "train with --val 0.1.",
        )
    training, validation = float(training), float(validation)
    gap = training - validation
    images = max(1, int(run.config.get("validation_images", 1)))
    error = sqrt(validation * (1 - validation) / images)
    between = (
        f"{percent(training)} of the training images and {percent(validation)} of the validation "
        f"images are right, a gap of {100 * gap:.1f} points"
    )
    rising = _validation_rise(run)
    if gap > WIDE_GAP and gap > ERRORS * error:
        also = f" {rising}" if rising else ""
        return Finding(
            f"It overfits: {between}. It has learned its training images by heart more than what "
            f"they have in common; more images, --augment, --dropout, --l2 or fewer units narrow "
            f"the gap.{also}",
            FITTING_RULE,
            "alert",
        )
    if rising:
        return Finding(f"It begins to overfit: {between}. {rising}", FITTING_RULE, "alert")
    if gap < NARROW_GAP and training < WELL_FITTED:
        later = " The best epoch is the last one: more epochs may help, too." * _best_is_last(run)
        return Finding(
            f"It underfits: {between}. Images it has trained on are hardly easier for it than new "
            "ones: what it lacks is not images but the means to tell them apart, such as more "
            f"hidden units, less penalty or dropout, or another learning rate.{later}",
            FITTING_RULE,
        )
    return Finding(f"It fits: {between}, neither over- nor underfitting.", FITTING_RULE)


def _validation_rise(run: Run) -> str:
    losses = run.history["epoch"].get("val_loss")
    if losses is None or len(losses) < 2 or not np.isfinite(losses).all():
        return ""
    best = int(np.argmin(losses))
    if losses[-1] < RISE * losses[best]:
        return ""
    return (
        f"The validation loss was least after epoch {best + 1} ({number(losses[best])}) and rose "
        f"to {number(losses[-1])}."
    )


def _best_is_last(run: Run) -> bool:
    progress = run.attributes.get("progress", {})
    return progress.get("best_epoch") == progress.get("epoch")


def gradient_flow(run: Run) -> Finding | None:
    """Say how much of the gradient reaches the first layer; None for runs with one layer."""
    scaled, titles = root_mean_squares(run), layer_titles(run)
    if len(scaled) < 2:
        return None
    first, last = next(iter(scaled)), list(scaled)[-1]
    active = list(layer_samples(run, "dead"))
    through = f" on its way through {_counted(active)}" if active else ""
    if scaled[first] == 0:
        return Finding(
            f"No gradient at all reaches {titles.get(first, first)}{through}.",
            GRADIENT_RULE,
            "alert",
        )
    ratio = scaled[last] / scaled[first]
    sizes = f"{scaled[first]:.2g} against {scaled[last]:.2g}"
    if ratio * VANISHING > 1:
        return Finding(
            f"The gradient vanishes{through}: what reaches a weight of the first layer is "
            f"1/{number(round(ratio))} of what reaches one of the last layer ({sizes}). The first "
            "layers hardly learn; --activation relu, --batch-norm or fewer layers let the "
            "gradient pass.",
            GRADIENT_RULE,
            "alert",
        )
    relation = f"1/{ratio:.1f}" if ratio > 1 else f"{1 / ratio:.1f} times"
    return Finding(
        f"The gradient reaches the first layer{through}: a weight there gets {relation} of what "
        f"one of the last layer gets ({sizes}).",
        GRADIENT_RULE,
    )


def _counted(layers: list[str]) -> str:
    kind = layers[0].partition("_")[2]
    return f"{len(layers)} {kind} layers" if len(layers) > 1 else f"the {kind} layer"


def updates(run: Run) -> Finding | None:
    """Judge the size of the steps; None if they were not measured."""
    ratios = {name: float(np.median(r)) for name, r in layer_samples(run, "update_ratio").items()}
    if not ratios:
        return None
    least, most = min(ratios.values()), max(ratios.values())
    size = percent(most, 3) if least == most else f"{percent(least, 3)} to {percent(most, 3)}"
    text = f"A usual step changes the weights of a layer by {size} of their size."
    if most > BOLD:
        return Finding(f"{text} That is bold: try a smaller --lr.", UPDATE_RULE, "alert")
    if most < TIMID:
        return Finding(f"{text} That is timid: try a larger --lr.", UPDATE_RULE, "alert")
    return Finding(text, UPDATE_RULE)


def units(run: Run) -> Finding | None:
    """Judge dead and saturated units; None if they were not measured."""
    dead, off = layer_samples(run, "dead"), layer_samples(run, "saturated")
    if not dead or not off:
        return None
    titles = layer_titles(run)
    worst_dead = max(dead, key=lambda name: dead[name][-1])
    worst_off = max(off, key=lambda name: off[name][-1])
    rectified = worst_off.endswith("relu")
    word = "off" if rectified else "saturated"
    text = (
        f"At the end up to {percent(off[worst_off][-1], 1)} of what a layer gives is {word} "
        f"({titles.get(worst_off, worst_off)}), and up to {percent(dead[worst_dead][-1], 1)} of a "
        f"layer's units are so at every image of a batch ({titles.get(worst_dead, worst_dead)})."
    )
    if dead[worst_dead][-1] > HALF:
        return Finding(
            f"{text} These units are dead: nothing in the batch can teach them. Try a smaller "
            "--lr or --activation leaky_relu.",
            UNITS_RULE,
            "alert",
        )
    if off[worst_off][-1] > HALF and not rectified:
        return Finding(
            f"{text} Hardly any gradient passes a saturated unit: try smaller first weights "
            "(--init) or --activation relu.",
            UNITS_RULE,
            "alert",
        )
    return Finding(text, UNITS_RULE)


def calibration(metrics: Metrics) -> Finding | None:
    """Compare how sure the model is with how often it is right; None without probabilities."""
    bins = metrics.reliability
    if bins is None:
        return None
    confidence = mean_confidence(bins)
    over = confidence - metrics.accuracy
    sure = (
        f"On average it is {percent(confidence, 1)} sure and {percent(metrics.accuracy, 1)} right"
    )
    if abs(over) < SURE:
        return Finding(f"{sure}: its probabilities can be taken at their word.", CALIBRATION_RULE)
    what = "too sure of itself" if over > 0 else "less sure than it could be"
    return Finding(f"{sure}: it is {what}.", CALIBRATION_RULE)


def mean_confidence(bins: Reliability) -> float:
    """Return the mean top probability over all images."""
    return float(bins.count @ bins.confidence / bins.count.sum())
