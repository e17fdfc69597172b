"""Models: recipes that turn a few settings into layers and a loss.

softmax   one linear layer, softmax cross-entropy
svm       one linear layer, multi-class hinge loss
mlp       hidden layers, each linear - (normalization) - activation - (dropout), then softmax
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nnlab.core.activations import ACTIVATIONS
from nnlab.core.dropout import Dropout
from nnlab.core.initializers import INITIALIZERS
from nnlab.core.layer import Layer
from nnlab.core.layers import NORMALIZATIONS
from nnlab.core.linear import Linear


@dataclass(frozen=True)
class Architecture:
    """What a recipe is told.

    Attributes:
        inputs: how many numbers an image has, H * W * C.
        classes: how many classes there are.
        hidden: the widths of the hidden layers.
        activation: a name in `ACTIVATIONS`.
        normalization: a name in `NORMALIZATIONS`, or ``"none"``.
        dropout: the rate after every hidden layer's activation.
        initializer: a name in `INITIALIZERS`; None for the activation's own, and small Gaussian
            numbers for a linear model.
    """

    inputs: int
    classes: int
    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    normalization: str = "none"
    dropout: float = 0.0
    initializer: str | None = None


def _linear_model(architecture: Architecture) -> list[Layer]:
    initializer = architecture.initializer or "gaussian"
    return [Linear(architecture.inputs, architecture.classes, initializer)]


def _mlp(architecture: Architecture) -> list[Layer]:
    activation = ACTIVATIONS[architecture.activation]
    initializer = architecture.initializer or activation.default_initializer
    layers: list[Layer] = []
    width = architecture.inputs
    for units in architecture.hidden:
        layers.append(Linear(width, units, initializer))
        if architecture.normalization != "none":
            layers.append(NORMALIZATIONS[architecture.normalization](units))
        layers.append(activation(units))
        if architecture.dropout:
            layers.append(Dropout(units, architecture.dropout))
        width = units
    # The scores are not rectified: they are drawn as for a symmetric unit.
    layers.append(Linear(width, architecture.classes, architecture.initializer or "xavier_normal"))
    return layers


@dataclass(frozen=True)
class Model:
    """One recipe.

    Attributes:
        build: makes the layers.
        loss: the name of its loss in `nnlab.core.losses.LOSSES`.
        defaults: what holds for settings of training that are left open (None).
    """

    build: Callable[[Architecture], list[Layer]]
    loss: str
    defaults: dict[str, Any] = field(default_factory=dict)


# One entry a model; the command line, the help and the sweep read it.
MODELS: dict[str, Model] = {
    "softmax": Model(_linear_model, "softmax"),
    "svm": Model(_linear_model, "hinge"),
    "mlp": Model(_mlp, "softmax", {"hidden": "100"}),
}


def build(model: str, architecture: Architecture) -> list[Layer]:
    """Return the layers of a model.

    Raises:
        ValueError: an unknown name, or a width that is not above 0.
    """
    for what, name, table in (
        ("model", model, MODELS),
        ("activation", architecture.activation, ACTIVATIONS),
        ("normalization", architecture.normalization, ("none", *NORMALIZATIONS)),
        ("initializer", architecture.initializer or "zeros", INITIALIZERS),
    ):
        if name not in table:
            raise ValueError(f"unknown {what} {name!r}; known: {', '.join(table)}")
    if any(width < 1 for width in architecture.hidden):
        raise ValueError("a hidden layer has at least one unit")
    return MODELS[model].build(architecture)
