"""Signs of trouble while training, each said once in one line with what to try.

A rule looks at what an epoch left behind and returns a sentence, or None. `RULES` names them; a
run file keeps what was said under ``/warnings``, by these names and ``initial_loss``.

The bounds are rules of thumb, chosen so that the defaults stay silent on real images:

    initial_loss        Before anything is learned all scores should be about equal. Then the
                        softmax loss is -log(1 / C) and the hinge loss (C - 1) delta (CS231n,
                        "Sanity checks"). Twice that, or less than half, is worth a look.
    vanishing_gradient  The root mean square gradient of the first layer's weights is below a
                        hundredth of the last layer's.
    dead_relus          More than half of a layer's units are off at every image of a batch.
    saturated_units     More than half of what a layer of sigmoids or tanhs gives is flat.
    learning_rate_high  The loss has grown a fifth beyond that of equal scores, or the weights
                        of a layer change by more than a tenth in a usual step.
    learning_rate_low   No layer's weights change by more than 1e-5 of their size in a usual step
                        (about 1e-3 is usual, CS231n), while the loss falls by less than 1 %.
    validation_rising   The validation loss is a tenth above its least of three or more epochs
                        ago, while the training loss has gone on falling.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from nnlab.core.losses import Hinge, Loss
from nnlab.core.network import Network

INITIAL = 2.0
VANISHING = 0.01
HALF = 0.5
GROWN = 1.2
BOLD, TIMID = 0.1, 1e-5
STANDSTILL = 0.01
RISE, PATIENCE = 1.1, 3


@dataclass(frozen=True)
class Evidence:
    """What the rules look at, at the end of an epoch.

    Attributes:
        network: what is trained.
        epochs: the history of epochs, one list a quantity.
        samples: of this epoch's sampled steps, one array a quantity; see `nnlab.training.watch`.
        rates: the learning rates of these steps, as shares of the run's largest so far.
        first_loss: of the first step of the run.
        equal_loss: what that step's loss is where all scores are equal.
    """

    network: Network
    epochs: dict[str, list[float]]
    samples: dict[str, list[float]]
    rates: list[float]
    first_loss: float
    equal_loss: float

    def layers(self, quantity: str, *kinds: str) -> dict[str, float]:
        """Return the median of a quantity over the samples by layer, of some kinds of layers."""
        return {
            name.removeprefix(f"{quantity}_"): median(values)
            for name, values in self.samples.items()
            if name.startswith(f"{quantity}_") and name.endswith(kinds)
        }


def initial_loss(loss: Loss, classes: int, found: float, equal: float) -> str | None:
    """Judge the loss of the very first step.

    Args:
        loss: the data loss.
        classes: how many.
        found: the loss.
        equal: what it is for equal scores.
    """
    if equal / INITIAL <= found <= equal * INITIAL:
        return None
    if isinstance(loss, Hinge):
        formula = f"({classes} - 1) * delta" + (" squared" if loss.kind != "hinge" else "")
    else:
        formula = f"-log(1/{classes})"
    weighted = ", class weights included" if loss.class_weights is not None else ""
    return (
        f"the first loss is {found:.4g}; equal scores would give {equal:.4g} ({formula}"
        f"{weighted}): the first weights or the pixels are too large or small (--init, "
        "--standardize)."
    )


def _vanishing_gradient(evidence: Evidence) -> str | None:
    norms = evidence.layers("gradient_norm", "linear")
    if len(norms) < 3:  # one hidden layer is not deep
        return None
    sizes = {
        name.partition("/")[0]: view.size
        for name, view in evidence.network.named_parameters()
        if name.endswith("/W")
    }
    scaled = {name: norm / sizes[name] ** 0.5 for name, norm in norms.items()}
    first, *_, last = scaled
    if scaled[first] >= VANISHING * scaled[last]:
        return None
    kinds = {layer.kind for layer in evidence.network.layers}
    squashing = " and ".join(sorted(kinds & {"sigmoid", "tanh"}))
    ratio = scaled[last] / scaled[first] if scaled[first] else float("inf")
    return (
        f"the gradient vanishes{f' under {squashing}' if squashing else ''}: that of {first} is "
        f"1/{ratio:,.0f} of that of {last}, weight by weight; try --activation relu, --batch-norm "
        "or fewer layers."
    )


def _dead_relus(evidence: Evidence) -> str | None:
    dead = evidence.layers("dead", "relu")
    worst = max(dead, key=dead.__getitem__, default=None)
    if worst is None or dead[worst] <= HALF:
        return None
    return (
        f"{dead[worst]:.0%} of the units of {worst} are off at every image of a batch and learn "
        "nothing from it; try a smaller --lr or --activation leaky_relu."
    )


def _saturated_units(evidence: Evidence) -> str | None:
    saturated = evidence.layers("saturated", "sigmoid", "tanh")
    worst = max(saturated, key=saturated.__getitem__, default=None)
    if worst is None or saturated[worst] <= HALF:
        return None
    return (
        f"{saturated[worst]:.0%} of the outputs of {worst} are saturated: hardly any gradient "
        "passes; try smaller first weights (--init), a smaller --lr or --activation relu."
    )


def _learning_rate_high(evidence: Evidence) -> str | None:
    loss = evidence.epochs["train_loss"][-1]
    if loss > GROWN * max(evidence.equal_loss, evidence.first_loss):
        return (
            f"the loss has grown to {loss:.4g}, above the {evidence.equal_loss:.4g} of equal "
            "scores; the learning rate may be too high: try a smaller --lr, or --warmup."
        )
    ratios = evidence.layers("update_ratio", "linear")
    worst = max(ratios, key=ratios.__getitem__, default=None)
    if worst is None or ratios[worst] <= BOLD:
        return None
    return (
        f"a step changes the weights of {worst} by {ratios[worst]:.0%} of their size; the learning "
        "rate may be too high: about 0.1 % is usual. Try a smaller --lr."
    )


def _learning_rate_low(evidence: Evidence) -> str | None:
    ratios = evidence.layers("update_ratio", "linear")
    losses = evidence.epochs["train_loss"]
    before = losses[-2] if len(losses) > 1 else evidence.first_loss
    slow = ratios and max(ratios.values()) < TIMID and min(evidence.rates) >= HALF
    if not slow or losses[-1] < (1 - STANDSTILL) * before:
        return None
    return (
        f"a step changes no layer's weights by more than {max(ratios.values()):.1e} of their size, "
        "and the loss hardly falls; the learning rate may be too low: about 1e-3 is usual. Try a "
        "larger --lr."
    )


def _validation_rising(evidence: Evidence) -> str | None:
    losses = evidence.epochs.get("val_loss", [])
    if not losses:
        return None
    best = int(np.argmin(losses))
    training = evidence.epochs["train_loss"]
    waited = len(losses) - 1 - best
    if waited < PATIENCE or losses[-1] < RISE * losses[best] or training[-1] >= training[best]:
        return None
    return (
        f"the validation loss has risen from {losses[best]:.4g} (epoch {best + 1}) to "
        f"{losses[-1]:.4g} while the training loss falls: it overfits; try --dropout, --l2, "
        "--augment or --early-stopping."
    )


# One entry a sign.
RULES: dict[str, Callable[[Evidence], str | None]] = {
    "vanishing_gradient": _vanishing_gradient,
    "dead_relus": _dead_relus,
    "saturated_units": _saturated_units,
    "learning_rate_high": _learning_rate_high,
    "learning_rate_low": _learning_rate_low,
    "validation_rising": _validation_rising,
}
