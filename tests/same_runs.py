"""Whether two run files tell of the same training: everything but when it was, bit for bit."""

import json

import h5py
import numpy as np

# What the clock and the command line decide, not the training.
OF_THE_CLOCK = {"seconds", "images_per_second", "created"}
OF_THE_COMMAND = {"command", "summary"}


def content(path):
    """Every data set and attribute of a run file, by its name."""
    found = {}

    def enter(name, member):
        leaf = name.rpartition("/")[2]
        if isinstance(member, h5py.Dataset) and leaf not in OF_THE_CLOCK | OF_THE_COMMAND:
            found[name] = member[()]
        for key, value in member.attrs.items():
            if key not in OF_THE_CLOCK:
                found[f"{name}@{key}"] = value

    with h5py.File(path, "r", locking=False) as file:
        enter("", file)
        file.visititems(enter)
    return found


def assert_same(one, other):
    """Fail unless two run files are equal: weights, optimizer, history, progress, settings."""
    left, right = content(one), content(other)
    assert left.keys() == right.keys()
    assert any(name.startswith("weights/") for name in left)
    assert any(name.startswith("optimizer/") for name in left)
    assert any(name.startswith("history/epoch/") for name in left)
    for name in left:
        a, b = np.asarray(left[name]), np.asarray(right[name])
        assert (a.dtype, a.shape) == (b.dtype, b.shape), name
        assert a.tobytes() == b.tobytes(), name


def assert_same_results(one, other):
    """Fail unless the JSON of two trainings is equal, the clock and the name aside."""
    records = [json.loads(text) for text in (one, other)]
    for record in records:
        for key in OF_THE_CLOCK | {"run"}:
            record.pop(key, None)
    assert records[0] == records[1]
