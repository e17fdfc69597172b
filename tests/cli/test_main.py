"""The edge of the program: arguments in, streams and an exit code out."""

import errno
import io
import json
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from nnlab._version import __version__
from nnlab.cli import commands, main
from nnlab.errors import (
    DivergedError,
    FileFormatError,
    InputError,
    InterruptedRunError,
    SourceError,
)


@pytest.fixture
def command_that(monkeypatch):
    """Make `nnlab doctor` do something else, and run it in this process."""

    def build(action):
        def command() -> None:
            """Act."""
            return action()

        module = type(sys)("nnlab.cli.stand_in")
        module.command = command
        monkeypatch.setitem(sys.modules, "nnlab.cli.stand_in", module)
        table = {"Tests": {"act": commands.Command("stand_in", "Act.")}}
        monkeypatch.setattr(commands, "COMMANDS", table)
        monkeypatch.delenv("NNLAB_DEBUG", raising=False)

    return build


def fail(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("the file\n  is not there."), 2),
        (FileFormatError("the file is not there."), 2),
        (DivergedError("the file is not there."), 3),
        (SourceError("the file is not there."), 69),
        (InterruptedRunError("the file is not there."), 75),
    ],
)
def test_each_error_has_its_code_and_is_one_line(command_that, capsys, error, code):
    command_that(fail(error))
    assert main.main(["act"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "nnlab: the file is not there.\n"


def test_an_error_with_json_is_an_object_too(nnlab, tmp_path):
    done = nnlab("eval", tmp_path / "none.h5", "--json")
    assert done.code == 2
    message = done.json["error"]["message"]
    assert done.json == {"error": {"code": 2, "message": message}}
    assert done.stderr == f"nnlab: {message}\n"
    assert "none.h5 does not exist" in message


def test_too_little_memory_is_no_bug(command_that, capsys):
    command_that(fail(MemoryError("Unable to allocate 28.9 TiB")))
    assert main.main(["act"]) == 2
    err = capsys.readouterr().err
    assert "not enough memory (Unable to allocate 28.9 TiB)" in err
    assert "bug" not in err


def test_a_bug_is_one_line_with_what_to_do(command_that, capsys):
    command_that(fail(ZeroDivisionError("by zero")))
    assert main.main(["act"]) == 1
    err = capsys.readouterr().err
    assert "this is a bug in nnlab" in err
    assert "ZeroDivisionError: by zero" in err
    assert "--debug" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["--debug", "act"], ["act", "--debug"]])
def test_debug_shows_the_traceback_of_a_bug(command_that, arguments):
    command_that(fail(ZeroDivisionError("by zero")))
    with pytest.raises(ZeroDivisionError):
        main.main(arguments)


def test_debug_keeps_the_line_of_a_users_error(command_that, capsys):
    command_that(fail(InputError("no such file.")))
    assert main.main(["act", "--debug"]) == 2
    assert capsys.readouterr().err == "nnlab: no such file.\n"


def test_ctrl_c_is_130(command_that, capsys):
    command_that(fail(KeyboardInterrupt()))
    assert main.main(["act"]) == 130
    assert capsys.readouterr().err.startswith("nnlab: stopped")


