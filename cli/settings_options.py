"""The options of a command that takes the settings of a training run, made from their table."""

import inspect
import tomllib
from collections.abc import Callable, Collection
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from nnlab.errors import InputError
from nnlab.training.settings import Settings, option_name

# Keys of a configuration file that are no settings of the training itself.
SURROUNDINGS = ("data", "output", "time-limit", "checkpoint-every", "threads")


def with_settings(
    leave_out: Collection[str] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command one option for each setting; it receives those given as `settings`.

    The command's own parameter `settings` is replaced by the options, in the order of the table.
    An option that was not given is left out, so that a configuration file can speak first.

    Args:
        leave_out: settings, or panels of them, that mean nothing to the command.
    """

    def give(command: Callable[..., Any]) -> Callable[..., Any]:
        return _with_options(
            command,
            [
                entry
                for entry in fields(Settings)
                if entry.name not in leave_out and entry.metadata["panel"] not in leave_out
            ],
        )

    return give


def _with_options(
    command: Callable[..., Any], entries: Collection[Field[Any]]
) -> Callable[..., Any]:
    own = inspect.signature(command)
    hints = get_type_hints(Settings)
    added = [_parameter(entry, hints[entry.name]) for entry in entries]
    names = [parameter.name for parameter in added]

    def wrapped(**values: Any) -> Any:
        given = {name: values.pop(name) for name in names}
        values["settings"] = {key: value for key, value in given.items() if value is not None}
        return command(**values)

    parameters: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        parameters += added if parameter.name == "settings" else [parameter]
    wrapped.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    wrapped.__doc__ = command.__doc__
    wrapped.__name__ = command.__name__
    return wrapped


def _parameter(entry: Field[Any], hint: Any) -> inspect.Parameter:
    kind = _bare_type(hint)
    flag = option_name(entry.name)
    text: str = entry.metadata["help"]
    choices = entry.metadata["choices"]
    metavar = None
    if choices is not None:
        text += " One of: " + ", ".join(choices) + "."
        metavar = "NAME"
    if entry.default not in (None, MISSING, "", False) and "[default" not in text:
        text += f" [default: {entry.default}]"
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        help=text.replace("[", r"\["),  # Rich would take the bracket for markup
        metavar=metavar,
        rich_help_panel=entry.metadata["panel"],
        show_default=False,
    )
    return inspect.Parameter(
        entry.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _bare_type(hint: Any) -> Any:
    # `float | None` is offered as a float option that may be left out.
    kinds = [kind for kind in getattr(hint, "__args__", (hint,)) if kind is not type(None)]
    return kinds[0]


def read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read settings and surroundings from a TOML file or from a run file.

    Returns:
        The settings given there, and what is said of `SURROUNDINGS`; keys with ``_``.

    Raises:
        InputError: the file cannot be read, is no TOML, or has a key that nobody knows.
    """
    if path.suffix.lower() == ".toml":
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}.") from error
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{path} is no valid TOML: {error}.") from error
        keys = {key.replace("_", "-"): value for key, value in values.items()}
        around = {key.replace("-", "_"): keys.pop(key) for key in SURROUNDINGS if key in keys}
        for key, value in around.items():
            _check_surrounding(path, key.replace("_", "-"), value)
        known = {option_name(entry.name)[2:] for entry in fields(Settings)}
        for key in keys:
            if key not in known:
                raise InputError(
                    f"{path}: unknown key {key!r}; keys are the names of train's options."
                )
        return {key.replace("-", "_"): value for key, value in keys.items()}, around
    from nnlab.runs import open_run

    run = open_run(path)
    if run.kind != "network":
        raise InputError(f"{path} is a run of kind {run.kind}; --config repeats trained networks.")
    known = {entry.name for entry in fields(Settings)}
    chosen = {key: value for key, value in run.config.items() if key in known}
    return _without_defaults(chosen), {"data": run.config.get("data_path")}


def _without_defaults(chosen: dict[str, Any]) -> dict[str, Any]:
    # A run stores its model's loss and its optimizer's rate; with another model or optimizer on
    # the command line, the other's own defaults hold again.
    filled = dict.fromkeys(("hidden", "loss", "lr", "weight_decay"))
    defaults = Settings.of({**chosen, **filled}).resolve()
    return {
        key: value
        for key, value in chosen.items()
        if key not in filled or value != getattr(defaults, key)
    }


def _check_surrounding(path: Path, key: str, value: Any) -> None:
    kinds: Any = {"threads": int, "data": str, "output": str}.get(key, (int, float, str))
    wrong = isinstance(value, bool) or not isinstance(value, kinds)
    if wrong or (key == "threads" and value < 1):
        wanted = "a whole number of at least 1, not" if key == "threads" else "no text:"
        raise InputError(f"{path}: {key} is {wanted} {value!r}.")


def resolve_settings(config: Path | None, given: dict[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """Combine the command line, a configuration file and the defaults, in this order.

    Returns:
        The settings, and what the configuration file says of `SURROUNDINGS`.
    """
    base, around = ({}, {}) if config is None else read_config(config)
    return Settings.of({**base, **given}), around
