"""The page of a study: what its tables say and its charts show."""

import re

import pytest
from made_up_study import made_up

from nnlab.sweep.page import write_page
from nnlab.sweep.results import ranked


@pytest.fixture
def page(tmp_path):
    """Write the page of a made-up study; return its text, its charts by title, and the trials."""

    def write(**how):
        study, found = made_up(tmp_path, **how)
        write_page(tmp_path / "page.html", study, found)
        text = (tmp_path / "page.html").read_text()
        charts = {}
        for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
            letters = [re.sub("<[^>]*>", "", part).strip()
                       for part in re.findall(r"<(?:text|tspan)\b[^>]*>[^<]+", svg)]  # fmt: skip
            charts[re.search('aria-label="([^"]*)"', svg)[1]] = letters
        return text, charts, ranked(study, found.trials)

    return write


def chart(charts, beginning):
    return next(letters for label, letters in charts.items() if beginning in label)


def test_a_narrow_logarithmic_range_is_shown_whole_with_numbers_to_read(page):
    _, charts, _ = page()
    assert [text for text in chart(charts, "by batch-size") if text.isdigit()][:4] == [
        "32", "64", "128", "256",
    ]  # fmt: skip
    assert {"0.0002", "0.0008"} <= set(chart(charts, "by l2"))
    assert {"0.0001", "0.001", "0.01", "0.1"} <= set(chart(charts, "by lr"))


def test_all_parameters_and_the_metric_stand_side_by_side_with_their_ends(page):
    _, charts, trials = page()
    letters = chart(charts, "Parallel")
    for end in ("0.0001", "0.1", "32", "256", "0.99", "adam", "momentum", "yes", "no", "512"):
        assert end in letters
    # What did not count for a trial has a place of its own, so that its line is whole.
    assert "does not" in letters
    assert any(text.startswith("accuracy") for text in letters)
    shown = [text for text in letters if text.startswith("trial ")]
    assert shown == [f"trial {trial.number}" for trial in trials[:5]]


def test_repeats_come_with_their_spread_and_training_with_its_time(page):
    text, _, trials = page(repeats=3)
    assert f"{100 * trials[0].value:.2f} %" in text
    assert f"{100 * trials[0].spread:.2f} %" in text
    assert "1 h 30 min" in text  # of 90 runs of a minute


def test_of_a_loss_less_is_better(page):
    _, charts, trials = page(metric="val_loss")
    assert trials[0].value == min(trial.value for trial in trials)
    assert f"trial {trials[0].number}" in chart(charts, "Parallel")
