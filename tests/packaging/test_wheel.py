"""The wheel, built and installed for real, beside other people's `datasets` and `cli`."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.wheel, pytest.mark.xdist_group("wheel")]

FOREIGN = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "foreign-{name}"
version = "1.0"
[tool.setuptools]
packages = ["{name}"]
"""


def run(*command, cwd=None):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: setuptools leaves a build folder in the tree, whose leftovers get into wheels.
    source = folder / "source"
    files = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, source)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """An environment that holds foreign packages called `datasets` and `cli`, then nnlab."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    for name in ("datasets", "cli"):
        package = folder / f"foreign-{name}" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"OWNER = 'foreign {name}'\n")
        (package.parent / "pyproject.toml").write_text(FOREIGN.format(name=name))
        run(python, "-m", "pip", "install", "--quiet", package.parent)
    run(python, "-m", "pip", "install", "--quiet", wheel)
    return python


def test_the_wheel_holds_the_import_package_nnlab_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"nnlab", next(top for top in tops if top.endswith(".dist-info"))}
    for wanted in (
        "nnlab/py.typed", "nnlab/cli/main.py", "nnlab/datasets/cards/fashion-mnist.toml",
        "nnlab/core/network.py",
    ):  # fmt: skip
        assert wanted in names
    assert not [name for name in names if "test" in name.split("/")[-1].split("_")[0]]


def test_neither_package_harms_the_other(environment, tmp_path):
    program = (
        "import datasets, cli, nnlab, nnlab.datasets, nnlab.cli\n"
        "print(datasets.OWNER, cli.OWNER, nnlab.datasets.__name__, nnlab.cli.__name__, sep='|')"
    )
    shown = run(environment, "-c", program, cwd=tmp_path).strip()
    assert shown == "foreign datasets|foreign cli|nnlab.datasets|nnlab.cli"


def test_the_command_works_from_any_folder(environment, tmp_path):
    nnlab = environment.parent / "nnlab"
    assert run(nnlab, "--version", cwd=tmp_path).startswith("nnlab ")
    assert "fashion-mnist" in run(nnlab, "datasets", cwd=tmp_path)
    run(nnlab, "preprocess", "shapes", "-o", "shapes.h5", "--limit", 200, cwd=tmp_path)
    run(nnlab, "train", "shapes.h5", "-o", "run.h5", "--epochs", 1, cwd=tmp_path)
    assert "accuracy" in run(nnlab, "eval", "run.h5", cwd=tmp_path)


def test_removing_nnlab_leaves_the_others(environment, tmp_path):
    run(environment, "-m", "pip", "uninstall", "--yes", "--quiet", "nnlab-toolkit")
    shown = run(environment, "-c", "import datasets; print(datasets.OWNER)", cwd=tmp_path)
    assert shown.strip() == "foreign datasets"