def test_a_command_that_ends_well_is_0(command_that):
    command_that(lambda: None)
    assert main.main(["act"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["doctor", "--nonsense"], "No such option"),
        (["doctor", "extra"], "unexpected extra argument"),
        (["eval"], "Missing argument"),
        (["train", "data.h5", "--epochs", "many"], "--epochs"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_help(nnlab, arguments, message):
    done = nnlab(*arguments)
    assert done.code == 2
    assert message in done.stderr
    assert "--help" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_wrong_usage_with_json_is_an_object_too(nnlab):
    done = nnlab("doctor", "--nonsense", "--json")
    assert done.json["error"]["code"] == done.code == 2


def test_no_command_shows_the_help_and_is_wrong_usage(nnlab):
    done = nnlab()
    assert done.code == 2
    assert "Usage: nnlab" in done.stdout + done.stderr


def test_version(nnlab):
    assert nnlab("--version").stdout == f"nnlab {__version__}\n"


def test_the_top_page_lists_every_command_with_its_summary(nnlab):
    page = nnlab("--help").stdout
    for panel, group in commands.COMMANDS.items():
        assert panel in page
        for name, entry in group.items():
            line = next(line for line in page.splitlines() if line.split()[:1] == [name])
            assert entry.summary.split()[0] in line


def test_the_top_page_imports_nothing_slow():
    code = (
        "import sys\nfrom nnlab.cli.main import main\nmain(['--help'])\n"
        "print(sorted({'numpy', 'h5py', 'rich', 'numba', 'PIL'} & set(sys.modules)), "
        "file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("name", commands.names())
def test_every_command_has_a_help_page_with_examples(nnlab, name):
    done = nnlab(name, "--help")
    assert done.code == 0
    assert "Examples" in done.stdout
    assert f"nnlab {name}" in done.stdout
    # A command with commands of its own leaves the answers to them.
    assert "--json" in done.stdout or f"nnlab {name} [OPTIONS] COMMAND" in done.stdout


@pytest.mark.parametrize("name", ["run", "work", "status", "best", "report"])
def test_every_command_of_a_sweep_has_a_help_page_with_examples(nnlab, name):
    done = nnlab("sweep", name, "--help")
    assert done.code == 0
    assert "Example" in done.stdout
    assert f"nnlab sweep {name}" in done.stdout
    assert "--json" in done.stdout


@pytest.mark.parametrize("arguments", ["--help", "doctor", "doctor --json", "doctor --help"])
def test_a_reader_that_has_gone_is_no_error(arguments):
    command = f"{sys.executable} -m nnlab.cli {arguments} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == "0\n"
    assert done.stderr == ""


def test_no_colours_where_none_are_wanted(nnlab):
    done = nnlab("doctor", env={"NO_COLOR": "1", "FORCE_COLOR": "1"})
    assert "\x1b[3" not in done.stdout


def test_json_has_no_nan():
    from nnlab.cli.output import finite

    record = finite({"loss": float("nan"), "best": [float("inf"), 1.5], 3: (None, True, "x")})
    assert record == {"loss": None, "best": [None, 1.5], "3": [None, True, "x"]}
    json.dumps(record, allow_nan=False)


@pytest.mark.parametrize(
    "arguments",
    [
        "train DATA -o DATA --epochs 1 --force",
        "knn-baseline DATA -o DATA --k 1 --limit-train 50 --limit-test 5 --force",
        "knn-baseline DATA --gallery DATA --k 1 --limit-train 50 --limit-test 5 --force",
        "eval RUN --predictions RUN --force",
        "eval RUN DATA --predictions DATA --force",
        "runs RUN --csv RUN --force",
        "preprocess TAR -o TAR --force",
    ],
)
def test_force_does_not_replace_what_the_command_reads(
    nnlab, fashion_file, softmax_run, tmp_path, arguments
):
    places = {name: tmp_path / name for name in ("DATA", "RUN", "TAR")}
    places["DATA"].write_bytes(fashion_file.read_bytes())
    places["RUN"].write_bytes(softmax_run.read_bytes())
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    with tarfile.open(places["TAR"], "w") as archive:
        member = tarfile.TarInfo("cat/1.png")
        member.size = len(picture.getvalue())
        archive.addfile(member, io.BytesIO(picture.getvalue()))
    before = {path: path.read_bytes() for path in places.values()}
    done = nnlab(*[places.get(word, word) for word in arguments.split()])
    assert done.code == 2, done.stdout
    assert "is read here; choose another name" in done.stderr
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_two_results_do_not_share_a_name(nnlab, fashion_file, tmp_path):
    place = tmp_path / "both.png"
    done = nnlab(
        "knn-baseline", fashion_file, "--k", 1, "--limit-train", 50, "--limit-test", 5,
        "--gallery", place, "-o", place,
    )  # fmt: skip
    assert done.code == 2
    assert "both.png is named for two results" in done.stderr
    assert not place.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", ["datasets", "datasets --json", "--help", "nonsense --json"])
def test_results_that_cannot_be_written_are_one_line(arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nnlab.cli", *arguments.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert "cannot write to stdout: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


def test_ctrl_c_while_the_end_is_being_told_changes_nothing(command_that, capsys, monkeypatch):
    command_that(fail(InterruptedRunError("stopped; the checkpoint is in run.h5.")))
    tell = main.emit_error

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        return tell(*arguments)

    monkeypatch.setattr(main, "emit_error", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert main.main(["act"]) == 75
    assert capsys.readouterr().err == "nnlab: stopped; the checkpoint is in run.h5.\n"
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", "secret/photos"),
        OSError(errno.ENAMETOOLONG, "File name too long", "secret/photos"),
        OSError(errno.ELOOP, "Too many levels of symbolic links", "secret/photos"),
    ],
)
def test_a_place_that_the_system_refuses_is_no_bug(command_that, capsys, error):
    command_that(fail(error))
    assert main.main(["act"]) == 2
    expected = f"nnlab: secret/photos cannot be used: {error.strerror}; choose another place.\n"
    assert capsys.readouterr().err == expected


def test_a_name_too_long_is_one_line(nnlab, fashion_file, tmp_path):
    done = nnlab("train", fashion_file, "-o", tmp_path / ("x" * 300))
    assert done.code == 2
    assert "File name too long" in done.stderr
