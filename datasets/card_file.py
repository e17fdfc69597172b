"""Cards as TOML files: read, and checked to the last key, with one line for each fault."""

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nnlab.datasets.card import Card, CardFile, Reference, Statistics
from nnlab.datasets.decoders import DECODERS, Reading
from nnlab.errors import FileFormatError, InputError

NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
SHA256, MD5 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{32}")
CHECKSUMS = {"sha256": SHA256, "published_sha256": SHA256, "md5": MD5}
LABELS = ("fine", "coarse")
# No card comes near; a file of gigabytes that was named by mistake is not read.
MAX_BYTES = 2**20


def read_card(path: Path) -> Card:
    """Read and check a card.

    Raises:
        InputError: it cannot be read.
        FileFormatError: something in it is wrong; the message says what.
    """
    return parse_card(_text_of(path), str(path))


def parse_card(text: str, where: str) -> Card:
    """Check the text of a card; `where` names it in messages.

    Raises:
        FileFormatError: something in it is wrong; the message names the first fault.
    """
    card, faults = examine(text, where)
    if card is None:
        rest = len(faults) - 1
        more = f" (and {rest} more: nnlab datasets --card {where})" if rest else ""
        raise FileFormatError(faults[0] + more)
    return card


def examine_file(path: Path) -> tuple[Card | None, list[str]]:
    """Return the card in a file, or None, and what is wrong with it, one line each.

    Raises:
        InputError: the file cannot be read.
    """
    return examine(_text_of(path), str(path))


