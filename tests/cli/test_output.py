"""What commands show: tables that lose no digit, names that stay what they are."""

import io

import pytest
from rich.console import Console

from nnlab.cli import output
from nnlab.cli.output import Output


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
