"""The pages of `nnlab explain` in a real browser: quiet, whole, readable, accessible."""

import pytest
from hostile import write_hostile_data

from nnlab.cli.main import main

pytestmark = pytest.mark.browser

PAGES = ("softmax", "mlp", "knn", "example")


@pytest.fixture(scope="module")
def data(tmp_path_factory, fashion_dir):
    """Real images in three channels, under names that nobody should choose."""
    path = tmp_path_factory.mktemp("data") / "data.h5"
    write_hostile_data(path, fashion_dir)
    return path


@pytest.fixture(scope="module")
def pages(data, tmp_path_factory):
    """One page of each kind, in a folder whose name is no better."""
    folder = tmp_path_factory.mktemp("pages") / "<script>alert(2)"
    folder.mkdir()

    def run(*words: object) -> None:
        assert main([str(word) for word in words]) == 0

    softmax, mlp, knn = (folder / f"{name}.h5" for name in ("softmax", "mlp", "knn"))
    run("train", data, "-o", softmax, "--model", "svm", "--epochs", 2, "--l2", 1e-3)
    run("train", data, "-o", mlp, "--model", "mlp", "--epochs", 2, "--hidden", "20,20,20,20,20",
        "--activation", "sigmoid")  # fmt: skip
    run("knn-baseline", data, "-o", knn, "--k", 7)
    for path in (softmax, mlp, knn):
        run("explain", path, "--index", 3, "-o", path.with_suffix(".html"))
    run("explain", "--scores", "13,8,-2", "--true", 0, "-o", folder / "example.html")
    return {name: folder / f"{name}.html" for name in PAGES}


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


def test_the_checks_find_what_is_wrong(look, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!DOCTYPE html><html><head><title>t</title><meta name=viewport "
        "content='width=device-width'></head><body><p style='color:#ccc'>pale words</p>"
        "<img alt='x' src='http://127.0.0.1:9/x.png'><div style='width:500px'>wide</div>"
        "<script>console.error('oh'); alert(1)</script></body></html>"
    )
    looked = look(bad, 360)
    looked.page.wait_for_timeout(100)
    assert any("oh" in error for error in looked.errors)
    assert looked.requests == ["http://127.0.0.1:9/x.png"]
    assert looked.dialogs == ["1"]
    with pytest.raises(AssertionError):
        looked.check()
    for found in (looked.errors, looked.requests, looked.dialogs):
        found.clear()
    with pytest.raises(AssertionError, match="'drawn': False"):
        looked.check()
    assert any(finding.startswith("color-contrast") for finding in looked.accessibility())
