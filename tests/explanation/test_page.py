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
