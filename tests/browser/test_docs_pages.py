"""The pages of docs/ideas, built small, in a real browser: quiet, whole, readable, accessible."""

import runpy
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("docs pages")]

BUILD = Path(__file__).parents[2] / "docs" / "build.py"
PAGES = runpy.run_path(str(BUILD))["PAGES"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with all pages; their commands run once."""
    folder = tmp_path_factory.mktemp("docs") / "built"
    runpy.run_path(str(BUILD))["main"](["--small", "--into", str(folder)])
    return folder


@pytest.mark.parametrize("language", ["ideas", "zh/ideas"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quiet_whole_readable_and_accessible(look, built, name, language):
    for width, scheme in ((360, "light"), (1400, "dark")):
        looked = look(built / language / f"{name}.html", width, scheme)
        looked.check(pictures=name != "index")
        assert looked.accessibility() == []


def test_links_lead_from_page_to_page_and_language_to_language(look, built):
    page = look(built / "ideas" / "index.html").page
    page.locator("main a[href='hinge.html']").first.click()
    assert page.locator("html").get_attribute("lang") == "en"
    page.locator("header a[hreflang]").click()
    assert page.url == (built / "zh" / "ideas" / "hinge.html").as_uri()
    assert page.locator("html").get_attribute("lang").startswith("zh")


def test_the_hinge_page_shows_an_image_that_costs_something(look, built):
    text = look(built / "ideas" / "hinge.html").page.locator("samp").last.text_content()
    assert "total = data loss" in text
    assert "total = data loss 0 " not in text
