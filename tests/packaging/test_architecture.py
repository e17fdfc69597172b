"""The house rules that a reader can rely on: who imports whom, who prints, what starts fast."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"nnlab": ROOT / "nnlab", "nnlab.cli": ROOT / "cli", "nnlab.datasets": ROOT / "datasets"}


def module_files() -> dict[str, Path]:
    """Every module's name and file."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = module_files()
# Whatever a module of the key imports of nnlab begins with one of the values.
BASE = (
    "nnlab._version", "nnlab.errors", "nnlab.randomness", "nnlab.machine", "nnlab.atomic",
    "nnlab.claims", "nnlab.jobs", "nnlab.hdf5", "nnlab.stratify", "nnlab.metrics", "nnlab.jit",
    "nnlab.jit_cache", "nnlab.team", "nnlab.mapping", "nnlab.predictions", "nnlab.significance",
    "nnlab.ranks", "nnlab.texts", "nnlab.common_memory",
)  # fmt: skip
ALLOWED = {
    **dict.fromkeys(BASE, BASE),
    "nnlab.core": (*BASE, "nnlab.core"),
    "nnlab.neighbors": (*BASE, "nnlab.neighbors"),
    "nnlab.datasets": (
        "nnlab._version",
        "nnlab.errors",
        "nnlab.randomness",
        "nnlab.atomic",
        "nnlab.claims",
        "nnlab.hdf5",
        "nnlab.stratify",
        "nnlab.datasets",
        "nnlab.machine",
        "nnlab.mapping",
    ),
    "nnlab.pages": (*BASE, "nnlab.pages"),
    "nnlab.report": (
        *BASE,
        "nnlab.core",
        "nnlab.pages",
        "nnlab.report",
        "nnlab.runs",
        "nnlab.training",
    ),
    "nnlab.runs": (*BASE, "nnlab.runs"),
    "nnlab.training": (*BASE, "nnlab.core", "nnlab.runs", "nnlab.training"),
    "nnlab.sweep": (*BASE, "nnlab.pages", "nnlab.runs", "nnlab.training", "nnlab.sweep"),
    "nnlab.explanation": (
        *BASE,
        "nnlab.core",
        "nnlab.neighbors",
        "nnlab.pages",
        "nnlab.training",
        "nnlab.explanation",
    ),
}


def imports(name: str) -> set[str]:
    """The modules of nnlab that a module imports, anywhere in it, type checking aside."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    found = set()
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= set(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            base = node.module or ""
            found |= {
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base
                for alias in node.names
            }
    return {module for module in found if module.split(".")[0] == "nnlab"}


def test_imports_go_one_way():
    for name in MODULES:
        for package, allowed in ALLOWED.items():
            if name == package or name.startswith(package + "."):
                for imported in imports(name):
                    assert f"{imported}.".startswith(tuple(f"{item}." for item in allowed)), (
                        f"{name} imports {imported}"
                    )
        if not name.startswith("nnlab.cli"):
            assert not any(imported.startswith("nnlab.cli") for imported in imports(name)), name


def test_there_are_no_circles_of_imports():
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name in done:
            return
        for imported in imports(name) & set(MODULES):
            # A package's __init__ only gathers names; its own modules are not above it.
            if imported != name and not (name + ".").startswith(imported + "."):
                walk(imported, (*path, name))
        done.add(name)

    for name in MODULES:
        walk(name, ())


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("nnlab.cli")])
def test_the_library_neither_prints_nor_reads_the_terminal(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "input"}, f"{name}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used = f"{node.value.id}.{node.attr}"
            assert used not in {"sys.stdout", "sys.stderr", "sys.stdin", "sys.argv"}, (
                f"{name}:{node.lineno} uses {used}"
            )


def test_every_package_is_listed_for_installation():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(settings["tool"]["setuptools"]["packages"])
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert listed == packages


def loaded_by(*arguments: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    program = (
        "import sys; from nnlab.cli.main import main; main(sys.argv[1:]); "
        "print(*sorted(sys.modules), sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ()])
def test_the_help_page_loads_nothing_slow(arguments):
    slow = {
        "numpy", "h5py", "rich", "numba", "PIL", "scipy", "tqdm", "pooch", "pydoc", "jinja2",
        "matplotlib",
    }  # fmt: skip
    assert not loaded_by(*arguments) & slow


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--help"), ("datasets",), ("runs", "."), ("sweep", "status", "none.toml"),
        ("train", "none.h5", "-o", "run.h5"), ("report", "none.h5"),
        ("explain", "--scores", "13,8,-2", "--true", "0", "--delta", "10"),
    ],
)  # fmt: skip
def test_what_computes_nothing_compiled_does_not_load_numba(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not loaded_by(*arguments) & {"numba", "llvmlite", "scipy"}


def test_a_command_ends_without_looking_for_what_could_be_freed():
    """The interpreter's own search takes long where much is loaded."""
    program = (
        "import atexit, gc, sys; atexit.register(lambda: print(gc.get_freeze_count() > 1000)); "
        "from nnlab.cli.entry import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", program, "--version"], capture_output=True)
    assert done.stdout.split()[-1] == b"True"


def test_every_command_of_the_table_exists_and_shows_examples():
    from nnlab.cli import commands

    for name in commands.names():
        done = subprocess.run(
            [sys.executable, "-m", "nnlab.cli", name, "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "Examples" in done.stdout, name
        assert f"nnlab {name}" in done.stdout


def test_no_text_names_a_place_on_somebodys_machine():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    place = re.compile(r"(?<![\w.~-])/(home|root|work|mnt|opt|tmp)/")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            text = (ROOT / name).read_bytes().decode(errors="replace")
            for number, line in enumerate(text.splitlines(), start=1):
                assert not place.search(line), f"{name}:{number}: {line.strip()}"


def test_no_file_has_outgrown_its_purpose():
    longest = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: lines for name, lines in longest.items() if lines > 450} == {}
