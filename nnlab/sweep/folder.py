"""The folder of a study: made once, and from then on no other study's."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnlab._version import __version__
from nnlab.atomic import write_bytes
from nnlab.claims import claim
from nnlab.errors import InputError
from nnlab.sweep.study import Study, shown_storage

DEFINITION = "study.json"


@dataclass(frozen=True)
class DataSource:
    """The data of a study.

    Attributes:
        path: of the data file.
        checksum: of its content.
    """

    path: Path
    checksum: str


def enter(study: Study, data: DataSource, storage: str = "") -> str:
    """Make the study's folder, or make sure that it is this study's.

    Args:
        study: the study.
        data: its data.
        storage: where its trials are shared; empty if they need not be.

    Returns:
        What names the folder, and no other one.

    Raises:
        InputError: the folder belongs to another study or to something else, or cannot be made.
    """
    folder = study.folder
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{study.path}: the folder {folder} cannot be made: {error.strerror}."
        ) from error
    definition = folder / DEFINITION
    with claim(definition, "sweep", brief=True) as held:
        if definition.exists():
            record = read_definition(folder)
            _refuse_other(study, data, storage, record)
            return str(record["identity"])
        if any(not item.name.startswith(DEFINITION) for item in folder.iterdir()):
            raise InputError(
                f"{folder} exists already and is no study's folder; name another one in "
                f"{study.path} (folder = ...)."
            )
        record = {
            "nnlab_format": "study",
            "format_version": 1,
            "nnlab_version": __version__,
            "identity": secrets.token_hex(8),
            "storage": storage,
            "data": str(data.path),
            "data_checksum": data.checksum,
            "study": study.definition(),
        }
        content = json.dumps(record, ensure_ascii=False, indent=1).encode() + b"\n"
        write_bytes(definition, content, held=held)
        return str(record["identity"])


def read_definition(folder: Path) -> dict[str, Any]:
    """Read what a study's folder was made for.

    Raises:
        InputError: it has no such file, or one that cannot be read.
    """
    path = folder / DEFINITION
    try:
        record = json.loads(path.read_bytes())
        if record["nnlab_format"] == "study" and isinstance(record["study"], dict):
            storage = shown_storage(record["storage"]) if record.get("storage") else ""
            return {"identity": "", **record, "storage": storage}
    except FileNotFoundError:
        raise InputError(f"{folder} holds no study yet; begin it with nnlab sweep run.") from None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{path} is damaged or of another program; take it away to begin anew.")


def _refuse_other(study: Study, data: DataSource, storage: str, record: Mapping[str, Any]) -> None:
    earlier, now = dict(_flat(record["study"])), dict(_flat(study.definition()))
    differ = [
        f"{name} was {earlier.get(name, 'not there')}, is {now.get(name, 'not there')}"
        for name in {**earlier, **now}
        if earlier.get(name) != now.get(name)
    ]
    if record.get("data_checksum") != data.checksum:
        differ.insert(0, f"the data was {record.get('data')}, other content is {data.path}")
    if record["storage"] != storage:
        differ.insert(0, f"its trials are shared in {record['storage']}, not in {storage}")
    if differ:
        raise InputError(
            f"{study.folder} holds a study with another definition: {'; '.join(differ[:3])}. Name "
            f"another folder in {study.path} (folder = ...), or another file."
        )


def _flat(definition: Mapping[str, Any]) -> Any:
    for key, value in definition.items():
        if key == "search":
            for parameter in value:
                shown = {
                    name: item
                    for name, item in parameter.items()
                    if name != "name" and item not in (None, [], {}, False)
                }
                yield f"search.{parameter['name']}", json.dumps(shown)
        elif isinstance(value, dict):
            for name, item in value.items():
                yield f"{key}.{name}", json.dumps(item)
        else:
            yield key, json.dumps(value)
