"""The settings of a training run: one table.

The options of `nnlab train` and `nnlab gradcheck`, the keys of a configuration file, what a run
file stores under `/config` and the keyword arguments of `Classifier` are all this table.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from nnlab.core.activations import ACTIVATIONS
from nnlab.core.initializers import INITIALIZERS
from nnlab.core.losses import LOSSES
from nnlab.core.models import MODELS
from nnlab.core.optimizers import OPTIMIZERS, SGD
from nnlab.core.schedules import SCHEDULES
from nnlab.errors import InputError
from nnlab.training.augmentation import augmentation_help
from nnlab.training.shuffling import SHUFFLES
from nnlab.training.standardization import STANDARDIZATIONS

Check = Callable[[Any], bool]


def _setting(
    default: Any,
    panel: str,
    help: str,  # noqa: A002
    choices: Any = None,
    check: tuple[Check, str] | None = None,
) -> Any:
    metadata = {
        "panel": panel,
        "help": help,
        "choices": None if choices is None else tuple(choices),
        "check": check,
    }
    return field(default=default, metadata=metadata)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


POSITIVE = (lambda value: _is_number(value) and value > 0, "a number above 0")
NOT_NEGATIVE = (lambda value: _is_number(value) and value >= 0, "a number of at least 0")
COUNT = (
    lambda value: isinstance(value, int) and 1 <= value < 2**63,  # what HDF5 holds
    "a whole number of at least 1 that fits in 64 bits",
)
SEED = (lambda value: isinstance(value, int) and value >= 0, "a whole number of at least 0")
COUNT_OR_NONE = (lambda value: isinstance(value, int) and value >= 0, "a whole number, 0 for none")
SHARE = (lambda value: _is_number(value) and 0 <= value < 1, "at least 0 and below 1")

MODEL, LOSS, DESCENT, DATA = "Model", "Loss and penalty", "Descent", "Data"


@dataclass(frozen=True)
class Settings:
    """Every setting that decides what a run computes.

    None stands for the default of the model, the activation or the optimizer; `resolve` fills it
    in. A wrong value raises InputError.
    """

    model: str = _setting("softmax", MODEL, "What is trained.", MODELS)
    hidden: str | None = _setting(
        None, MODEL, "Widths of an mlp's hidden layers, such as 512,256. [default: 100]"
    )
    activation: str = _setting("relu", MODEL, "What hidden units do with their sum.", ACTIVATIONS)
    dropout: float = _setting(
        0.0, MODEL, "Share of hidden units switched off in a step.", check=SHARE
    )
    batch_norm: bool = _setting(False, MODEL, "Normalize every hidden unit over the batch.")
    layer_norm: bool = _setting(False, MODEL, "Normalize every image over its hidden units.")
    init: str | None = _setting(
        None, MODEL, "How first weights are drawn. [default: the activation's]", INITIALIZERS
    )

    loss: str | None = _setting(None, LOSS, "The data loss. [default: the model's]", LOSSES)
    delta: float = _setting(1.0, LOSS, "Margin of the hinge losses.", check=POSITIVE)
    label_smoothing: float = _setting(
        0.0, LOSS, "Share of the softmax target spread over all classes.", check=SHARE
    )
    class_weight: str = _setting(
        "none", LOSS, "What each class counts: none, balanced, or one number a class: 1,2,0.5."
    )
    l2: float = _setting(0.0, LOSS, "L2 penalty: l2 / 2 * sum(W^2).", check=NOT_NEGATIVE)
    l1: float = _setting(0.0, LOSS, "L1 penalty: l1 * sum(|W|).", check=NOT_NEGATIVE)
    weight_decay: float | None = _setting(
        None,
        LOSS,
        "Decoupled decay: W *= 1 - lr * decay. [default: 0, adamw 0.01]",
        check=NOT_NEGATIVE,
    )
    max_norm: float | None = _setting(
        None, LOSS, "Bound on the norm of the weights into a unit.", check=POSITIVE
    )

    optimizer: str = _setting("adam", DESCENT, "The rule of a step.", OPTIMIZERS)
    lr: float | None = _setting(
        None, DESCENT, "Learning rate. [default: the optimizer's]", check=POSITIVE
    )
    momentum: float | None = _setting(
        None, DESCENT, "Momentum. [default: sgd 0, momentum and nesterov 0.9]", check=SHARE
    )
    schedule: str = _setting("cosine", DESCENT, "How the learning rate changes.", SCHEDULES)
    warmup: float = _setting(
        0.0, DESCENT, "Epochs over which the rate rises at first.", check=NOT_NEGATIVE
    )
    lr_decay: float | None = _setting(
        None, DESCENT, "Factor of the schedules step, exponential, plateau.", check=POSITIVE
    )
    lr_decay_epochs: int | None = _setting(
        None, DESCENT, "Epochs between the factors of step. [default: a third]", check=COUNT
    )
    lr_patience: int = _setting(
        5, DESCENT, "Epochs without a better val loss that plateau bears.", check=COUNT_OR_NONE
    )
    clip: float | None = _setting(
        None, DESCENT, "Scale a gradient longer than this back to it.", check=POSITIVE
    )
    ema: float = _setting(
        0.0, DESCENT, "Average the weights with this factor, such as 0.999.", check=SHARE
    )
    epochs: int = _setting(20, DESCENT, "Passes over the training images, in all.", check=COUNT)
    batch_size: int = _setting(128, DESCENT, "Images a step.", check=COUNT)
    early_stopping: int = _setting(
        0, DESCENT, "Stop after so many epochs without better val accuracy.", check=COUNT_OR_NONE
    )

    val: float | None = _setting(
        None,
        DATA,
        "Images set aside for validation: a share or a number, 0 for none. [default: the file's "
        "val split, else a tenth of train]",
        check=NOT_NEGATIVE,
    )
    fold: int | None = _setting(
        None,
        DATA,
        "Validate on this fold of the file (see preprocess --folds), from 0, and train on the "
        "others.",
        check=COUNT_OR_NONE,
    )
    limit_train: int | None = _setting(
        None, DATA, "Train on so many images, each class keeping its share.", check=COUNT
    )
    standardize: str = _setting("channel", DATA, "What is done to pixels first.", STANDARDIZATIONS)
    augment: str = _setting(
        "",
        DATA,
        f"Random changes of the training images, such as flip,shift=2: {augmentation_help()}.",
    )
    shuffle: str = _setting(
        "auto",
        DATA,
        "The order of the images: full, any order of all; blocks, for data larger than memory, "
        "mixes a window of blocks from all over the file; auto takes blocks for a file above half "
        "of the memory.",
        SHUFFLES,
    )
    shuffle_window: int = _setting(
        256, DATA, "Megabytes of images that blocks mixes at a time; two windows are held.",
        check=COUNT,
    )  # fmt: skip
    seed: int = _setting(0, DATA, "Decides every random number.", check=SEED)
    dtype: str = _setting("float32", DATA, "Type of all numbers.", ("float32", "float64"))

    def __post_init__(self) -> None:
        for entry in fields(self):
            _check(entry, getattr(self, entry.name))
        if self.batch_norm and self.layer_norm:
            raise InputError("--batch-norm and --layer-norm exclude each other; take one.")
        with_momentum = [name for name, rule in OPTIMIZERS.items() if issubclass(rule, SGD)]
        if self.momentum is not None and self.optimizer not in with_momentum:
            raise InputError(
                f"--momentum belongs to {', '.join(with_momentum)}; {self.optimizer} has none."
            )
        if "hidden" not in MODELS[self.model].defaults:
            for name in ("hidden", "dropout", "batch_norm", "layer_norm"):
                if getattr(self, name):
                    raise InputError(
                        f"{option_name(name)} belongs to --model mlp; {self.model} has no hidden "
                        "layers."
                    )
        loss = self.loss or MODELS[self.model].loss
        if self.label_smoothing and loss != "softmax":
            raise InputError(f"--label-smoothing belongs to --loss softmax, not to {loss}.")
        if self.delta != 1.0 and loss == "softmax":
            raise InputError("--delta is the margin of the hinge losses; softmax has none.")
        parse_hidden(self.hidden)

    def resolve(self) -> "Settings":
        """Return the settings with every default of model, activation and optimizer filled in."""
        rule = OPTIMIZERS[self.optimizer]
        model = MODELS[self.model]
        filled: dict[str, Any] = {
            name: value for name, value in model.defaults.items() if getattr(self, name) is None
        }
        if self.loss is None:
            filled["loss"] = model.loss
        if self.lr is None:
            filled["lr"] = rule.default_learning_rate
        if self.weight_decay is None:
            filled["weight_decay"] = rule.default_weight_decay
        return replace(self, **filled)

    @property
    def normalization(self) -> str:
        """The name of the normalization in the table of layers, or ``"none"``."""
        if self.batch_norm:
            return "batch_norm"
        return "layer_norm" if self.layer_norm else "none"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Settings":
        """Make settings from a mapping whose keys are option names, with ``-`` or ``_``.

        Raises:
            InputError: an unknown key, or a value that the setting does not take.
        """
        known = {entry.name for entry in fields(cls)}
        normal = {key.replace("-", "_"): value for key, value in values.items()}
        unknown = sorted(set(normal) - known)
        if unknown:
            raise InputError(f"unknown setting {unknown[0]!r}; known: {', '.join(sorted(known))}.")
        return cls(**{key: _plain(key, value) for key, value in normal.items()})


def parse_hidden(text: str | None) -> tuple[int, ...]:
    """Return the widths in a text such as ``512,256``.

    Raises:
        InputError: something in it is not a whole number of at least 1.
    """
    if text is None:
        return ()
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        widths = (0,)
    if any(width < 1 for width in widths):
        raise InputError(f"--hidden takes widths such as 512,256, each at least 1, not {text!r}.")
    return widths


def parse_class_weight(text: str, classes: int) -> list[float] | None:
    """Return the numbers in a text such as ``1,2,0.5``; None for ``none`` and ``balanced``.

    Raises:
        InputError: not one number of at least 0 for each class, or all of them 0.
    """
    if text in {"none", "balanced"}:
        return None
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        weights = []
    usable = all(_is_number(w) and w >= 0 for w in weights) and any(weights)
    if len(weights) != classes or not usable:
        raise InputError(
            f"--class-weight takes none, balanced or {classes} numbers of at least 0 (one a "
            f"class, not all 0), not {text!r}."
        )
    return weights


def option_name(name: str) -> str:
    """Return how a setting is written on the command line."""
    return "--" + name.replace("_", "-")


def _plain(key: str, value: Any) -> Any:
    # A configuration file may say hidden = [512, 256], or 100.
    if isinstance(value, np.generic):
        value = value.item()
    if key in {"hidden", "class_weight", "augment"} and isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    if key == "hidden" and isinstance(value, int):
        return str(value)
    return value


def _check(entry: Any, value: Any) -> None:
    optional = entry.default is None
    if value is None:
        if optional:
            return
        raise InputError(f"{option_name(entry.name)} needs a value.")
    choices, check = entry.metadata["choices"], entry.metadata["check"]
    if choices is not None and value not in choices:
        raise InputError(
            f"{option_name(entry.name)} is one of {', '.join(choices)}, not {value!r}."
        )
    if check is not None and (isinstance(value, bool) or not check[0](value)):
        raise InputError(f"{option_name(entry.name)} is {check[1]}, not {value!r}.")
    if choices is None and check is None:
        wanted = bool if isinstance(entry.default, bool) else str
        if not isinstance(value, wanted):
            raise InputError(f"{option_name(entry.name)} cannot be {value!r}.")
