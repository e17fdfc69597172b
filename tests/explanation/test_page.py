"""Explanations as pages: every shape of image and number of classes that a run may have."""

import numpy as np
import pytest

from nnlab import pages
from nnlab.explanation.page import page_values


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
