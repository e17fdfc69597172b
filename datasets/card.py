"""Cards: what nnlab knows about a data set, one TOML file each.

name = "fashion-mnist"            # as users type it
title = "Fashion-MNIST"
licence = "MIT"
citation = "..."
home = "https://..."
format = "idx"                    # a key of nnlab.datasets.decoders.DECODERS
shape = [28, 28, 1]               # height, width, channels
classes = ["T-shirt/top", ...]
mirrors = ["https://.../"]        # folders that hold the files, best first

[splits]                          # images a split
train = 60000

[[files]]
name = "train-images-idx3-ubyte.gz"
size = 26421880                   # bytes as published
sha256 = "..."                    # of the content, uncompressed: recompressed copies pass
md5 = "..."                       # of the file as published, where no sha256 is known

[[references]]                    # accuracies that others have measured
model = "..."
accuracy = 0.916
source = "..."
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from nnlab.datasets.decoders import DECODERS
from nnlab.errors import FileFormatError, InputError

NAME = re.compile(r"[a-z0-9][a-z0-9.-]*$")
HEX = {"sha256": re.compile(r"[0-9a-f]{64}$"), "md5": re.compile(r"[0-9a-f]{32}$")}


@dataclass(frozen=True)
class CardFile:
    """A file of a data set.

    Attributes:
        name: as published, without folders.
        size: bytes as published; 0 if unknown.
        sha256: of the content, uncompressed; empty if unknown.
        md5: of the file as published; empty if unknown.
    """

    name: str
    size: int = 0
    sha256: str = ""
    md5: str = ""


@dataclass(frozen=True)
class Reference:
    """An accuracy on the test split that somebody has published."""

    model: str
    accuracy: float
    source: str


@dataclass(frozen=True)
class Card:
    """What is known about a data set; the fields are those of the TOML file."""

    name: str
    title: str
    licence: str
    citation: str
    home: str
    format: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    splits: dict[str, int]
    files: tuple[CardFile, ...]
    references: tuple[Reference, ...]

    @property
    def generated(self) -> bool:
        """Whether nnlab makes the images itself."""
        return DECODERS[self.format].generated


@cache
def known_cards() -> dict[str, Card]:
    """Return the cards that come with nnlab, by name."""
    folder = package_files("nnlab.datasets.cards")
    found = [item for item in folder.iterdir() if item.name.endswith(".toml")]
    cards = [parse_card(item.read_text("utf-8"), item.name) for item in found]
    return {card.name: card for card in sorted(cards, key=lambda card: card.name)}


def find_card(name: str) -> Card:
    """Return the card of a known data set.

    Raises:
        InputError: there is none of that name.
    """
    cards = known_cards()
    if name not in cards:
        raise InputError(f"{name!r} is no known data set; known are {', '.join(cards)}.")
    return cards[name]


def read_card(path: Path) -> Card:
    """Read and check a card.

    Raises:
        InputError: it cannot be read.
        FileFormatError: something in it is wrong; the message says what.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not a text file in UTF-8.") from error
    return parse_card(text, str(path))


