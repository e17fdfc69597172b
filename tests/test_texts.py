"""Texts: words behind a number."""

from nnlab.texts import counted


def test_one_thing_has_no_s():
    assert counted(1, "epoch") == "1 epoch"
    assert counted(0, "epoch") == "0 epochs"
    assert counted(12345, "step") == "12,345 steps"
