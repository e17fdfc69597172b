"""The table of layers. To add one, write its class and enter it here.

The spec of a model, the gradient checks and the documentation read this table.
"""

from nnlab.core.activations import ACTIVATIONS
from nnlab.core.dropout import Dropout
from nnlab.core.layer import Layer
from nnlab.core.linear import Linear
from nnlab.core.normalization import BatchNorm, LayerNorm

NORMALIZATIONS: dict[str, type[Layer]] = {cls.kind: cls for cls in (BatchNorm, LayerNorm)}

LAYERS: dict[str, type[Layer]] = {
    Linear.kind: Linear,
    Dropout.kind: Dropout,
    **NORMALIZATIONS,
    **ACTIVATIONS,
}
