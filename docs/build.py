"""Builds the pages of docs/ideas: runs their commands, and puts output and pictures beside them.

    python docs/build.py [--small] [--into DIR]    writes DIR/ideas and DIR/zh/ideas

A page is Markdown. Its fenced blocks are of two kinds besides plain ones:

    ```sh [quiet] [from="TEXT"] [to="TEXT"] [tail=N]
    nnlab ...          run, one command a line; what it prints follows, or the part of it from the
    ```                line that begins with one text to before the line that begins with another

    ```figure
    page.html: Data loss      the picture or chart of a page made before, by how its text
    ledger.png: its text      alternative begins; or a picture file with its text alternative
    ```

The English page and the Chinese one of the same name hold the same commands, which run once.
"""

import argparse
import base64
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader
from markdown_it import MarkdownIt
from markdown_it.token import Token

from nnlab import __version__

HERE = Path(__file__).parent
LANGUAGES = {"en": HERE / "ideas", "zh": HERE / "zh" / "ideas"}
# In the order in which the ideas build on one another.
PAGES = (
    "index", "tensor", "workflow", "neighbours", "linear-scores", "hinge", "regularisation",
    "softmax", "gradient-descent", "forward-backward", "neurons-overfitting", "sigmoid-relu",
    "dropout",
)  # fmt: skip
FASHION = Path("/usr/share/datasets/fashion-mnist")
IMAGES, IMAGES_SMALL = 12_000, 1_500
LINKS = re.compile(r'href="([\w-]+)\.md"')
BETWEEN_CHINESE = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u3000-\u9fff\uff00-\uffef])")
PICTURES = (
    re.compile(r'<svg\b[^>]*?aria-label="([^"]*)"[^>]*>.*?</svg>', re.DOTALL),
    re.compile(r'<img\b[^>]*?alt="([^"]*)"[^>]*>'),
)


@dataclass
class Builder:
    """Runs commands in one folder, each once.

    Attributes:
        folder: where they run.
        outputs: what each command printed, by the command.
    """

    folder: Path
    outputs: dict[str, str] = field(default_factory=dict)

    def run(self, command: str) -> str:
        """Run a command of the shell and return what it printed on stdout."""
        if command not in self.outputs:
            print(f"$ {command}", flush=True)
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(
                command, shell=True, cwd=self.folder, text=True, capture_output=True,
                env={**os.environ, "PATH": path, "NO_COLOR": "1"}, check=False,
            )  # fmt: skip
            if done.returncode:
                sys.exit(f"{command}: exit {done.returncode}\n{done.stderr}")
            self.outputs[command] = done.stdout
        return self.outputs[command]

    def block(self, info: str, text: str) -> str:
        """Return a fenced block as HTML, with what comes of it."""
        if info.split()[:1] == ["figure"]:
            return "".join(_figure(self.folder, line) for line in text.strip().splitlines())
        html = f"<pre><code>{escape(text.rstrip())}</code></pre>"
        if info.split()[:1] != ["sh"]:
            return html
        printed = "".join(self.run(line) for line in commands(text))
        words = shlex.split(info)[1:]
        options = dict(word.split("=", 1) for word in words if "=" in word)
        shown = _part(printed.splitlines(), options)
        if shown and "quiet" not in words:
            html += (
                '<pre class="output" tabindex="0" role="region" aria-label="output">'
                f"<samp>{escape(shown)}</samp></pre>"
            )
        return html


def commands(text: str) -> list[str]:
    """Return the commands of a block: lines, joined where they end in a backslash."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line.strip() for line in joined.splitlines() if line.strip()]


def blocks(page: Path) -> list[Token]:
    """Return the fenced blocks of a page."""
    return [token for token in MarkdownIt().parse(page.read_text("utf-8")) if token.type == "fence"]


def _part(lines: list[str], options: dict[str, str]) -> str:
    if "from" in options:
        starts = [i for i, line in enumerate(lines) if line.startswith(options["from"])]
        if not starts:
            sys.exit(f"nothing printed begins with {options['from']!r}")
        lines = lines[starts[0] :]
    if "to" in options:
        ends = [i for i, line in enumerate(lines) if line.startswith(options["to"])]
        lines = lines[: ends[0]] if ends else lines
    if "tail" in options:
        lines = lines[-int(options["tail"]) :]
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def _figure(folder: Path, line: str) -> str:
    name, _, alt = (part.strip() for part in line.partition(":"))
    content = (folder / name).read_bytes()
    if name.endswith(".png"):
        source = base64.b64encode(content).decode()
        return f'<figure><img src="data:image/png;base64,{source}" alt="{escape(alt)}"></figure>'
    for kind in PICTURES:
        for found in kind.finditer(content.decode("utf-8")):
            if found[1].startswith(alt):
                return f"<figure>{found[0]}<figcaption>{found[1]}</figcaption></figure>"
    sys.exit(f"{name} shows nothing that begins with {alt!r}")


def _render(builder: Builder, source: Path, language: str, made_by: str) -> str:
    markdown = MarkdownIt("commonmark").enable("table")
    # Chinese is written without spaces; a line of the source ends anywhere.
    tokens = markdown.parse(BETWEEN_CHINESE.sub("", source.read_text("utf-8")))
    title = next(t.content for t in tokens if t.type == "inline")
    for token in tokens:
        if token.type == "fence":
            token.content = builder.block(token.info, token.content)
            token.type = "html_block"
    body = markdown.renderer.render(tokens, markdown.options, {})
    environment: Any = Environment(
        loader=ChoiceLoader([FileSystemLoader(HERE), PackageLoader("nnlab.pages", "templates")]),
        autoescape=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals["nnlab_version"] = __version__
    other = "zh" if language == "en" else "en"
    return str(
        environment.get_template("page.html").render(
            title=title,
            body=LINKS.sub(r'href="\1.html"', body),
            language=language,
            other=os.path.relpath(_target(other, source.stem), _target(language, "").parent),
            made_by=made_by,
            is_index=source.stem == "index",
        )
    )


def _target(language: str, name: str) -> Path:
    """Return where a page stands in the folder of all pages."""
    return LANGUAGES[language].relative_to(HERE) / f"{name}.html"


def main(arguments: Sequence[str] | None = None) -> None:
    """Build every page in every language."""
    parser = argparse.ArgumentParser(description="Build the pages of docs/ideas.")
    parser.add_argument("--small", action="store_true", help="with few images: for a quick check")
    parser.add_argument("--into", type=Path, metavar="DIR", help="new (default: docs/build)")
    chosen = parser.parse_args(arguments)
    built = chosen.into or HERE / "build"
    if chosen.into is None:
        shutil.rmtree(built, ignore_errors=True)
    elif built.exists():
        parser.error(f"{built} exists already; name a new folder.")
    limit = IMAGES_SMALL if chosen.small else IMAGES
    source = f"fashion-mnist --source {FASHION}" if FASHION.is_dir() else "shapes"
    made_by = f"nnlab preprocess {source} --limit {limit} --val 0.1 -o images.h5"
    builder = Builder(built / "work")
    builder.folder.mkdir(parents=True)
    builder.run(made_by)
    for name in PAGES:
        for language, folder in LANGUAGES.items():
            target = built / _target(language, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_render(builder, folder / f"{name}.md", language, made_by), "utf-8")
    print(f"{len(PAGES)} pages in {len(LANGUAGES)} languages -> {built}")


if __name__ == "__main__":
    main()
