"""Whatever is typed, piped, closed or missing: an answer in one line, never a traceback."""

import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many_commands import Commands
from processes import COMMAND, run

pytestmark = pytest.mark.faults

# Values that a number's option may meet; the harmless ones let the command go on to the next.
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.sampled_from(["", "0", "1", "1e400", "-0", "0x10", "1_0", "٣", "nan", "-inf", "1,2", "½"]),
    st.text(max_size=8),
)
OPTIONS = [
    "--lr", "--l2", "--l1", "--delta", "--dropout", "--momentum", "--epochs", "--batch-size",
    "--hidden", "--seed", "--val", "--limit-train", "--early-stopping", "--clip", "--ema",
    "--label-smoothing", "--time-limit", "--checkpoint-every", "--threads", "--augment",
    "--schedule", "--standardize", "--init", "--activation", "--optimizer", "--dtype", "--loss",
    "--model", "--class-weight", "--mixup", "--warmup",
]  # fmt: skip
NAMES = st.text(
    st.characters(codec=None, exclude_categories=["Cs"]) | st.sampled_from("/{}%.~*?\"' \\\n-"),
    max_size=40,
).filter(lambda name: "\0" not in name)
TOML = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.text(max_size=6).map(lambda text: text.replace("\0", "")),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner,
                                                                max_size=2),
    max_leaves=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    """A process that runs commands in a folder of its own."""
    folder = tmp_path_factory.mktemp("odd") / "a" / "b" / "c" / "d"
    folder.mkdir(parents=True)
    with Commands(patience=20, cwd=folder, address_space=3 * 2**30) as commands:
        commands.folder = folder
        yield commands


def examples(request):
    """The settings of a property: some examples in CI, 500 in the campaign."""
    whole = request.config.getoption("--campaign")
    return settings(
        max_examples=500 if whole else 40, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def answers(runner, *words):
    """Run a command and fail unless it answers in one line, or does what it is told."""
    answer = runner.run(*words)
    about = f"{words}: {answer}"
    assert answer.code in {0, 2, 3, 75}, about
    assert "Traceback" not in answer.stderr, about
    if answer.code:
        assert sum(line.startswith("nnlab: ") for line in answer.stderr.splitlines()) == 1, about
    for path in runner.folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return answer


def test_numbers_of_every_kind(runner, small_data, request, count):
    @examples(request)
    @given(st.dictionaries(st.sampled_from(OPTIONS), NUMBERS, min_size=1, max_size=2))
    def check(options):
        words = ["train", small_data, "-o", "run.h5", "--epochs", "1", "--time-limit", "0.3s"]
        words += [f"{name}={value}" for name, value in options.items() if "\0" not in value]
        count(f"exit code {answers(runner, *words).code}")

    check()


def test_names_of_every_kind(runner, small_data, request, count):
    @examples(request)
    @given(NAMES)
    def check(name):
        result = f"{runner.folder}/{name}"
        words = ["train", small_data, "--epochs", "1", f"--output={result}"]
        count(f"exit code {answers(runner, *words).code}")
        answers(runner, "runs", "--", result)
        answers(runner, "predict", "--", result, name)

    check()


def test_settings_files_of_every_kind(runner, small_data, request, count):
    keys = [option.removeprefix("--") for option in OPTIONS]

    @examples(request)
    @given(st.dictionaries(st.sampled_from(keys), TOML, max_size=3), st.text(max_size=12))
    def check(record, noise):
        lines = [f"{key} = {_as_toml(value)}" for key, value in record.items()]
        config = runner.folder / "settings.toml"
        config.write_text("\n".join(lines) + ("\n" + noise if len(noise) > 8 else ""))
        words = ["train", small_data, "-o", "run.h5", "--config", config, "--epochs", "1",
                 "--time-limit", "0.3s"]  # fmt: skip
        count(f"exit code {answers(runner, *words).code}")

    check()


def _as_toml(value):
    match value:
        case bool():
            return str(value).lower()
        case float():
            return repr(value)
        case int():
            return str(value)
        case str():
            return '"' + "".join(f"\\U{ord(sign):08X}" for sign in value) + '"'
        case list():
            return "[" + ", ".join(map(_as_toml, value)) + "]"
        case dict():
            pairs = [f"{_as_toml(key)} = {_as_toml(item)}" for key, item in value.items()]
            return "{" + ", ".join(pairs) + "}"


CLOSED = {
    "stdin": "{} <&-",
    "stdout": "{} >&-",
    "stderr": "{} 2>&-",
    "all": "{} <&- >&- 2>&-",
    "a reader that has gone": "{} | true",
}


@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize(
    "words",
    ["train DATA -o run.h5 --epochs 2", "eval RUN --json", "runs RUN", "runs NONE", "doctor"],
)
def test_streams_that_are_closed(small_data, tmp_path, closed, words):
    trained = run("train", small_data, "-o", tmp_path / "old.h5", "--epochs", 1)
    assert trained.code == 0
    places = {"DATA": str(small_data), "RUN": str(tmp_path / "old.h5"), "NONE": "none"}
    line = " ".join([*COMMAND, *(places.get(word, word) for word in words.split())])
    done = subprocess.run(
        ["bash", "-c", f"{CLOSED[closed].format(line)}; echo ended ${{PIPESTATUS[0]}} >ended"],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "NNLAB_COMPILED": "0"},
        timeout=60,
    )  # fmt: skip
    assert (tmp_path / "ended").read_text() in {"ended 0\n", "ended 2\n"}
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception" not in done.stderr
    if words.startswith("train"):
        assert (tmp_path / "run.h5").exists()


@pytest.mark.parametrize("words", ["datasets", "doctor --json", "train mnist -o run.h5", "runs"])
def test_no_home_and_an_environment_of_nothing(tmp_path, words):
    done = subprocess.run(
        [*COMMAND, *words.split()], capture_output=True, text=True, cwd=tmp_path, timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "NNLAB_COMPILED": "0"},
    )  # fmt: skip
    assert done.returncode in {0, 2, 69}
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_working_folder_that_nobody_may_write_to(small_data, tmp_path):
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    script = f"import os; os.chdir('/'); os.execv({sys.executable!r}, {COMMAND!r} + WORDS)"
    shared = os.path.commonpath([sys.executable, "/usr"])
    if shared != "/usr" and subprocess.run(["test", "-x", sys.executable], **nobody).returncode:
        pytest.skip("nobody may use this Python")
    for words in (["train", str(small_data), "-o", "run.h5"], ["runs"], ["datasets"]):
        done = subprocess.run(
            [sys.executable, "-c", script.replace("WORDS", repr(words))], capture_output=True,
            text=True, timeout=60, **nobody,
        )  # fmt: skip
        assert done.returncode in {0, 2}, done.stderr
        assert "Traceback" not in done.stderr
