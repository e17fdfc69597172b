"""Self-contained web pages: the template, the stylesheet, and what goes on a page.

A page is one file that asks the network for nothing: styles, charts (SVG) and pictures (PNG as
data URIs) are inside it, and it holds no script. It follows the reader's light or dark scheme, fits
a phone, prints, and says in words what each picture shows.

    pages.write(path, "report.html", title="...", **values)      fill a template, write the file
    pages.picture(pixels, alt)                                   an image, enlarged without blur
    with pages.chart(alt) as chart: chart.axes().plot(...)       then {{ chart.svg }}
    {{ 0.1234 | number }}, {{ share | percent }}, {{ class | name }} in a template

Templates lie in `templates/`, extend `base.html` and import `macros.html` (figure, table, facts).
Everything is escaped unless it is markup made here.
"""

from nnlab.pages.charts import SERIES, Chart, chart
from nnlab.pages.document import render, write
from nnlab.pages.numbers import number, percent
from nnlab.pages.pictures import heat, overlaid, picture, stretched
from nnlab.texts import plain

__all__ = [
    "SERIES",
    "Chart",
    "chart",
    "heat",
    "number",
    "overlaid",
    "percent",
    "picture",
    "plain",
    "render",
    "stretched",
    "write",
]