def parse_card(text: str, where: str) -> Card:
    """Check the text of a card; `where` names it in messages."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileFormatError(f"{where} is not a TOML file: {error}.") from error
    table = _Table(content, where)
    card = Card(
        name=table.text("name"),
        title=table.text("title"),
        licence=table.text("licence"),
        citation=table.text("citation"),
        home=table.text("home"),
        format=table.text("format"),
        shape=_shape(table),
        classes=tuple(table.texts("classes")),
        mirrors=tuple(table.texts("mirrors", needed=False)),
        splits=_splits(table),
        files=tuple(_file(item) for item in table.tables("files")),
        references=tuple(
            Reference(item.text("model"), item.share("accuracy"), item.text("source"))
            for item in table.tables("references")
        ),
    )
    table.finish()
    _check(card, where)
    return card


class _Table:
    """A TOML table whose entries are taken out, each with its type checked."""

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        self._left = dict(content)
        self.where = where

    def take(self, key: str, kind: type | tuple[type, ...], what: str, default: Any = None) -> Any:
        value = self._left.pop(key, default)
        if value is None:
            raise FileFormatError(f"{self.where} lacks {key!r}, {what}.")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise FileFormatError(f"{self.where}: {key!r} must be {what}, not {value!r}.")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value: str = self.take(key, str, "a text", default)
        return value

    def count(self, key: str, default: int | None = None) -> int:
        value: int = self.take(key, int, "a whole number", default)
        if value < 0:
            raise FileFormatError(f"{self.where}: {key!r} must not be negative.")
        return value

    def share(self, key: str) -> float:
        value = float(self.take(key, (int, float), "a number"))
        if not 0 <= value <= 1:
            raise FileFormatError(f"{self.where}: {key!r} must lie between 0 and 1.")
        return value

    def texts(self, key: str, needed: bool = True) -> list[str]:
        values = self.take(key, list, "a list of texts", None if needed else [])
        if not all(isinstance(value, str) for value in values):
            raise FileFormatError(f"{self.where}: {key!r} must be a list of texts.")
        return list(values)

    def tables(self, key: str) -> list["_Table"]:
        values = self.take(key, list, f"a list of tables, [[{key}]]", [])
        if not all(isinstance(value, dict) for value in values):
            raise FileFormatError(f"{self.where}: {key!r} must be a list of tables, [[{key}]].")
        tables = [_Table(value, f"{self.where}: {key}") for value in values]
        self._nested = [*getattr(self, "_nested", []), *tables]
        return tables

    def finish(self) -> None:
        """Refuse what nobody took: mostly a misspelt key."""
        for table in [self, *getattr(self, "_nested", [])]:
            for key in table._left:
                raise FileFormatError(f"{table.where} has an unknown key {key!r}.")


def _shape(table: _Table) -> tuple[int, int, int]:
    values = table.take("shape", list, "a list of three whole numbers: height, width, channels")
    if len(values) != 3 or not all(type(value) is int and value > 0 for value in values):
        raise FileFormatError(f"{table.where}: 'shape' must be [height, width, channels].")
    return (values[0], values[1], values[2])


def _splits(table: _Table) -> dict[str, int]:
    values = table.take("splits", dict, "a table of images a split", {})
    if not all(type(value) is int and value > 0 for value in values.values()):
        raise FileFormatError(f"{table.where}: 'splits' must hold whole numbers of images.")
    return dict(values)


def _file(item: _Table) -> CardFile:
    return CardFile(
        name=item.text("name"),
        size=item.count("size", 0),
        sha256=item.text("sha256", ""),
        md5=item.text("md5", ""),
    )


def _check(card: Card, where: str) -> None:
    if not NAME.match(card.name):
        raise FileFormatError(
            f"{where}: 'name' must be of small letters, digits, '-' and '.', not {card.name!r}."
        )
    if card.format not in DECODERS:
        raise FileFormatError(
            f"{where}: no format {card.format!r}; known are {', '.join(DECODERS)}."
        )
    if len(set(card.classes)) != len(card.classes) or not card.classes:
        raise FileFormatError(f"{where}: 'classes' must be a list of different names.")
    if not card.files and not card.generated:
        raise FileFormatError(f"{where} lists no [[files]].")
    for file in card.files:
        if not file.name or Path(file.name).name != file.name or file.name.startswith("."):
            raise FileFormatError(f"{where}: {file.name!r} is not a plain file name.")
        if not (file.sha256 or file.md5):
            raise FileFormatError(f"{where}: {file.name} needs a sha256 or an md5.")
        for kind, pattern in HEX.items():
            value = getattr(file, kind)
            if value and not pattern.match(value):
                raise FileFormatError(f"{where}: the {kind} of {file.name} is not one.")
    for mirror in card.mirrors:
        if not mirror.startswith(("https://", "http://")):
            raise FileFormatError(f"{where}: mirror {mirror!r} is not a URL of the web.")
