"""Explaining one image: from its pixels to the gradient that changes W, or to its neighbours.

    explain_network    the image as a tensor, scores, loss, forward and backward pass, one step
    explain_neighbors  the neighbours, where they differ from the image, and how they vote
    loss_part          a loss in its stages, also without any run

Each returns a tree of plain data; `nnlab.explanation.page` makes a web page of it and
`nnlab.explanation.record` plain values for JSON.
"""

from nnlab.explanation.losses import loss_part
from nnlab.explanation.neighbors import NeighborsExplanation, explain_neighbors
from nnlab.explanation.network import NetworkExplanation, explain_network

__all__ = [
    "NeighborsExplanation",
    "NetworkExplanation",
    "explain_neighbors",
    "explain_network",
    "loss_part",
]
