"""Nearest neighbours: exact search on pixels, the vote, and what it shows about backgrounds."""

from nnlab.neighbors.baseline import KnnResult, Settings, baseline
from nnlab.neighbors.classifier import KNNClassifier, restore
from nnlab.neighbors.crossvalidation import CrossValidation, cross_validate
from nnlab.neighbors.exact_search import Neighbors, search
from nnlab.neighbors.metrics import METRICS, Metric
from nnlab.neighbors.vote import WEIGHTS

__all__ = [
    "METRICS",
    "WEIGHTS",
    "CrossValidation",
    "KNNClassifier",
    "KnnResult",
    "Metric",
    "Neighbors",
    "Settings",
    "baseline",
    "cross_validate",
    "restore",
    "search",
]
