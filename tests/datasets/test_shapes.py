"""The generated data set: decided by its seed, biased as it says, swapped where it says."""

import hashlib

import numpy as np
import pytest

from nnlab.datasets import shapes
from nnlab.errors import InputError

FEW = {"train": 400, "test": 200, "test_swapped": 200}
# Of seed 0 and FEW: figures stay comparable over machines and versions while this stands.
DIGEST = "a68f004982c9983db3287b9e54dbedf1c1a82773beb3ccb0b856ae00750fc73e"


@pytest.fixture(scope="module")
def drawn():
    return shapes.generate(0, counts=FEW)


def digest(drawn):
    sha = hashlib.sha256()
    for split in sorted(drawn):
        images, labels = drawn[split]
        sha.update(images.tobytes())
        sha.update(labels.tobytes())
    return sha.hexdigest()


def test_the_seed_decides_every_byte(drawn):
    assert digest(drawn) == DIGEST
    assert digest(shapes.generate(0, counts=FEW)) == DIGEST
    assert digest(shapes.generate(1, counts=FEW)) != DIGEST


def test_a_split_does_not_depend_on_the_others(drawn):
    alone = shapes.generate(0, counts={"test": 200})
    np.testing.assert_array_equal(alone["test"][0], drawn["test"][0])


def test_images_are_colour_bytes_and_classes_are_even(drawn):
    for split, count in FEW.items():
        images, labels = drawn[split]
        assert images.dtype == np.uint8
        assert images.shape == (count, 32, 32, 3)
        np.testing.assert_array_equal(np.bincount(labels), count // 10)
        assert images.std(axis=(1, 2, 3)).min() > 5  # no image is empty


def test_the_standard_set_is_a_train_a_val_and_two_test_splits():
    assert shapes.COUNTS == {"train": 6000, "val": 1000, "test": 1000, "test_swapped": 1000}
    assert len(shapes.CLASSES) == len(shapes.BACKGROUNDS) == 10


@pytest.mark.parametrize("bias", [0.0, 0.5, 0.9, 1.0])
def test_the_bias_is_the_share_of_own_backgrounds(bias):
    labels = np.tile(np.arange(10), 2000)
    kinds = shapes._background_kinds(np.random.default_rng(0), labels, "train", bias)
    assert np.mean(kinds == labels) == pytest.approx(bias, abs=0.01)
    strangers = kinds[kinds != labels]
    if len(strangers):
        np.testing.assert_allclose(
            np.bincount(strangers, minlength=10) / len(strangers), 0.1, atol=0.02
        )


def test_swapped_images_never_have_their_own_background():
    labels = np.tile(np.arange(10), 500)
    kinds = shapes._background_kinds(np.random.default_rng(0), labels, "test_swapped", 1.0)
    assert not np.any(kinds == labels)


def test_the_swapped_split_shows_the_shapes_of_test(drawn):
    (images, labels), (swapped, same_labels) = drawn["test"], drawn["test_swapped"]
    np.testing.assert_array_equal(labels, same_labels)
    # In the middle is the shape, the same in both; at the rim the background, mostly another.
    squares = labels == shapes.CLASSES.index("square")
    middle, rim = (slice(None), 16, 16), (slice(None), 0)
    assert np.abs(images[squares][middle].astype(int) - swapped[squares][middle]).max() == 0
    assert np.abs(images[rim].astype(int) - swapped[rim]).mean() > 20


def test_a_shapes_edge_is_smooth_and_its_area_right():
    # A circle of radius 0.85 * 0.3 of the width, in the middle.
    pose = shapes._Pose(np.full((1, 2), 0.5), np.array([0.3]), np.zeros(1), np.ones((1, 3)))
    coverage = shapes._coverage(np.zeros(1, np.int64), pose, 64)
    assert coverage.sum() / 64**2 == pytest.approx(np.pi * (0.85 * 0.3) ** 2, rel=0.01)
    assert np.any((coverage > 0) & (coverage < 1))


@pytest.mark.parametrize("name", shapes.CLASSES)
def test_every_shape_fills_part_of_its_circle(name):
    points = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, 200)] * 2), axis=-1)
    inside = shapes.SHAPES[name](points) < 0
    assert 0.1 < inside.mean() < 0.6
    assert np.hypot(*points[inside].T).max() < 1.2


@pytest.mark.parametrize(
    "arguments",
    [{"background_bias": 1.1}, {"background_bias": -0.1}, {"background_bias": float("nan")},
     {"size": 7}, {"size": 513}, {"counts": {"train": 0}}],
)  # fmt: skip
def test_impossible_arguments_are_one_line(arguments):
    with pytest.raises(InputError):
        shapes.generate(0, **arguments)
