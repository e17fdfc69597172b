"""The known data sets together with what of them is on this machine."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from nnlab.datasets.card import Card
from nnlab.datasets.decoders import DECODERS
from nnlab.datasets.download import is_downloaded
from nnlab.datasets.fetching.verify import verified_by
from nnlab.datasets.known import find_card, known_cards
from nnlab.datasets.roots import prepared_file


def describe_all(root: Path | None = None) -> list[dict[str, Any]]:
    """Return one record for each known data set, by name."""
    return [_record(card, root) for card in known_cards().values()]


def describe(name: str, root: Path | None = None) -> dict[str, Any]:
    """Return all that is known about one data set.

    Raises:
        InputError: there is none of that name.
    """
    return _record(find_card(name), root)


def _record(card: Card, root: Path | None) -> dict[str, Any]:
    prepared = prepared_file(card.name, root)
    return {
        "name": card.name,
        "title": card.title,
        "format": card.format,
        "reads": DECODERS[card.format].summary,
        "image_shape": list(card.shape),
        "classes": list(card.classes),
        "splits": card.splits,
        "licence": card.licence,
        "citation": card.citation,
        "home": card.home,
        "mirrors": list(card.mirrors),
        "files": [
            {
                "name": file.name,
                "size": file.size or None,
                "verified_by": verified_by(file),
                "sha256": file.sha256 or None,
                "published_sha256": file.published_sha256 or None,
                "md5": file.md5 or None,
                "unverified": file.unverified or None,
            }
            for file in card.files
        ],
        "statistics": None if card.statistics is None else asdict(card.statistics),
        "references": [asdict(reference) for reference in card.references],
        "downloaded": None if card.generated else is_downloaded(card, root),
        "prepared": str(prepared) if prepared.is_file() else None,
    }
