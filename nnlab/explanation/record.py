"""Explanations as plain values, for JSON."""

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def record(part: Any) -> Any:
    """Return a tree of dataclasses as dictionaries by field, with lists for arrays."""
    if is_dataclass(part):
        return {entry.name: record(getattr(part, entry.name)) for entry in fields(part)}
    if isinstance(part, list | tuple):
        return [record(item) for item in part]
    if isinstance(part, np.ndarray | np.generic):
        return part.tolist()
    return part
