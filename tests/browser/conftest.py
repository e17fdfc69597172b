"""A real browser: opens a page, and says what is wrong with it."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("NNLAB_TEST_CHROMIUM") or shutil.which("chromium")
# Chromium asks its makers for this and that unless told not to; a page is to ask for nothing.
QUIET = [
    "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-default-apps", "--disable-domain-reliability", "--disable-sync", "--no-first-run",
    "--no-pings", "--metrics-recording-only", "--disable-dev-shm-usage",
]  # fmt: skip
WIDTHS = (360, 1400)
SERIOUS = {"serious", "critical"}

PICTURES = """() => [...document.querySelectorAll("img, svg.chart")].map(picture => {
  const box = picture.getBoundingClientRect();
  const drawn = picture.tagName === "IMG"
    ? picture.complete && picture.naturalWidth > 0
    : picture.querySelectorAll("path, use, text").length > 0;
  const right = box.right - document.documentElement.clientWidth;
  return {
    name: picture.alt || picture.getAttribute("aria-label") || "",
    drawn, width: box.width, height: box.height, beyond: right,
    scrolls: picture.closest(".scroll") !== null,
  };
})"""
WIDTH = "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
SMALLEST_LETTERS = """() => [...document.querySelectorAll("svg.chart text")].map(text => {
  const svg = text.ownerSVGElement;
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  return scale * parseFloat(getComputedStyle(text).fontSize);
}).reduce((a, b) => Math.min(a, b), 100)"""


@dataclass
class Looked:
    """What a browser saw on a page.

    Attributes:
        page: the page itself, still open.
        errors: what it wrote on its console or threw.
        requests: what it asked for, other than itself and what it carries inside.
        dialogs: boxes that popped up: something ran.
    """

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def check(self, pictures: bool = True) -> None:
        """Check that the page is quiet, whole and readable at its present width.

        Args:
            pictures: whether it should have any.
        """
        assert self.errors == []
        assert self.requests == []
        assert self.dialogs == []
        found = self.page.evaluate(PICTURES)
        assert bool(found) == pictures, f"{len(found)} pictures on the page"
        for picture in found:
            assert picture["drawn"], picture
            assert min(picture["width"], picture["height"]) >= 16, picture
            assert picture["name"], "a picture has no text alternative"
            assert picture["beyond"] <= 0.5 or picture["scrolls"], picture
        scrolled, shown = self.page.evaluate(WIDTH)
        assert scrolled <= shown, f"the page is {scrolled} pixels wide in a window of {shown}"
        assert self.page.evaluate(SMALLEST_LETTERS) >= 8.5, "letters too small to read"

    def accessibility(self) -> list[str]:
        """Return axe-core's serious findings, one text each."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [
            f"{entry['id']}: {entry['help']}: {node['html'][:200]}"
            for entry in found
            if entry["impact"] in SERIOUS
            for node in entry["nodes"]
        ]


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, without a window."""
    driver = pytest.importorskip(
        "playwright.sync_api", reason="its driver is not installed: pip install .[browser]"
    )
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=QUIET, chromium_sandbox=False
        )
        yield started
        started.close()


@pytest.fixture
def look(browser):
    """Open a file in a fresh profile: `look(path, width=360, scheme="dark")`."""
    contexts = []

    def open_page(path: Path, width: int = 1400, scheme: str = "light", **options: Any) -> Looked:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        looked = Looked(page)
        own = path.absolute().as_uri()
        page.on("console", lambda message: looked.errors.append(message.text))
        page.on("pageerror", lambda error: looked.errors.append(str(error)))

        def asked(request: Any) -> None:
            if request.url != own and not request.url.startswith("data:"):
                looked.requests.append(request.url)

        def popped(dialog: Any) -> None:
            looked.dialogs.append(dialog.message)
            dialog.dismiss()

        page.on("request", asked)
        page.on("dialog", popped)
        page.goto(own, wait_until="load")
        return looked

    yield open_page
    for context in contexts:
        context.close()
