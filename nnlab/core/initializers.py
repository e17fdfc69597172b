"""First values of weight matrices: how wide to draw them, by the layer's width.

With fan_in inputs and fan_out outputs, an initializer draws W (fan_in, fan_out) with mean zero
and this variance:

    he       2 / fan_in                He et al. 2015, arXiv:1502.01852: keeps ReLU's signal
    xavier   2 / (fan_in + fan_out)    Glorot and Bengio 2010: for symmetric units such as tanh
    lecun    1 / fan_in                LeCun et al. 1998, Efficient BackProp
    gaussian 0.01^2                    small numbers, enough for a linear classifier
    zeros    0                         every unit of a hidden layer stays equal: for linear models

`..._uniform` draws evenly from an interval of the same variance, `..._normal` from a Gaussian.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
Initializer = Callable[[np.random.Generator, int, int], Weights]


def _normal(variance: Callable[[int, int], float]) -> Initializer:
    def draw(rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        return np.sqrt(variance(fan_in, fan_out)) * rng.standard_normal((fan_in, fan_out))

    return draw


def _uniform(variance: Callable[[int, int], float]) -> Initializer:
    def draw(rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        # An even spread over [-a, a] has the variance a^2 / 3.
        limit = np.sqrt(3.0 * variance(fan_in, fan_out))
        return rng.uniform(-limit, limit, (fan_in, fan_out))

    return draw


def _he(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    return 2.0 / fan_in


def _xavier(fan_in: int, fan_out: int) -> float:
    return 2.0 / (fan_in + fan_out)


def _lecun(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    return 1.0 / fan_in


def _small(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    return 0.01**2


def _nothing(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    return 0.0


# One entry an initializer: its name -> how it draws.
INITIALIZERS: dict[str, Initializer] = {
    "he_normal": _normal(_he),
    "he_uniform": _uniform(_he),
    "xavier_normal": _normal(_xavier),
    "xavier_uniform": _uniform(_xavier),
    "lecun_normal": _normal(_lecun),
    "lecun_uniform": _uniform(_lecun),
    "gaussian": _normal(_small),
    "zeros": _normal(_nothing),
}
