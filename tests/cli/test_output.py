"""What commands show: tables that lose no digit, names that stay what they are."""

import io
import json
import os
import sys

import pytest
from rich.console import Console

from nnlab.cli import output
from nnlab.cli.output import Output, emit_error, write_csv


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of so many columns, and what was printed on it."""

    def make(width: int) -> io.StringIO:
        stream = io.StringIO()
        console = Console(file=stream, width=width, highlight=False, emoji=False)
        monkeypatch.setattr(output, "_console", lambda: console)
        return stream

    return make


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_narrow_terminal_costs_no_digit(terminal, width, compact):
    printed = terminal(width)
    numbers = ["123456789", "0.00012345", "9876543210"]
    Output().table("title", ["name", "a", "b", "c"], [["a long name of many words", *numbers]],
                   compact=compact)  # fmt: skip
    for number in numbers:
        assert number in printed.getvalue()


def test_names_are_no_markup_and_no_emoji(terminal):
    printed = terminal(200)
    name = "[bold]x[/bold] :cat:"
    out = Output()
    out.table(name, [name, "n"], [[name, 1]])
    out.line(name)
    out.text(name)
    out.heading(name)
    assert printed.getvalue().count(name) == 6


def test_sentences_break_between_words(terminal):
    printed = terminal(20)
    Output().text("one two three four five six seven")
    assert printed.getvalue().split("\n")[0].rstrip() == "one two three four"


def test_json_shows_nothing_else(terminal):
    printed = terminal(80)
    out = Output(as_json=True)
    out.table("t", ["a"], [["b"]])
    for show in (out.line, out.text, out.heading):
        show("x")
    assert printed.getvalue() == ""


HOSTILE = "\x1b[31mred\x07 \x9b2J\rgone \udcff"


@pytest.mark.parametrize("show", ["line", "text", "heading", "note", "warn"])
def test_a_name_gives_a_terminal_no_orders(terminal, capsys, show):
    printed = terminal(200)
    getattr(Output(), show)(HOSTILE)
    shown = printed.getvalue() + capsys.readouterr().err
    assert "red" in shown
    assert "gone" in shown
    assert not set(shown) & set("\x1b\x07\x9b\r\udcff")


def test_a_name_in_a_table_gives_a_terminal_no_orders(terminal):
    printed = terminal(200)
    Output().table(HOSTILE, ["name"], [[HOSTILE]])
    assert printed.getvalue().count("red") == 2
    assert not set(printed.getvalue()) & set("\x1b\x07\x9b\r\udcff")


def test_an_error_gives_a_terminal_no_orders(capsys):
    emit_error(2, f"{HOSTILE}\nnnlab: all is well", as_json=False)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert not set(shown) & set("\x1b\x07\x9b\r\udcff")


def test_json_is_unicode_and_keeps_every_byte_of_a_name(capsys):
    name = os.fsdecode(b"caf\xe9 \xc3\xa9.h5")
    Output(as_json=True).result({"run": name})
    text = capsys.readouterr().out
    text.encode("utf-8")
    assert os.fsencode(json.loads(text)["run"]) == b"caf\xe9 \xc3\xa9.h5"


def test_csv_keeps_every_byte_of_a_name(capfdbinary, tmp_path):
    name = os.fsdecode(b"caf\xe9.h5")
    write_csv("-", f"{name},1\n")
    write_csv(str(tmp_path / "runs.csv"), f"{name},1\n")
    sys.stdout.flush()
    assert capfdbinary.readouterr().out == b"caf\xe9.h5,1\n"
    assert (tmp_path / "runs.csv").read_bytes() == b"caf\xe9.h5,1\n"
