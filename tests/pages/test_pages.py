"""Pages: numbers for people, texts that stay texts, charts and pictures that stand in the page."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

from nnlab import pages
from nnlab.pages.document import _environment
from nnlab.pages.pictures import AGAINST, FOR, NEUTRAL, PALE

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "שלום \N{RIGHT-TO-LEFT OVERRIDE}abc",
    "\N{CAT FACE} & $x^2$ {{ 7 * 7 }} [bold]",
]


def shown(source: str, **values) -> str:
    """What a line of a template becomes."""
    with_macros = '{% import "macros.html" as page %}' + source
    return _environment().from_string(with_macros).render(**values)


class Texts(HTMLParser):
    """The tags and texts that a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7, "7"),
        (-12345, "−12,345"),
        (np.int64(3), "3"),
        (0.123456, "0.1235"),
        (-0.00012345, "−0.0001234"),
        (1234.56, "1,235"),
        (99.99999, "100.0"),
        (9999.99, "10,000"),
        (np.float32(2.5), "2.5"),
        (0.001, "0.001"),
        (0.1 + 0.2, "0.3000"),
        (1.23456e-9, "1.235e-09"),
        (3.0e15, "3.000e+15"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_numbers_have_four_digits_and_are_whole_where_they_are_whole(value, text):
    assert pages.number(value) == text


def test_a_share_is_written_as_a_percentage():
    assert pages.percent(0.98765) == "98.77 %"
    assert pages.percent(None) == "–"


def test_a_number_on_a_page_carries_its_full_value():
    assert 'value="0.123456789"' in shown("{{ x | number }}", x=0.123456789)
    assert 'value="0.1"' in shown("{{ x | percent }}", x=np.float64(0.1))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_of_somebody_else_stays_text(text):
    page = shown(
        "{{ page.table(t, [t, 'n'], [[t, 1.5]]) }}{{ page.facts([(t, t)]) }}"
        "{{ page.finding(t) }}{{ page.figure(pages.picture(image, t), t) }}{{ t | name }}",
        t=text, pages=pages, image=np.zeros((2, 2), np.uint8),
    )  # fmt: skip
    seen = Texts(page)
    assert not {"script", "x"} & set(seen.tags)
    assert seen.tags.count("img") == 1
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert ("alt", text) in seen.attributes
    assert seen.texts.count(text) == 8


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_in_a_chart_stays_text(text):
    with pages.chart(text) as drawn:
        drawn.axes(title=text).plot([1, 2], [3, 4], label=text)
    seen = Texts(str(drawn.svg))
    assert not {"script", "img"} & set(seen.tags)
    assert ("aria-label", text) in seen.attributes
    assert text in seen.texts


def test_a_chart_takes_signs_that_no_file_of_text_can_hold():
    odd = "a\0b\x1bc\udcffd"
    with pages.chart("a class") as drawn:
        axes = drawn.axes(title=odd)
        axes.plot([0, 1], [0, 1], label=odd)
        axes.legend()
    assert str(drawn.svg).count("a\ufffdb\ufffdc\ufffdd") == 2


def test_two_charts_of_a_page_share_no_identifier_and_style_nothing_else():
    charts = []
    for height in (1, 2):
        with pages.chart(f"chart {height}") as drawn:
            drawn.axes().plot([0, 1], [0, height], marker="o", color=pages.SERIES[1])
        charts.append(str(drawn.svg))
    identifiers = [set(re.findall(r'id="([^"]+)"', svg)) for svg in charts]
    assert identifiers[0]
    assert not identifiers[0] & identifiers[1]
    for svg, own in zip(charts, identifiers, strict=True):
        assert set(re.findall(r"(?:href=\"|url\()#([^\")]+)", svg)) <= own
        assert "<style" not in svg
        assert "var(--series-2)" in svg
        assert "currentColor" in svg


def test_the_same_chart_is_drawn_the_same():
    svgs = set()
    for _ in range(2):
        with pages.chart("a line") as drawn:
            drawn.axes().plot([0, 1], [0, 1])
        svgs.add(str(drawn.svg))
    assert len(svgs) == 1


def test_a_picture_keeps_its_pixels():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20
    source = re.search(r"base64,([^\"]+)", str(pages.picture(pixels, "four pixels")))[1]
    stored = np.asarray(Image.open(io.BytesIO(base64.b64decode(source))))
    np.testing.assert_array_equal(stored[28::56, 28::56], pixels)


def test_heat_is_blue_for_and_orange_against():
    colours = pages.heat(np.array([[2.0, -2.0, 0.0]]))
    assert [tuple(colour) for colour in colours[0].tolist()] == [FOR, AGAINST, NEUTRAL]
    np.testing.assert_array_equal(pages.heat(np.zeros((1, 1)))[0, 0], NEUTRAL)
    half = pages.heat(np.array([[1.0]]), limit=2.0)[0, 0]
    np.testing.assert_array_equal(half, np.rint((np.array(FOR) + NEUTRAL) / 2))


def test_heat_over_an_image_leaves_the_image_where_there_is_none():
    image = np.array([[0, 255]], np.uint8)[..., None]
    colours = pages.overlaid(image, np.array([[0.0, 1.0]]))
    assert colours[0, 0].tolist() == [PALE, PALE, PALE]
    assert tuple(colours[0, 1].tolist()) == FOR


def test_values_are_stretched_from_black_to_white():
    np.testing.assert_array_equal(pages.stretched(np.array([[-1.0, 1.0]])), [[0, 255]])
    np.testing.assert_array_equal(pages.stretched(np.array([[3.0, 3.0]])), [[0, 0]])


def test_a_value_that_nobody_gave_is_an_error():
    with pytest.raises(UndefinedError):
        shown("{{ missing }}")


def test_a_page_asks_the_network_for_nothing_and_allows_no_script():
    source = (
        '{% extends "base.html" %}{% block title %}t{% endblock %}'
        "{% block header %}h{% endblock %}{% block content %}c{% endblock %}"
    )
    page = _environment().from_string(source).render()
    assert "default-src 'none'" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert "<script" not in page


def test_a_logarithmic_axis_has_plain_numbers():
    with pages.chart("powers") as drawn:
        axes = drawn.axes()
        axes.plot([1, 2, 3], [1e-3, 1.0, 1e3])
        drawn.logarithmic(axes, "y")
    texts = Texts(str(drawn.svg)).texts
    assert {"0.001", "0.1", "10", "1000"} <= set(texts)
    assert not [text for text in texts if "$" in text]


@pytest.mark.parametrize("which", ["x", "y"])
def test_a_logarithmic_axis_shows_at_least_two_powers_of_ten(which):
    with pages.chart("less than a power") as drawn:
        axes = drawn.axes()
        axes.plot([2, 3, 5], [2, 3, 5])
        axes.tick_params(**{f"label{'left' if which == 'x' else 'bottom'}": False})
        drawn.logarithmic(axes, which)
    assert {"1", "10"} <= set(Texts(str(drawn.svg)).texts)


def test_coordinates_are_written_to_a_hundredth_of_a_pixel():
    with pages.chart("A curve") as drawn:
        drawn.axes().plot([value / 7 for value in range(50)], [value**0.5 for value in range(50)])
    paths = re.findall(r' (?:d|x|y)="([^"]*)"', drawn.svg)
    assert any("." in path for path in paths)
    assert not [path for path in paths if re.search(r"\.\d{3}", path)]
