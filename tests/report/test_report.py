"""`nnlab report` on runs of real images: what the page says, and what it says when parts miss."""

import re
import shutil
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from nnlab.cli.main import main
from nnlab.report import Pictures, write_report
from nnlab.report.history import root_mean_squares
from nnlab.runs import open_run

# The runs are trained once, by one worker.
pytestmark = pytest.mark.xdist_group("report")

NO_PICTURES = Pictures("", {}, "There are no pictures.")


class Page(HTMLParser):
    """What a reader meets: texts, headings, pictures with their alternatives."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.html = html
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def alternatives(self) -> list[str]:
        return [
            str(attributes.get("alt") or attributes.get("aria-label"))
            for tag, attributes in self.tags
            if tag == "img" or attributes.get("role") == "img"
        ]


@pytest.fixture(scope="module")
def report(run_files, tmp_path_factory):
    """Make a page of some runs and read it; the same runs give the same page."""
    folder = tmp_path_factory.mktemp("pages")

    @cache
    def make(*names: str) -> Page:
        path = folder / f"{'-'.join(names)}.html"
        paths = [str(run_files / f"{name}.h5") for name in names]
        assert main(["report", *paths, "-o", str(path)]) == 0
        return Page(path.read_text())

    return make


def test_a_linear_model_shows_curves_templates_results_and_mistakes(report, run_files):
    page = report("softmax")
    run = open_run(run_files / "softmax.h5")
    found = run.evaluations["clothes", "test"]
    for text in (
        "softmax on clothes", "784 → 10", "1,350", "Learning and overfitting", "Templates of the",
        "Results on", "Most often confused", "Every class", "Most confident mistakes", "The rules",
        f"{100 * found.accuracy:.2f} %", "Made by",
    ):  # fmt: skip
        assert text in page.text, text
    alternatives = page.alternatives()
    for start in (
        "Data loss over the epochs", "Accuracy over the epochs", "Penalty on the weights",
        "Learning rate", "Gradient norm", "Change of the weights", "Reliability diagram",
    ):  # fmt: skip
        assert sum(text.startswith(start) for text in alternatives) == 1, start
    assert sum(text.startswith("Weights of the class") for text in alternatives) == 10
    first = found.mistakes
    mistake = next(text for text in alternatives if text.startswith(f"Image {first.index[0]}:"))
    classes = run.classes
    assert f"{classes[first.label[0]]}, taken for {classes[first.predicted[0]]}" in mistake
    assert len([text for text in alternatives if text.startswith("Image ")]) == 24


def test_the_confusion_matrix_is_a_table_of_the_counts(report, run_files):
    page = report("softmax")
    matrix = open_run(run_files / "softmax.h5").evaluations["clothes", "test"].confusion_matrix
    table = re.search(r'<table class="confusion">.*?</table>', page.html, re.DOTALL)[0]
    counts = [int(count) for count in re.findall(r"<td[^>]*>(\d+)</td>", table)]
    np.testing.assert_array_equal(np.reshape(counts, (10, 10)), matrix)


def test_the_vanishing_gradient_is_said_and_drawn(report, run_files):
    """The same six-layer MLP with sigmoid and with ReLU, on real images."""
    page = report("sigmoid", "relu")
    scaled = {
        name: list(root_mean_squares(open_run(run_files / f"{name}.h5")).values())
        for name in ("sigmoid", "relu")
    }
    assert scaled["sigmoid"][0] < scaled["sigmoid"][-1] / 100
    assert scaled["relu"][0] > scaled["relu"][-1] / 100
    ratio = round(scaled["relu"][0] / scaled["sigmoid"][0])
    assert ratio > 100
    assert (
        f"The gradient that reaches the first layer of sigmoid.h5 is 1/{ratio:,} of that of relu.h5"
        in page.text
    )
    own = round(scaled["sigmoid"][-1] / scaled["sigmoid"][0])
    assert "The gradient vanishes on its way through 5 sigmoid layers" in page.text
    assert f"is 1/{own:,} of what reaches one of the last layer" in page.text
    assert "The gradient reaches the first layer on its way through 5 relu layers" in page.text
    drawn = [text for text in page.alternatives() if text.startswith("Gradient of a weight")]
    assert len(drawn) == 3  # of both together, and of each
    assert f"sigmoid.h5: {scaled['sigmoid'][0]:.2g}" in drawn[0]
    assert f"relu.h5: {scaled['relu'][0]:.2g}" in drawn[0]


def test_a_run_has_its_own_colour_and_name_where_it_is_drawn_alone(report):
    page = report("softmax", "relu")
    drawn = next(
        chart for chart in re.findall(r"<svg.*?</svg>", page.html, re.DOTALL)
        if "Gradient of a weight, by layer, from" in chart
    )  # fmt: skip
    assert "relu.h5</text>" in drawn
    assert "var(--series-2)" in drawn
    assert "var(--series-1)" not in drawn


def test_an_mlp_shows_its_most_used_units(report):
    units = [
        text
        for text in report("softmax", "relu", "knn").alternatives()
        if text.startswith("Weights into")
    ]
    assert len(units) == len(set(units)) == 24


def test_a_nearest_neighbour_run_shows_its_choice_of_k(report):
    page = report("knn")
    assert "knn l1 k=" in page.text
    assert any(text.startswith("Accuracy over k:") for text in page.alternatives())
    assert "Most confident mistakes" in page.text
    assert "Learning and overfitting" not in page.text
    assert "Overfitting:" not in page.text  # a rule that nothing here follows


def test_what_differs_between_runs_is_a_table(report):
    page = report("softmax", "relu", "knn")
    tables = re.findall(r"<table>.*?</table>", page.html, re.DOTALL)
    results = next(table for table in tables if "Results; gap" in table)
    settings = next(table for table in tables if "Settings that differ" in table)
    for name in ("softmax.h5", "relu.h5", "knn.h5"):
        assert name in results
    assert "32,32,32,32,32" in settings
    assert "seed" not in settings
    assert "Best on the validation images is" in page.text


def test_without_an_evaluation_the_page_says_what_adds_one(report, run_files):
    page = report("sigmoid", "relu")
    assert "Nothing has been measured on a test split yet" in page.text
    assert f"nnlab eval {run_files / 'sigmoid.h5'}" in page.text


def test_without_the_data_mistakes_are_a_table_and_the_way_to_pictures_is_said(
    nnlab, run_files, clothes, tmp_path
):
    run = open_run(run_files / "softmax.h5")
    run.config["data_path"] = str(tmp_path / "gone.h5")
    run.save(tmp_path / "run.h5")
    done = nnlab("report", tmp_path / "run.h5", "-o", tmp_path / "a.html")
    assert done.code == 0, done.stderr
    page = Page((tmp_path / "a.html").read_text())
    assert f"The data file {tmp_path / 'gone.h5'} is not there; nnlab report --data" in page.text
    assert "The surest first" in page.text
    shutil.copy(clothes, tmp_path / "moved.h5")
    nnlab("report", tmp_path / "run.h5", "--data", tmp_path / "moved.h5", "-o", tmp_path / "b.html")
    images = Page((tmp_path / "b.html").read_text()).alternatives()
    assert len([text for text in images if text.startswith("Image ")]) == 24


def test_an_older_run_without_samples_is_reported(run_files, tmp_path):
    run = open_run(run_files / "softmax.h5")
    run.history["sampled"].clear()
    for key, metrics in run.evaluations.items():
        run.evaluations[key] = type(metrics)(**{**vars(metrics), "reliability": None,
                                                "mistakes": None})  # fmt: skip
    write_report(tmp_path / "old.html", [run], lambda _: NO_PICTURES)
    page = Page((tmp_path / "old.html").read_text())
    assert "keeps no mistakes; measure it again: nnlab eval" in page.text
    assert any(text.startswith("Gradient norm") for text in page.alternatives())


@pytest.mark.parametrize("quantity", ["dead", "saturated", "slope", "update_ratio"])
def test_a_run_that_lacks_one_of_the_sampled_quantities_is_reported(run_files, tmp_path, quantity):
    run = open_run(run_files / "relu.h5")
    sampled = run.history["sampled"]
    for name in [name for name in sampled if name.startswith(quantity)]:
        del sampled[name]
    write_report(tmp_path / "part.html", [run], lambda _: NO_PICTURES)
    assert (tmp_path / "part.html").exists()


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        ({"finished": False, "epoch": 1}, "Training has not come to its end: 1 of 3 epochs"),
        ({"finished": False, "diverged": True}, "Training diverged after 3 of 3 epochs"),
    ],
)
def test_a_run_that_did_not_finish_says_so(run_files, tmp_path, progress, text):
    run = open_run(run_files / "softmax.h5")
    run.attributes["progress"] |= progress
    run.attributes.pop("result")
    write_report(tmp_path / "part.html", [run], lambda _: NO_PICTURES)
    assert text in Page((tmp_path / "part.html").read_text()).text


def test_every_picture_has_words_and_nothing_comes_from_elsewhere(report):
    page = report("softmax", "relu", "knn")
    alternatives = page.alternatives()
    assert len(alternatives) > 100
    assert all(text and text != "None" for text in alternatives)
    assert not {"script", "link"} & {
        tag for tag, given in page.tags if given.get("href") != "data:,"
    }
    for _, given in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert str(given.get(name, "#")).startswith(("#", "data:"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(page.html) < 2_000_000


def test_long_histories_are_thinned_and_that_is_said(run_files, tmp_path):
    run = open_run(run_files / "relu.h5")
    steps = 200_000
    run.history["step"] = {
        name: np.linspace(2.0, 1.0, steps) for name in ("loss", "learning_rate", "gradient_norm")
    }
    for name, values in run.history["epoch"].items():
        run.history["epoch"][name] = np.resize(values, 5000)
    write_report(tmp_path / "long.html", [run], lambda _: NO_PICTURES)
    page = Page((tmp_path / "long.html").read_text())
    assert len(page.html) < 700_000
    assert "Each point of these curves is the mean of 834 steps" in page.text


def test_of_many_runs_only_the_comparison_is_shown(run_files, tmp_path):
    runs = []
    for seed in range(8):
        run = open_run(run_files / "softmax.h5")
        run.config["seed"] = seed
        run.path = tmp_path / f"{seed}.h5"
        runs.append(run)
    write_report(tmp_path / "many.html", runs, lambda _: NO_PICTURES)
    page = Page((tmp_path / "many.html").read_text())
    assert "Of more than 6 runs only the comparison is shown" in page.text
    assert "Templates" not in page.text
    assert "7.h5" in page.text


def test_runs_on_different_data_are_not_ranked(run_files, tmp_path):
    runs = [open_run(run_files / name) for name in ("softmax.h5", "relu.h5")]
    runs[1].config["data_checksum"] = "0" * 64
    write_report(tmp_path / "two.html", runs, lambda _: NO_PICTURES)
    text = Page((tmp_path / "two.html").read_text()).text
    assert "trained on different data" in text
    assert "Best on the validation images is" not in text


def test_bad_input_is_one_line_and_2(nnlab, run_files, clothes, tmp_path):
    for arguments, message in (
        ((tmp_path / "none.h5",), "does not exist"),
        ((clothes,), "not an nnlab run file"),
        ((run_files / "knn.h5", "--data", run_files / "knn.h5"), "run file"),
        ((run_files / "knn.h5", "-o", run_files / "knn.h5", "--force"), "is read here"),
        ((run_files / "knn.h5", "-o", tmp_path / "no" / "r.html"), "does not exist"),
    ):
        done = nnlab("report", *arguments, cwd=tmp_path)
        assert done.code == 2, arguments
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
