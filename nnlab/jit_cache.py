"""What Numba keeps of compiled code on disk, made safe for updates and for processes side by side.

Numba takes what it finds there for valid as long as the function's own file is the same. Of a
constant that has changed in another file it would know nothing, after an update of this package as
well: it would write with one size into memory of another.

It numbers the files of machine code, names one in its index first, and writes it then. Of processes
that compile at once, after an update on a cluster for example, one may so find another's code, for
other types, or that of before the update, under a name that was promised to it. Here a file's name
says what is in it, and it is there before it is named.
"""

import hashlib
from functools import cache, partial
from pathlib import Path
from typing import Any

# Where compiled functions stand, and what they take over from other files: constants, other
# compiled functions, code that is built by hand.
SOURCES = ("*.py", "core/*.py", "neighbors/*.py")


def make_safe(dispatcher: Any) -> None:
    """Let a compiled function keep its code safely.

    Raises:
        AttributeError: Numba keeps it in another way than the one that is known here.
    """
    entry = dispatcher._cache._cache_file
    entry._source_stamp = entry._source_stamp, _stamp()
    used = entry._load_index, entry._save_index, entry._save_data, entry._index_path
    entry.save = partial(_save, entry, *used)


def _save(
    entry: Any, load_index: Any, save_index: Any, save_data: Any, index: str, key: Any, data: Any
) -> None:
    """Keep the code that was compiled for a key: the types of arguments, the processor."""
    digest = hashlib.sha256(repr((entry._source_stamp, key)).encode()).hexdigest()
    path, name = Path(index), f"{Path(index).stem}.{digest[:20]}.nbc"
    save_data(name, data)
    known = load_index()
    if not known:  # nothing is valid any more
        for old in path.parent.glob(f"{path.stem}.*.nbc"):
            if old.name != name:
                old.unlink(missing_ok=True)
    save_index({**known, key: name})


@cache
def _stamp() -> bytes:
    """Return a digest of all files that compiled code depends on."""
    here, digest = Path(__file__).parent, hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(here.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.digest()
