"""A small data file of real images for the tests of the commands."""

import pytest


@pytest.fixture(scope="session")
def softmax_run(nnlab, fashion_file, tmp_path_factory):
    """The run file of a softmax classifier of two epochs."""
    path = tmp_path_factory.mktemp("runs") / "softmax.h5"
    done = nnlab("train", fashion_file, "-o", path, "--epochs", 2)
    assert done.code == 0, done.stderr
    return path
