"""Standardization: fitted on rows that are named, the same for bytes of any block."""

import numpy as np
import pytest

from nnlab.errors import InputError
from nnlab.training import standardization
from nnlab.training.standardization import STANDARDIZATIONS, Standardization


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (500, 4, 5, 3), dtype=np.uint8)
    images[..., 1] //= 4
    images[:, 0, 0, 0] = 17  # a pixel that never changes
    return images


def applied(kind, images, rows=None, dtype=np.float64):
    rows = np.arange(len(images)) if rows is None else rows
    fitted = Standardization.fit(kind, images, rows)
    flat = images.reshape(len(images), -1)
    return fitted.applier(dtype)(flat, np.empty(flat.shape, dtype))


def test_each_kind_is_its_formula(images):
    p = images.reshape(500, -1) / 255
    by_channel = images / 255
    mean, deviation = by_channel.mean(axis=(0, 1, 2)), by_channel.std(axis=(0, 1, 2))
    np.testing.assert_allclose(applied("none", images), p)
    np.testing.assert_allclose(applied("mean_image", images), p - p.mean(axis=0), atol=1e-12)
    channel = ((by_channel - mean) / deviation).reshape(500, -1)
    np.testing.assert_allclose(applied("channel", images), channel, atol=1e-12)
    pixel = (p - p.mean(axis=0)) / np.maximum(p.std(axis=0), 1 / 255)
    np.testing.assert_allclose(applied("pixel", images), pixel, atol=1e-12)


def test_a_constant_pixel_becomes_zero(images):
    assert np.all(applied("pixel", images)[:, 0] == pytest.approx(0, abs=1e-12))


def test_zca_whitens_and_stays_close_to_the_image(images):
    x = applied("zca", images)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-10)
    covariance = x.T @ x / len(x)
    values = np.linalg.eigvalsh(np.cov(applied("channel", images).T, bias=True))
    expected = values / (values + 0.1)
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance), np.sort(expected), atol=1e-9)


@pytest.mark.parametrize("kind", STANDARDIZATIONS)
def test_only_the_named_rows_count(kind, images):
    rows = np.arange(0, 500, 3)
    changed = images.copy()
    changed[1::3] = 0
    one, other = (Standardization.fit(kind, array, rows) for array in (images, changed))
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(array, other.arrays()[name])


@pytest.mark.parametrize("kind", ["mean_image", "channel", "pixel"])
def test_the_size_of_a_block_does_not_matter(kind, images, monkeypatch):
    whole = Standardization.fit(kind, images, np.arange(500))
    monkeypatch.setattr(standardization, "BLOCK", 7)
    parts = Standardization.fit(kind, images, np.arange(500))
    np.testing.assert_array_equal(whole.scale, parts.scale)
    np.testing.assert_array_equal(whole.shift, parts.shift)


@pytest.mark.parametrize("kind", STANDARDIZATIONS)
def test_float32_agrees_with_float64(kind, images):
    np.testing.assert_allclose(
        applied(kind, images, dtype=np.float32), applied(kind, images), atol=2e-5
    )


def test_an_unknown_kind_is_one_line(images):
    with pytest.raises(InputError, match="unknown standardization 'half'; known: none"):
        Standardization.fit("half", images, np.arange(3))
