"""The page of `nnlab sweep report` in a real browser: quiet, whole, readable, accessible."""

import pytest
from made_up_study import made_up

from nnlab.sweep.page import write_page

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("sweep pages")]

# Pairs of texts of one chart that lie over each other.
OVERLAPS = """() => [...document.querySelectorAll("svg.chart")].flatMap(svg => {
  const texts = [...svg.querySelectorAll("text")].filter(text => text.textContent.trim());
  const boxes = texts.map(text => text.getBoundingClientRect());
  const pairs = [];
  for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
    const [a, b] = [boxes[i], boxes[j]];
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 1 && down > 4) pairs.push([texts[i].textContent, texts[j].textContent]);
  }
  return pairs;
})"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of a large study, and of one of two trials."""
    folder = tmp_path_factory.mktemp("sweeps")
    for name, trials in (("large", 60), ("small", 2)):
        study, found = made_up(folder, trials=trials, repeats=2)
        write_page(folder / f"{name}.html", study, found)
    return folder


@pytest.mark.parametrize("name", ["large", "small"])
@pytest.mark.parametrize("width", [360, 1400])
def test_a_page_is_quiet_whole_and_readable(look, pages, name, width):
    looked = look(pages / f"{name}.html", width)
    looked.check()
    assert looked.page.evaluate(OVERLAPS) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_accessible_in_both_schemes(look, pages, scheme):
    assert look(pages / "large.html", 1400, scheme).accessibility() == []
