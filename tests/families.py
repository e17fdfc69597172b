"""The processes that a worker of a sweep has started."""

from pathlib import Path


def children(pid):
    """All of them."""
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def trials_of(pid):
    """Those that train, however they were started."""
    return [child for child in children(pid) if _is_trial(child)]


def nurseries_of(pid):
    """Those that trials are forked from."""
    return [
        child
        for child in children(pid)
        if b"nnlab.cli.nursery" in _command(child) and not _is_trial(child)
    ]


def _is_trial(pid):
    return _read(pid, "comm").strip() == b"nnlab train" or b"train" in _command(pid)


def _command(pid):
    return _read(pid, "cmdline").split(b"\0")


def _read(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return b""
