"""Campaigns of faults: seeded cases, a few in CI, all of them by `make campaign`."""

import gzip
import os
import random
from collections import Counter

import numpy as np
import pytest
from processes import run
from trainings import training

from nnlab.datasets import write_data

CLASSES = ["top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "shoe", "bag", "boot"]


def pytest_generate_tests(metafunc):
    """Give a test with `@pytest.mark.cases(few, campaign=many)` that many seeded cases."""
    marker = metafunc.definition.get_closest_marker("cases")
    if marker is not None and "rng" in metafunc.fixturenames:
        whole = metafunc.config.getoption("--campaign")
        count = marker.kwargs["campaign"] if whole else marker.args[0]
        ids = [f"case{number:03}" for number in range(count)]
        metafunc.parametrize("rng", range(count), ids=ids, indirect=True)


@pytest.fixture
def rng(request, seed):
    """The randomness of one case: a function of the seed and of the name of the test alone."""
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture
def seed(request):
    """What the cases are drawn with."""
    return request.config.getoption("--faults-seed")


@pytest.fixture
def whole(request):
    """Whether the whole campaign was asked for."""
    return request.config.getoption("--campaign")


class Tally:
    """What happened in a test; the sums over all tests stand at the end of the report."""

    def __init__(self, properties):
        self.properties = properties

    def __call__(self, what, number=1):
        """Count something."""
        self.properties.append((f"faults: {what}", number))

    def most(self, what, number):
        """Note a number of which only the largest is of interest."""
        self.properties.append((f"faults at most: {what}", number))


@pytest.fixture
def count(request):
    """Count what happens: `count("killed")`, `count.most("megabytes", 12)`."""
    return Tally(request.node.user_properties)


def pytest_terminal_summary(terminalreporter, config):
    """Say what happened in all cases together, and how to repeat one."""
    sums = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            of_test = sums.setdefault(report.nodeid.split("[")[0], Counter())
            for name, number in report.user_properties:
                if name.startswith("faults: "):
                    of_test[name.removeprefix("faults: ")] += number
                elif name.startswith("faults at most: "):
                    name = name.removeprefix("faults ")
                    of_test[name] = max(of_test[name], round(number, 1))
    terminalreporter.section("faults")
    for test, counter in sorted(sums.items()):
        if counter:
            what = ", ".join(f"{name}: {number}" for name, number in sorted(counter.items()))
            terminalreporter.line(f"{test}: {what}")
    words = f"--faults-seed {config.getoption('--faults-seed')}"
    if config.getoption("--campaign"):
        words += " --campaign"
    terminalreporter.line(f"one case again: pytest tests/faults {words} -k 'TEST and CASE'")


@pytest.fixture(scope="session")
def images(fashion_dir):
    """1,200 training and 100 test images of Fashion-MNIST, and their labels."""
    found = {}
    for split, prefix, number in (("train", "train", 1200), ("test", "t10k", 100)):
        pixels = gzip.decompress((fashion_dir / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((fashion_dir / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
        found[split] = (
            np.frombuffer(pixels, np.uint8, number * 784, 16).reshape(number, 28, 28, 1),
            np.frombuffer(labels, np.uint8, number, 8).astype(np.int64),
        )
    return found


@pytest.fixture(scope="session")
def data(images, tmp_path_factory):
    """A data file with 1,200 training and 100 test images."""
    path = tmp_path_factory.mktemp("data") / "fashion.h5"
    write_data(path, "fashion-small", "Fashion-MNIST", {}, CLASSES, images)
    return path


@pytest.fixture(scope="session")
def undisturbed(data, tmp_path_factory):
    """By model and number of epochs: a run that nobody disturbed, its JSON, its seconds."""
    folder, found = tmp_path_factory.mktemp("undisturbed"), {}

    def train(model, epochs):
        if (model, epochs) not in found:
            path = folder / f"{model}-{epochs}.h5"
            done = run(*training(data, model, path, epochs))
            assert done.code == 0, done.stderr
            found[model, epochs] = path, done.stdout, done.seconds
        return found[model, epochs]

    return train


@pytest.fixture(scope="session")
def small_data(images, tmp_path_factory):
    """A data file with 60 training and 20 test images of 7 x 7 pixels."""
    path = tmp_path_factory.mktemp("data") / "small.h5"
    small = {
        split: (np.ascontiguousarray(pixels[:rows, ::4, ::4]), labels[:rows])
        for (split, (pixels, labels)), rows in zip(images.items(), (60, 20), strict=True)
    }
    write_data(path, "fashion-tiny", "Fashion-MNIST", {}, CLASSES, small)
    return path


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside():
    """Hold the tests to what they say themselves."""
    for name in [name for name in os.environ if name.startswith(("NNLAB_", "SLURM_"))]:
        if name != "NNLAB_TEST_PHOTOS":
            del os.environ[name]
