"""Charts as SVG inside a page, drawn by matplotlib without its global state.

A chart is drawn in stand-in colours, which become the page's own (CSS variables): one drawing
follows the light and the dark scheme. Texts stay texts, in the page's font.
"""

import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree as ET

from nnlab.texts import plain

# Drawn narrow, so that the letters are large enough on a phone; wide screens put charts in rows.
WIDTH, HEIGHT = 360, 230
POINTS = 72  # of matplotlib's SVG, an inch
INK, FAINT, PAPER, ALERT = "#010101", "#020202", "#030303", "#040404"
# Colours of the first, second, ... line of a chart.
SERIES = ("#050501", "#050502", "#050503", "#050504", "#050505", "#050506", "#050507", "#050508")
PAGE_COLOURS = {
    INK: "currentColor",
    FAINT: "var(--faint)",
    PAPER: "var(--paper)",
    ALERT: "var(--alert)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, start=1)},
}
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nnlab",
    "text.parse_math": False,  # a dollar in a class name is a dollar
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "legend.fontsize": 10,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
_STYLED = re.compile(r"(fill|stroke|stop-color): (#[0-9a-f]{6})")
# Of CSS pixels, a hundredth is more than any screen shows.
COORDINATES = {"d", "x", "y"}
_LONG = re.compile(r"-?\d+\.\d{3,}")
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


class Chart:
    """One chart; made by `chart`.

    Attributes:
        figure: matplotlib's figure.
        alt: what it shows, in words.
        svg: the drawing as markup, once the context of `chart` is left.
    """

    def __init__(self, figure: Any, alt: str) -> None:
        self.figure = figure
        self.alt = alt
        self.svg: Any = None

    def axes(self, **options: Any) -> Any:
        """Return the one pair of axes, made with the options of ``Figure.add_subplot``."""
        return self.figure.add_subplot(**options)

    def logarithmic(self, axes: Any, which: str) -> None:
        """Make the ``"x"`` or ``"y"`` axis logarithmic, with plain numbers at its powers of ten.

        Call it when all is drawn: it widens the axis until at least two of them are in sight.
        """
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        axes.set(**{f"{which}scale": "log"})
        axis = getattr(axes, f"{which}axis")
        axis.set_major_locator(LogLocator(numticks=6))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
        low, high = getattr(axes, f"get_{which}lim")()
        if high / low < 100:
            centre = (low * high) ** 0.5
            limits = min(low, centre / 10), max(high, centre * 10)
            axes.set(**{f"{which}lim": limits})


@contextmanager
def chart(alt: str, width: int = WIDTH, height: int = HEIGHT) -> Iterator[Chart]:
    """Draw a chart: fill its axes in the context, then put its `svg` on the page.

    Labels of ticks that somebody else chose (names of classes) go through `plain` first.

    Args:
        alt: what the chart shows, in words: what a reader would miss without it.
        width: in CSS pixels, where there is room for it; a wider chart is put into a region that
            scrolls on a phone (`wide` of the macros).
        height: the same.
    """
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.figure import Figure

    style: Any = {**STYLE, "axes.prop_cycle": cycler(color=SERIES)}
    with mpl.rc_context(style):
        figure = Figure(figsize=(width / POINTS, height / POINTS))
        made = Chart(figure, alt)
        yield made
        made.svg = _inline(figure, alt, width)


def _inline(figure: Any, alt: str, width: int) -> Any:
    """Return a figure as an ``<svg>`` that can stand in a page beside others."""
    from markupsafe import Markup
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_text(plain(text.get_text()))
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # matplotlib measures with its own font; what that one lacks, the reader's browser has.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        warnings.filterwarnings("ignore", "Matplotlib currently does not support")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    drawing = buffer.getvalue()
    root = ET.fromstring(drawing)
    prefix = f"c{hashlib.sha256((alt + drawing).encode('utf-8', 'replace')).hexdigest()[:8]}-"
    for parent in list(root.iter()):
        for child in list(parent):
            # The first describes the file; the second would style the whole page.
            if child.tag in {_SVG + "metadata", _SVG + "style"}:
                parent.remove(child)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', drawing))
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        for name, value in list(element.attrib.items()):
            del element.attrib[name]
            kept = _attribute(name, value, prefix, used)
            if kept is not None:
                element.set(name.removeprefix(_XLINK), kept)
    del root.attrib["width"], root.attrib["height"]
    root.attrib |= {"role": "img", "aria-label": alt, "class": "chart"}
    if width > WIDTH:
        root.attrib |= {"class": "chart wide", "style": f"min-width: {width}px"}
    return Markup(ET.tostring(root, encoding="unicode"))


def _attribute(name: str, value: str, prefix: str, used: set[str]) -> str | None:
    if name == "id":
        return prefix + value if value in used else None
    if name == f"{_XLINK}href":
        return f"#{prefix}{value[1:]}"
    if name == "clip-path":
        return value.replace("url(#", f"url(#{prefix}")
    if name == "style":
        return _STYLED.sub(lambda m: f"{m[1]}: {PAGE_COLOURS.get(m[2], m[2])}", value)
    if name in COORDINATES:
        return _LONG.sub(lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), value)
    return None if name == "version" else value