def examine(text: str, where: str) -> tuple[Card | None, list[str]]:
    """Return the card in a text, or None, and what is wrong with it, one line each."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return None, [f"{where} is not a TOML file: {error}."]
    except RecursionError:
        return None, [f"{where} is not a TOML file: it is nested too deeply."]
    table = _Table(content, where, [])
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
        folder=table.text("folder", ""),
        statistics=_statistics(table),
        reading=_reading(table),
    )
    table.finish()
    if not table.faults:
        _check(card, table.fault)
    return (None if table.faults else card), table.faults


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if len(raw) > MAX_BYTES:
        raise FileFormatError(f"{path} is too large for a card.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not a text file in UTF-8.") from error


class _Table:
    """A TOML table whose entries are taken out, each with its type checked.

    Args:
        content: the table.
        where: names it in messages.
        faults: takes what is wrong; shared by all tables of a card.
    """

    def __init__(self, content: Mapping[str, Any], where: str, faults: list[str]) -> None:
        self._left = dict(content)
        self._nested: list[_Table] = []
        self.where, self.faults = where, faults

    def fault(self, message: str) -> None:
        """Note that something is wrong."""
        self.faults.append(f"{self.where}: {message}.")

    def take(self, key: str, kinds: tuple[type, ...], what: str, default: Any = None) -> Any:
        """Return an entry, or the empty value of its kind if it is missing or of another kind."""
        value = self._left.pop(key, default)
        if type(value) in kinds:
            return value
        if value is None:
            self.faults.append(f"{self.where} lacks {key!r}, {what}.")
        else:
            self.fault(f"{key!r} must be {what}, not {repr(value)[:50]}")
        return kinds[0]()

    def text(self, key: str, default: str | None = None) -> str:
        value: str = self.take(key, (str,), "a text", default)
        return value

    def count(self, key: str, default: int | None = None) -> int:
        value: int = self.take(key, (int,), "a whole number", default)
        if value < 0:
            self.fault(f"{key!r} must not be negative")
        return value

    def switch(self, key: str) -> bool:
        return bool(self.take(key, (bool,), "true or false", False))

    def share(self, key: str) -> float:
        value = float(self.take(key, (float, int), "a number"))
        if not 0 <= value <= 1:
            self.fault(f"{key!r} must lie between 0 and 1")
        return value

    def shares(self, key: str) -> tuple[float, ...]:
        values = self.take(key, (list,), "a list of numbers", [])
        if not all(type(value) in {int, float} and 0 <= value <= 1 for value in values):
            self.fault(f"{key!r} must be a list of numbers from 0 to 1")
            return ()
        return tuple(float(value) for value in values)

    def texts(self, key: str, needed: bool = True) -> list[str]:
        values: list[str] = self.take(key, (list,), "a list of texts", None if needed else [])
        if not all(type(value) is str for value in values):
            self.fault(f"{key!r} must be a list of texts")
            return []
        return values

    def table(self, key: str) -> "_Table":
        content = self.take(key, (dict,), f"a table, [{key}]", {})
        return self._nest(content, key)

    def tables(self, key: str) -> list["_Table"]:
        values = self.take(key, (list,), f"a list of tables, [[{key}]]", [])
        if not all(type(value) is dict for value in values):
            self.fault(f"{key!r} must be a list of tables, [[{key}]]")
            return []
        return [self._nest(value, key) for value in values]

    def _nest(self, content: Mapping[str, Any], key: str) -> "_Table":
        table = _Table(content, f"{self.where}: {key}", self.faults)
        self._nested.append(table)
        return table

    def finish(self) -> None:
        """Refuse what nobody took: mostly a misspelt key."""
        for table in [self, *self._nested]:
            self.faults += [f"{table.where} has an unknown key {key!r}." for key in table._left]


def _shape(table: _Table) -> tuple[int, int, int]:
    what = "[height, width, channels] in whole numbers"
    values = table.take("shape", (list,), what)
    if len(values) == 3 and all(type(value) is int and value > 0 for value in values):
        return (values[0], values[1], values[2])
    if values:
        table.fault(f"'shape' must be {what}")
    return (1, 1, 1)


def _splits(table: _Table) -> dict[str, int]:
    values = table.take("splits", (dict,), "a table of images a split", {})
    if not all(type(value) is int and value > 0 for value in values.values()):
        table.fault("'splits' must hold whole numbers of images")
    return dict(values)


def _file(item: _Table) -> CardFile:
    return CardFile(
        name=item.text("name"),
        size=item.count("size", 0),
        sha256=item.text("sha256", ""),
        published_sha256=item.text("published_sha256", ""),
        md5=item.text("md5", ""),
        unverified=item.text("unverified", ""),
        split=item.text("split", ""),
    )


def _statistics(table: _Table) -> Statistics | None:
    mean, std = table.shares("mean"), table.shares("std")
    source = table.text("statistics_source", "")
    if not (mean or std or source):
        return None
    if not (mean and std and source):
        table.fault("'mean', 'std' and 'statistics_source' belong together")
    return Statistics(mean, std, source)


def _reading(table: _Table) -> Reading:
    item = table.table("reading")
    reading = Reading(
        select=item.text("select", ""),
        labels=item.text("labels", LABELS[0]),
        first_label=item.count("first_label", 0),
        zero_label=item.count("zero_label", 0),
        transposed=item.switch("transposed"),
    )
    if reading.labels not in LABELS:
        item.fault(f"'labels' must be one of {', '.join(LABELS)}")
    return reading


def _check(card: Card, fault: Callable[[str], None]) -> None:
    """Check what holds entries together; each of them has the right type."""
    for key, name in (("name", card.name), ("folder", card.files_name)):
        if not NAME.fullmatch(name):
            fault(f"{key!r} must be of small letters, digits, '-' and '.', not {name!r}")
    if card.format not in DECODERS:
        fault(f"no format {card.format!r}; known are {', '.join(DECODERS)}")
    if len(set(card.classes)) != len(card.classes) or not card.classes:
        fault("'classes' must be a list of different names")
    if not card.files and (card.format in DECODERS and not card.generated):
        fault("there are no [[files]]")
    names = [file.name for file in card.files]
    if len(set(names)) != len(names):
        fault("a file is listed twice")
    if 0 < sum(bool(file.split) for file in card.files) < len(names):
        fault("either every file has a 'split' or none")
    for file in card.files:
        _check_file(file, fault)
    for mirror in card.mirrors:
        if not mirror.startswith(("https://", "http://")):
            fault(f"mirror {mirror!r} is not a URL of the web")
    statistics = card.statistics
    if statistics and {len(statistics.mean), len(statistics.std)} != {card.shape[2]}:
        fault("'mean' and 'std' must have one number for each channel")


def _check_file(file: CardFile, fault: Callable[[str], None]) -> None:
    plain = Path(file.name).name == file.name and file.name.isprintable()
    if not file.name or not plain or file.name.startswith("."):
        fault(f"{file.name!r} is not a plain file name")
    known = {kind: getattr(file, kind) for kind in CHECKSUMS if getattr(file, kind)}
    if bool(known) == bool(file.unverified):
        fault(
            f"{file.name} needs a sha256, a published_sha256 or an md5, or, without, an "
            "'unverified' that says why there is none"
        )
    for kind, value in known.items():
        if not CHECKSUMS[kind].fullmatch(value):
            fault(f"the {kind} of {file.name} is not one")
