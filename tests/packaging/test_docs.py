"""The pages of docs/ideas: commands parse, links lead somewhere, both languages agree."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
import typer

from nnlab.cli.main import app

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def build():
    """The builder of the pages, which is a script and no part of the package."""
    spec = importlib.util.spec_from_file_location("build_docs", DOCS / "build.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_docs"] = module
    spec.loader.exec_module(module)
    return module


def commands(build, page):
    """Every command of a page, pipes and all."""
    return [
        command
        for block in build.blocks(page)
        if block.info.startswith("sh")
        for command in build.commands(block.content)
    ]


def parse(command):
    """Let the command line read the arguments of a command, without running it."""
    words = shlex.split(command.partition("|")[0])
    assert words[0] == "nnlab", command
    group = typer.main.get_command(app)
    with group.make_context("nnlab", words[1:], resilient_parsing=True) as context:
        found = group.get_command(context, words[1])
        assert found is not None, command
        found.make_context(words[1], words[2:], parent=context)


def sources(build):
    return [folder / f"{name}.md" for folder in build.LANGUAGES.values() for name in build.PAGES]


def test_every_page_is_there_in_both_languages(build):
    for folder in build.LANGUAGES.values():
        assert {path.stem for path in folder.glob("*.md")} == set(build.PAGES)


def test_every_command_parses(build):
    seen = [command for page in sources(build) for command in commands(build, page)]
    assert len(seen) > 50
    for command in set(seen):
        parse(command)


def test_a_command_that_does_not_parse_is_found():
    for wrong in ("nnlab train a.h5 -o b.h5 --epochen 3", "nnlab trian a.h5", "nnlab eval"):
        with pytest.raises((typer.exceptions.TyperException, AssertionError)):
            parse(wrong)


def test_the_languages_show_the_same_commands_and_pictures(build):
    english, chinese = build.LANGUAGES.values()
    for name in build.PAGES:
        ours, theirs = (build.blocks(folder / f"{name}.md") for folder in (english, chinese))
        assert [block.info for block in ours] == [block.info for block in theirs], name
        for one, other in zip(ours, theirs, strict=True):
            # What a PNG file shows is said in the language of the page.
            shown = [re.sub(r"\.png:.*", ".png", b.content) for b in (one, other)]
            assert shown[0] == shown[1], name
        headings = [
            re.findall(r"^#+", (folder / f"{name}.md").read_text("utf-8"), re.MULTILINE)
            for folder in (english, chinese)
        ]
        assert headings[0] == headings[1], name


def test_every_page_has_a_command_and_links_that_lead_somewhere(build):
    for page in sources(build):
        text = page.read_text("utf-8")
        for target in re.findall(r"\]\(([^)]+)\)", text):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"
        assert page.stem == "index" or "```sh" in text
    for folder in build.LANGUAGES.values():
        listed = re.findall(r"\]\(([\w-]+)\.md\)", (folder / "index.md").read_text("utf-8"))
        assert ["index", *listed] == list(build.PAGES)
