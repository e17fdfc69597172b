"""The data sets that nnlab knows: the cards that come with it, and the user's own.

A user's cards are the `*.toml` files in the folder that NNLAB_CARDS names, else in `cards` in the
user's configuration folder (~/.config/nnlab/cards on Linux).
"""

import os
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path

from platformdirs import user_config_dir

from nnlab.datasets.card import Card
from nnlab.datasets.card_file import examine_file, parse_card, read_card
from nnlab.errors import InputError, NnlabWarning

CARDS_VARIABLE = "NNLAB_CARDS"


def own_cards_folder() -> Path:
    """Return where the user's own cards are looked for."""
    named = os.environ.get(CARDS_VARIABLE)
    return Path(named).expanduser() if named else Path(user_config_dir("nnlab")) / "cards"


def known_cards() -> dict[str, Card]:
    """Return all cards by name.

    A card of the user's that is wrong, or has the name of another one, is left out with a
    `NnlabWarning`: whoever works on something else has nothing to do with it.

    Raises:
        InputError: the folder that NNLAB_CARDS names is none, or cannot be read.
    """
    cards = dict(_shipped_cards())
    origins = dict.fromkeys(cards, "nnlab itself")
    for path in _own_card_files():
        try:
            card = read_card(path)
        except InputError as error:
            _leave_out(str(error))
            continue
        if card.name in cards:
            _leave_out(
                f"{path}: the name {card.name!r} is taken by a card of {origins[card.name]}; "
                "give it another 'name'."
            )
            continue
        cards[card.name], origins[card.name] = card, str(path)
    return dict(sorted(cards.items()))


def _leave_out(fault: str) -> None:
    warnings.warn(f"a card of your own is left out: {fault}", NnlabWarning, stacklevel=2)


def find_card(name: str) -> Card:
    """Return the card of a known data set.

    Raises:
        InputError: there is none of that name.
    """
    cards = known_cards()
    if name not in cards:
        meant = meant_by(name, cards)
        rest = f"did you mean {meant}?" if meant else f"known are {', '.join(cards)}."
        raise InputError(
            f"{name!r} is no known data set; {rest} A card of your own belongs into "
            f"{own_cards_folder()}."
        )
    return cards[name]


def meant_by(name: str, cards: Iterable[str] | None = None) -> str:
    """Return the known names that are nearly `name`, for a question; empty if there are none."""
    known = {_squeezed(card): card for card in (known_cards() if cards is None else cards)}
    sought = _squeezed(name)
    if sought in known:
        return known[sought]
    holding = [card for short, card in known.items() if len(sought) > 3 and sought in short]
    near = [known[short] for short in get_close_matches(sought, known, n=2, cutoff=0.75)]
    return " or ".join(holding or near)


def _squeezed(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum())


def faults_of(path: Path) -> list[str]:
    """Return what is wrong with a card of the user's, one line each.

    Raises:
        InputError: the file cannot be read.
    """
    card, faults = examine_file(path)
    if card is not None and card.name in _shipped_cards():
        faults.append(f"{path}: the name {card.name!r} is taken by a card of nnlab itself.")
    return faults


@cache
def _shipped_cards() -> dict[str, Card]:
    folder = package_files("nnlab.datasets.cards")
    found = [item for item in folder.iterdir() if item.name.endswith(".toml")]
    cards = [parse_card(item.read_text("utf-8"), item.name) for item in found]
    return {card.name: card for card in cards}


def _own_card_files() -> list[Path]:
    folder = own_cards_folder()
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except (FileNotFoundError, NotADirectoryError) as error:
        if CARDS_VARIABLE in os.environ:
            raise InputError(f"{CARDS_VARIABLE}: {folder} is not a folder.") from error
        return []
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}.") from error
