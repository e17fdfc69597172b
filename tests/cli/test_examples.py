"""The settings in examples/ are ones that train takes."""

from pathlib import Path

import pytest

from nnlab.cli.settings_options import read_config
from nnlab.training.settings import Settings

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_a_set_of_settings_with_a_stated_seed(path):
    settings, around = read_config(path)
    assert Settings.of(settings).resolve().seed == settings["seed"]
    assert not around
    assert f"--config examples/{path.name}" in path.read_text(encoding="utf-8")
