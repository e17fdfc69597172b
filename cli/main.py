"""The edge of the program: from arguments to an exit code.

Everything that can go wrong passes through `main`, the one place where an error becomes one line
on stderr (and a JSON object on stdout with `--json`) and an exit code:

    0 done    1 a bug    2 wrong usage or bad input    3 training diverged
    69 a source could not be reached or did not verify
    75 stopped early with a checkpoint saved: go on with --resume
    130 stopped by Ctrl-C with nothing to go on from
"""

import contextlib
import errno
import inspect
import os
import select
import signal
import stat
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from nnlab import machine
from nnlab._version import __version__
from nnlab.cli import commands, early
from nnlab.cli.early import EXIT_INTERRUPTED
from nnlab.cli.output import at_end, emit_error, warnings_in_a_line
from nnlab.errors import NnlabError

EXIT_BUG = 1
EXIT_USAGE = 2
# What the system says of a path that the user chose, anywhere.
REFUSALS = {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS}
ISSUES = "https://github.com/nnlab-toolkit/nnlab/issues"


class LazyGroup(TyperGroup):
    """A group that imports a command's module only when that command is called."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  (Typer's signature)
        """Return the names in the table."""
        return commands.names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Import and build one command; None if there is none of that name."""
        entry = commands.find(cmd_name)
        if entry is None:
            return None
        module = import_module(f"nnlab.cli.{entry.module}")
        if hasattr(module, "app"):
            for own in module.app.registered_commands:
                own.help = _unwrapped(own.callback.__doc__ or "")
            return typer.main.get_command(module.app)
        app = typer.Typer(add_completion=False, rich_markup_mode="rich")
        app.command(cmd_name, help=_unwrapped(module.command.__doc__ or ""))(module.command)
        built = typer.main.get_command(app)
        built.name = cmd_name
        return built

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the table of commands into the help page, without importing any of them."""
        for panel, group in commands.COMMANDS.items():
            with formatter.section(panel):
                formatter.write_dl([(name, entry.summary) for name, entry in group.items()])


def _unwrapped(text: str) -> str:
    """Join the lines of each paragraph, which Rich would break where the source does."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(part.split("\n")) for part in paragraphs)


# The top page is plain text: it has to appear at once, and Rich takes longer to load than to read.
app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nnlab {__version__}")
        raise typer.Exit


@app.callback(epilog="Help on a command: nnlab COMMAND --help. Try it all: make demo.")
def nnlab(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an unexpected error."),
) -> None:
    """Image classification experiments: prepare images, train, evaluate, look inside.

    Results go to stdout, progress and messages to stderr.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    before = {number: signal.getsignal(number) for number in early.STOPPING}
    try:
        with warnings_in_a_line():
            return _main(arguments)
    finally:
        # The program ends here, deaf to signals; a caller in Python goes on.
        if arguments is not None:
            for number, handler in before.items():
                signal.signal(number, handler)


def _main(arguments: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in arguments
    # Wherever it stands: who is told to "run it again with --debug" appends it.
    debug = "--debug" in arguments or bool(os.environ.get("NNLAB_DEBUG"))
    arguments = [item for item in arguments if item != "--debug"]
    machine.choose_blas_kernel()
    code = EXIT_BUG
    try:
        code = _run(arguments, as_json, debug)
        sys.stdout.flush()
        _turn_deaf()
    except (BrokenPipeError, SystemExit):
        # Whoever read our output has gone (`| head`), which Rich and Typer answer with an exit of
        # their own.
        _forget_stdout()
        return 0
    except KeyboardInterrupt:  # after the command, which answers its own
        _forget_stdout()
        return EXIT_INTERRUPTED
    except OSError as error:
        if not _is_of_stdout(error):
            raise
        hung_up = _terminal_is_gone()
        _forget_stdout()
        if hung_up:
            return 0
        reason = f"cannot write to stdout: {error.strerror}; send the result to another place."
        return emit_error(EXIT_USAGE, reason, as_json=False)
    finally:
        for act in at_end:
            act(code)
    return code


def _is_of_stdout(error: Exception) -> bool:
    # Files are written by `nnlab.atomic`, which answers in words of its own.
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    if not isinstance(error, OSError) or error.filename is not None:
        return False
    return error.errno in full or (error.errno == errno.EIO and _terminal_is_gone())


def _terminal_is_gone() -> bool:
    """Whether stdout is a terminal that was closed: nobody reads it, as with a closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # the end alone
        is_device = stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)
        return is_device and any(what & select.POLLHUP for _, what in poll.poll(0))
    return False


def _forget_stdout() -> None:
    # Keeps the interpreter's own flush at exit from complaining again.
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _turn_deaf() -> None:
    """Let no signal change the exit code that is decided; Python would die of one at its end."""
    for number in early.STOPPING:
        signal.signal(number, signal.SIG_IGN)


def _end(code: int, message: str, as_json: bool, details: dict[str, Any] | None = None) -> int:
    """Say why the command ended."""
    _turn_deaf()
    return emit_error(code, message, as_json, details)


def _run(arguments: list[str], as_json: bool, debug: bool) -> int:
    try:
        result = app(arguments, prog_name="nnlab", standalone_mode=False)
    except TyperException as error:
        message = error.format_message().rstrip()
        if not message:  # a bare `nnlab` has shown its help
            return EXIT_USAGE
        message += "" if message.endswith((".", "?", "!")) else "."
        path = getattr(getattr(error, "ctx", None), "command_path", "nnlab")
        return _end(EXIT_USAGE, f"{message} See: {path} --help", as_json)
    except NnlabError as error:
        return _end(error.exit_code, str(error), as_json, error.details)
    except typer.Abort:
        return _end(EXIT_INTERRUPTED, "stopped.", as_json)
    except BrokenPipeError:
        raise
    except MemoryError as error:
        return _end(
            EXIT_USAGE,
            f"there is not enough memory ({error}); make the model, the batch or the data smaller.",
            as_json,
        )
    except Exception as error:
        if debug or _is_of_stdout(error):
            raise
        if isinstance(error, OSError) and error.errno in REFUSALS and error.filename is not None:
            return _end(
                EXIT_USAGE,
                f"{error.filename} cannot be used: {error.strerror}; choose another place.",
                as_json,
            )
        kind = type(error).__name__
        return _end(
            EXIT_BUG,
            f"this is a bug in nnlab {__version__}: {kind}: {error}. Please run it again with "
            f"--debug and report what it prints at {ISSUES}",
            as_json,
        )
    if result == EXIT_INTERRUPTED:
        return _end(EXIT_INTERRUPTED, "stopped by Ctrl-C; nothing was kept.", as_json)
    return result if isinstance(result, int) else 0
