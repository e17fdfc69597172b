"""Where images come from: cards, downloads, decoders, the shapes data set and the data file.

    card -> download (verified files) -> decoder (arrays) -> splits -> data file (HDF5)

The public names are imported when they are first used, so that importing a single module of this
package costs no more than that module. The functions `download` and `preprocess` are called like
their modules and are imported from there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnlab.datasets.card import Card as Card
    from nnlab.datasets.datafile import DataFile as DataFile
    from nnlab.datasets.datafile import Split as Split
    from nnlab.datasets.datafile import open_data as open_data
    from nnlab.datasets.datafile_writing import write_data as write_data
    from nnlab.datasets.find import find_data as find_data
    from nnlab.datasets.known import find_card as find_card
    from nnlab.datasets.known import known_cards as known_cards
    from nnlab.datasets.summary import Summary as Summary
    from nnlab.datasets.summary import summarize as summarize

# Public name -> the module that defines it.
_PUBLIC = {
    "Card": "card",
    "DataFile": "datafile",
    "Split": "datafile",
    "Summary": "summary",
    "find_card": "known",
    "find_data": "find",
    "known_cards": "known",
    "open_data": "datafile",
    "summarize": "summary",
    "write_data": "datafile_writing",
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'nnlab.datasets' has no attribute {name!r}")
    return getattr(import_module(f"nnlab.datasets.{_PUBLIC[name]}"), name)
