"""The pages of `nnlab report` in a real browser: quiet, whole, readable, accessible."""

import pytest
from hostile import DATA_NAME, HOSTILE, write_hostile_data

from nnlab.cli.main import main

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("report pages")]

# Page -> the runs on it.
PAGES = {
    "linear": ["svm"],
    "deep": ["mlp"],
    "neighbours": ["knn"],
    "unmeasured": ["fresh"],
    "several": ["svm", "mlp", "knn"],
}
FOLDER = "<script>alert(2)"


@pytest.fixture(scope="session")
def pages(fashion_dir, tmp_path_factory):
    """One page of each kind, of runs in a folder whose name is no better than the classes'."""
    folder = tmp_path_factory.mktemp("pages") / FOLDER
    folder.mkdir()
    data = folder / "data.h5"
    write_hostile_data(data, fashion_dir)

    def run(*words: object) -> None:
        assert main([str(word) for word in words]) == 0

    def path(name: str) -> object:
        return folder / f"{name} '\N{CAT FACE}' <b>.h5"

    run("train", data, "-o", path("svm"), "--model", "svm", "--epochs", 3, "--l2", 1e-3)
    run("train", data, "-o", path("mlp"), "--model", "mlp", "--epochs", 3,
        "--hidden", "20,20,20,20,20", "--activation", "sigmoid")  # fmt: skip
    run("train", data, "-o", path("fresh"), "--model", "softmax", "--epochs", 1, "--val", 0)
    run("knn-baseline", data, "-o", path("knn"), "--k", "1,7")
    for name in ("svm", "mlp"):
        run("eval", path(name))
    for page, names in PAGES.items():
        run("report", *map(path, names), "-o", folder / f"{page}.html")
    return {page: folder / f"{page}.html" for page in PAGES}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [360, 1400])
def test_a_page_is_quiet_whole_and_readable(look, pages, name, width):
    look(pages[name], width).check()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_accessible_in_both_schemes(look, pages, name, scheme):
    assert look(pages[name], 1400, scheme).accessibility() == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_on_a_phone(look, pages, name):
    assert look(pages[name], 360).accessibility() == []


def test_names_are_shown_as_they_are(look, pages):
    page = look(pages["several"]).page
    text = page.evaluate("() => document.body.textContent")
    assert "svm '\N{CAT FACE}' <b>.h5" in text
    assert FOLDER in text
    for name in (*HOSTILE, DATA_NAME):
        assert name in text, name
    assert page.locator("main script, main b").count() == 0
    labels = page.locator("table.confusion thead th").all_text_contents()
    assert labels[1:6] == HOSTILE


def test_all_settings_unfold(look, pages):
    page = look(pages["linear"], 360).page
    assert not page.get_by_text("early-stopping").is_visible()
    page.get_by_text("All settings").click()
    assert page.get_by_text("early-stopping").is_visible()


def test_a_page_can_be_printed(look, pages, tmp_path):
    page = look(pages["several"]).page
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    page.emulate_media(media="print", color_scheme="dark")
    background = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"  # no black pages out of a printer
