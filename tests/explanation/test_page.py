"""Explanations as pages: every shape of image and number of classes that a run may have."""

import re
from itertools import pairwise

import numpy as np
import pytest

from nnlab import pages
from nnlab.explanation import explain_neighbors
from nnlab.explanation.page import page_values
from nnlab.neighbors import Settings, baseline


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_an_image_may_have_any_number_of_channels(fashion, trained_run, explained, channels):
    images = np.repeat(fashion[0][:60, :9, :12], channels, axis=3)
    run = trained_run((images, fashion[1][:60]), model="mlp", hidden="5", epochs=1)
    template, values = page_values(explained(run, images[0], 9))
    page = pages.render(template, **values)
    assert page.count("<img") == 1 + 1 + 10 + (channels if channels > 1 else 0)


def test_an_image_of_one_colour_has_a_page(fashion, trained_run, explained):
    run = trained_run(fashion, model="softmax", standardize="none", l2=1e-3, l1=1e-5)
    template, values = page_values(explained(run, np.zeros((28, 28, 1), np.uint8), 0))
    assert "none" in pages.render(template, **values)


def test_one_step_is_drawn_before_and_after(fashion, trained_run, explained):
    run = trained_run(fashion, model="softmax", epochs=1)
    found = explained(run, fashion[0][0], fashion[1][0])
    name = found.subject.classes[found.subject.label]
    before, after = found.scores.scores, found.step.scores_after
    right = found.subject.label
    assert after[right] > before[right]
    drawing = page_values(found)[1]["step_chart"]
    assert (
        f"{name} goes from {pages.number(before[right])} to {pages.number(after[right])}" in drawing
    )


def test_a_step_that_changes_nothing_is_not_drawn(fashion, trained_run, explained):
    run = trained_run(fashion, model="svm", delta=1e-9, epochs=1)
    easy = next(
        found
        for image, label in zip(*fashion, strict=True)
        if (found := explained(run, image, label)).loss.value == 0
    )
    assert page_values(easy)[1]["step_chart"] is None


def test_what_the_layers_pass_on_stands_in_a_list(fashion, trained_run, explained):
    run = trained_run(fashion, model="mlp", hidden="16,8", batch_norm=True, dropout=0.3, epochs=1)
    template, values = page_values(explained(run, fashion[0][0], fashion[1][0]))
    page = pages.render(template, **values)
    parts = re.split(r"(</?[uo]l>)", page)
    inside = [part for tag, part in pairwise(parts) if tag in {"<ul>", "<ol>"}]
    assert sum(part.count("<li>") for part in inside) == page.count("<li>")
    assert [name for name, _ in values["passed_on"]] == ["6_relu", "2_relu"]


def test_votes_are_counted_in_whole_numbers(fashion):
    images, labels = fashion
    train = (images[1:], labels[1:])
    settings = Settings(ks=(1,), folds=0)
    spec = baseline(train, (images[:1], labels[:1]), 10, settings).spec("data.h5", "f", "0" * 64)
    found = explain_neighbors(
        spec, train, images[0], None, classes=[str(label) for label in range(10)], config={}
    )
    ticks = re.findall(r">([\d.]+)</text>", page_values(found)[1]["votes_chart"])
    assert "1" in ticks
    assert not [tick for tick in ticks if "." in tick]
