"""The background report as a picture: bars for border and centre, a curve over the bias."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from nnlab.neighbors.background import Background, BiasPoint
from nnlab.neighbors.pictures import FAINT, INK, PAPER, RIGHT, WRONG, font

WIDTH, PANEL, MARGIN = 720, 260, 56
BAR = 54
BLUE = "#1f5fa8"


def draw_background(
    report: Background, curve: Sequence[BiasPoint], title: str, lines: Sequence[str]
) -> Image.Image:
    """Draw the report.

    Args:
        report: the numbers.
        curve: accuracies over the background bias; may be empty.
        title: above everything.
        lines: the report in words, below.
    """
    wrapped = [part for line in lines for part in _wrapped(line, WIDTH - 40)]
    height = 44 + PANEL * (2 if curve else 1) + 22 + 18 * len(wrapped)
    page = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((20, 14), title, INK, font(18))
    bars = [(name, report.accuracy[name], BLUE) for name in ("all", "centre", "border")]
    if report.swapped is not None:
        bars += [(f"{name}, swapped", report.swapped[name], FAINT) for name in report.swapped]
    _bars(draw, (20, 44), 430, "accuracy of the search on", bars)
    shares = [
        (name, share, colour)
        for name, share, colour in (
            ("right", report.border_share_right, RIGHT),
            ("wrong", report.border_share_wrong, WRONG),
            ("of pixels", report.regions.border_share, FAINT),
        )
        if share is not None
    ]
    _bars(draw, (460, 44), 240, "border's share of the distance", shares)
    if curve:
        _curve(draw, (20, 44 + PANEL), curve)
    y = 44 + PANEL * (2 if curve else 1) + 8
    for line in wrapped:
        draw.text((20, y), line, INK, font(13))
        y += 18
    return page


def _bars(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    width: int,
    title: str,
    bars: Sequence[tuple[str, float, str]],
) -> None:
    left, top = corner
    base, high = top + PANEL - 52, PANEL - 104
    draw.text((left, top + 8), title, INK, font(14))
    draw.line((left, base, left + width - 10, base), INK)
    step = (width - 10) / len(bars)
    for number, (name, value, colour) in enumerate(bars):
        middle = left + step * (number + 0.5)
        half = min(BAR, step * 0.8) / 2
        top_edge = min(base - 1, base - high * value)  # nothing at all is a line, too
        draw.rectangle((middle - half, top_edge, middle + half, base - 1), fill=colour)
        text = f"{value:.1%}"
        place = (middle - font(12).getlength(text) / 2, base - high * value - 17)
        draw.text(place, text, INK, font(12))
        for line, part in enumerate(name.split(", ")):
            place = (middle - font(12).getlength(part) / 2, base + 4 + 15 * line)
            draw.text(place, part, INK, font(12))


def _curve(draw: ImageDraw.ImageDraw, corner: tuple[int, int], curve: Sequence[BiasPoint]) -> None:
    left, top = corner[0] + 36, corner[1] + 34
    wide, high = WIDTH - 240, PANEL - 84

    def place(bias: float, accuracy: float) -> tuple[float, float]:
        return left + wide * bias, top + high * (1 - accuracy)

    draw.text((corner[0], corner[1] + 6), "accuracy over the background bias", INK, font(14))
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        draw.line((*place(0, tick), *place(1, tick)), "#dddddd")
        draw.text((corner[0], place(0, tick)[1] - 8), f"{tick:.0%}", INK, font(11))
        x, y = place(tick, 0)
        draw.text((x - 8, y + 5), f"{tick:g}", INK, font(11))
    for name, colour, values in (
        ("test", BLUE, [(point.bias, point.test) for point in curve]),
        ("backgrounds swapped", WRONG, [(point.bias, point.swapped) for point in curve]),
    ):
        dots = [place(*value) for value in sorted(values)]
        draw.line(dots, colour, 2)
        for x, y in dots:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
        draw.text((dots[-1][0] + 10, dots[-1][1] - 8), name, colour, font(12))


def _wrapped(line: str, width: int) -> list[str]:
    lines = [""]
    for word in line.split():
        longer = f"{lines[-1]} {word}".strip()
        if font(13).getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
