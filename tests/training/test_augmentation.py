"""Augmentation: what each change does to an image, and that chance is repeatable."""

import gzip
import tracemalloc

import numpy as np
import pytest

from nnlab.errors import InputError
from nnlab.randomness import generator
from nnlab.training.augmentation import AUGMENTATIONS, Augmentation, augmentation_help
from nnlab.training.augmentation_steps import (
    Brightness,
    Contrast,
    Crop,
    Cutout,
    Flip,
    Noise,
    Rotate,
    Shift,
    ShiftEdge,
)

SHAPES = {"gray": (28, 28, 1), "colour": (32, 32, 3), "oblong": (9, 14, 3)}
PIXEL_NAMES = [name for name, kind in AUGMENTATIONS.items() if kind.step is not None]
ALL = ",".join(PIXEL_NAMES)


@pytest.fixture(params=SHAPES)
def shape(request):
    return SHAPES[request.param]


def random_images(shape, count=20, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def apply(text, images, seed=0):
    rng = generator(seed, "augment")
    return Augmentation.parse(text, images.shape[1:]).apply(images, rng).copy()


# The text of --augment


def test_an_empty_text_does_nothing():
    images = random_images((4, 4, 1))
    augmentation = Augmentation.parse(" , ", (4, 4, 1))
    assert not augmentation
    assert augmentation.apply(images, generator(0, "augment")) is images


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_zero_switches_off(name):
    assert not Augmentation.parse(f"{name}=0", (8, 8, 3))


def test_names_stand_for_their_defaults_and_take_numbers():
    augmentation = Augmentation.parse("flip, shift=3,shift-edge=1 ,mixup", (8, 8, 3))
    flip, shift, shift_edge = augmentation.steps
    assert (type(flip), flip.amount) == (Flip, 0.5)
    assert (type(shift), shift.amount) == (Shift, 3)
    assert (type(shift_edge), shift_edge.amount) == (ShiftEdge, 1)
    assert augmentation.mixup == 0.2


def test_the_order_is_the_table_s_whatever_the_text_says():
    images = random_images((28, 28, 1))
    assert np.array_equal(
        apply("noise,cutout,flip,rotate", images), apply("flip,rotate,noise,cutout", images)
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flipp", "'flipp'"),
        ("flip=1.5", "from 0 to 1 "),
        ("flip=", "''"),
        ("rotate=left", "'left'"),
        ("rotate=nan", "'nan'"),
        ("shift=2.5", "whole number"),
        ("shift=-1", "from 0"),
        ("shift=8", "less than 8"),
        ("crop=8", "less than 8"),
        ("flip,flip=0.1", "twice"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(text, says):
    with pytest.raises(InputError) as refused:
        Augmentation.parse(text, (8, 8, 3))
    message = str(refused.value)
    assert says in message
    assert "--augment" in message
    assert "\n" not in message


def test_the_help_names_every_kind_with_its_meaning():
    lines = augmentation_help().split("; ")
    assert len(lines) == len(AUGMENTATIONS)
    for line, (name, kind) in zip(lines, AUGMENTATIONS.items(), strict=True):
        assert line.startswith(f"{name}={kind.default:g}")
        assert kind.meaning in line


# What holds for every change of pixels


@pytest.mark.parametrize("name", [*PIXEL_NAMES, ALL])
def test_shape_range_and_type(name, shape):
    images = random_images(shape)
    changed = apply(name, images)
    assert changed.shape == images.shape
    assert changed.dtype in (np.uint8, np.float32)
    assert changed.min() >= 0
    assert changed.max() <= 255


@pytest.mark.parametrize("name", [*PIXEL_NAMES, ALL])
def test_the_caller_s_images_are_left_alone(name, shape):
    images = random_images(shape)
    before = images.copy()
    apply(name, images)
    assert np.array_equal(images, before)


@pytest.mark.parametrize("name", [*PIXEL_NAMES, ALL])
def test_the_same_generator_gives_the_same_batch(name, shape):
    images = random_images(shape)
    assert np.array_equal(apply(name, images, 3), apply(name, images, 3))
    assert not np.array_equal(apply(name, images, 3), apply(name, images, 4))


@pytest.mark.parametrize("name", PIXEL_NAMES)
def test_every_image_gets_its_own_draw(name, shape):
    images = np.repeat(random_images(shape, 1), 40, axis=0)
    changed = apply(name, images)
    different = {image.tobytes() for image in changed}
    assert len(different) >= (2 if name == "flip" else 10)


@pytest.mark.parametrize("name", [*PIXEL_NAMES, ALL])
def test_batches_of_any_length_one_after_the_other(name, shape):
    """A short batch, or a longer one, is not touched by what the one before it left behind."""
    used = Augmentation.parse(name, shape)
    for count in (20, 1, 7, 33):
        images = random_images(shape, count, seed=count)
        fresh = Augmentation.parse(name, shape).apply(images, generator(1, "augment", count))
        again = used.apply(images, generator(1, "augment", count))
        assert np.array_equal(fresh, again)


@pytest.mark.parametrize("name", [n for n in PIXEL_NAMES if AUGMENTATIONS[n].step is not Noise])
def test_one_colour_stays_one_colour(name, shape):
    """Nothing invents structure: an evenly coloured image stays even, shifted-in zeros apart."""
    images = np.full((20, *shape), 100, np.uint8)
    changed = apply(name, images)
    if name == "shift":
        assert set(np.unique(changed)) <= {0, 100}
    else:
        spread = np.ptp(changed.reshape(20, -1), axis=1)
        assert spread.max() <= 1e-4 * 100


def test_a_steady_state_allocates_little(shape):
    augmentation = Augmentation.parse(ALL, shape)
    images = random_images(shape, 64)
    for step in range(3):
        augmentation.apply(images, generator(0, "augment", step))
    tracemalloc.start()
    augmentation.apply(images, generator(0, "augment", 9))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The three shifts give a fresh array each; the random bits of noise come in small blocks.
    assert peak < 3 * images.nbytes + 300_000


# Each change


def test_flip_mirrors_left_and_right(shape):
    images = random_images(shape)
    mirrored = np.arange(20) % 3 == 0
    changed = Flip(0.5, shape).change(images, mirrored)
    assert np.array_equal(changed[mirrored], images[mirrored][:, :, ::-1])
    assert np.array_equal(changed[~mirrored], images[~mirrored])


def test_flip_has_its_probability():
    (mirrored,) = Flip(0.3, (2, 2, 1)).draw(10_000, generator(0, "augment"))
    assert mirrored.mean() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("step", "mode"), [(Shift, "constant"), (ShiftEdge, "edge"), (Crop, "reflect")]
)
def test_shifts_move_by_whole_pixels_and_fill_as_numpy_pads(step, mode, shape):
    images = random_images(shape)
    reach = 4
    shift = step(reach, shape)
    down, right = shift.draw(20, generator(0, "augment"))
    changed = shift.change(images, down, right)
    height, width, _ = shape
    for image, moved, dy, dx in zip(images, changed, down, right, strict=True):
        padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode=mode)
        top, left = reach - dy, reach - dx
        assert np.array_equal(moved, padded[top : top + height, left : left + width])


def test_a_shift_within_the_empty_border_keeps_every_pixel(shape):
    images = random_images(shape)
    images[:, :2] = images[:, -2:] = 0
    images[:, :, :2] = images[:, :, -2:] = 0
    changed = apply("shift=2,flip", images)
    assert not np.array_equal(changed, images)
    for before, after in zip(images, changed, strict=True):
        assert np.array_equal(np.sort(before, axis=None), np.sort(after, axis=None))


def test_shifts_reach_every_place_and_no_further():
    down, right = Shift(2, (8, 8, 1)).draw(2000, generator(0, "augment"))
    assert set(zip(down, right, strict=True)) == {
        (dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)
    }


def test_rotation_by_right_angles_is_exact():
    images = random_images((12, 12, 3))
    for quarter in (-1, 0, 1, 2):
        changed = Rotate(180, (12, 12, 3)).change(images, np.full(20, 90.0 * quarter))
        expected = np.rot90(images, quarter, axes=(1, 2))
        np.testing.assert_allclose(changed, expected, atol=1e-3)


def test_rotation_is_bilinear(shape):
    """A plane of slowly changing grey is what bilinear interpolation reproduces exactly."""
    height, width, channels = shape
    y, x = np.mgrid[:height, :width]
    plane = np.repeat((3 * x + 2 * y)[None, :, :, None], channels, axis=3).astype(np.uint8)
    angle = 20.0
    (changed,) = Rotate(45, shape).change(plane, np.array([angle]))
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    cy, cx = (height - 1) / 2, (width - 1) / 2
    source_x = cx + cosine * (x - cx) - sine * (y - cy)
    source_y = cy + sine * (x - cx) + cosine * (y - cy)
    inside = (source_x >= 0) & (source_x <= width - 1)
    inside &= (source_y >= 0) & (source_y <= height - 1)
    assert inside.mean() > 0.5
    for channel in range(channels):
        expected = 3 * source_x + 2 * source_y
        np.testing.assert_allclose(changed[inside, channel], expected[inside], atol=1e-3)


def test_rotation_there_and_back_comes_close():
    y, x = np.mgrid[:32, :32]
    bump = (250 * np.exp(-((x - 22) ** 2 + (y - 13) ** 2) / 24)).astype(np.uint8)
    images = bump[None, :, :, None]
    rotate = Rotate(180, (32, 32, 1))
    there = np.rint(rotate.change(images, np.array([25.0]))).astype(np.uint8)
    back = rotate.change(there, np.array([-25.0]))
    assert np.abs(back - images).max() < 12
    assert np.abs(there.astype(float) - images).max() > 80


def test_more_images_than_rotate_at_a_time():
    shape = (64, 64, 1)
    images = random_images(shape, 21)
    angles = np.linspace(-40, 40, 21)
    together = Rotate(45, shape).change(images, angles).copy()
    for row in range(21):
        alone = Rotate(45, shape).change(images[row : row + 1], angles[row : row + 1])
        assert np.array_equal(together[row], alone[0])


@pytest.mark.parametrize("step", [Shift, Rotate, Cutout, Flip])
def test_images_of_one_row(step):
    shape = (1, 5, 1) if step is not Shift else (2, 5, 1)
    images = random_images(shape, 3)
    instance = step(1, shape)
    changed = instance.change(images, *instance.draw(3, generator(0, "augment")))
    assert changed.shape == images.shape


def test_brightness_multiplies(shape):
    images = random_images(shape, 3)
    changed = Brightness(0.2, shape).change(images, np.float32([0.5, 1.0, 1.2]))
    for image, bright, factor in zip(images, changed, (0.5, 1.0, 1.2), strict=True):
        np.testing.assert_allclose(bright, image * factor, rtol=1e-6)


def test_contrast_keeps_the_mean_and_scales_the_spread(shape):
    images = random_images(shape, 3)
    factors = np.float32([0.5, 1.0, 1.3])
    changed = Contrast(0.5, shape).change(images, factors).astype(np.float64)
    assert np.array_equal(changed[1], images[1])
    for image, after, factor in zip(images.astype(float), changed, factors, strict=True):
        assert after.mean() == pytest.approx(image.mean(), rel=1e-5)
        assert after.std() == pytest.approx(factor * image.std(), rel=1e-5)


def test_noise_is_gaussian_and_independent():
    shape = (32, 32, 3)
    (noise,) = Noise(0.1, shape).draw(64, generator(0, "augment"))
    noise = noise / 25.5
    flat = noise.reshape(64, -1)
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert (np.abs(noise) < 1).mean() == pytest.approx(0.6827, abs=0.005)
    assert (np.abs(noise) > 2).mean() == pytest.approx(0.0455, abs=0.003)
    assert np.abs(np.corrcoef(flat)[~np.eye(64, dtype=bool)]).max() < 0.1
    assert abs(np.corrcoef(flat[:, :-1].ravel(), flat[:, 1:].ravel())[0, 1]) < 0.01


def test_cutout_covers_one_square_and_nothing_else(shape):
    images = random_images(shape)
    cutout = Cutout(4, shape)
    row, column = cutout.draw(20, generator(0, "augment"))
    changed = cutout.change(images, row, column)
    height, width, _ = shape
    for index, (image, after) in enumerate(zip(images, changed, strict=True)):
        inside = np.zeros((height, width), bool)
        top, left = row[index] - 2, column[index] - 2
        inside[max(top, 0) : top + 4, max(left, 0) : left + 4] = True
        assert np.array_equal(after[~inside], image[~inside])
        assert np.all(after[inside] == np.rint(image.mean(axis=(0, 1))))


def test_a_square_larger_than_the_image_covers_it():
    images = random_images((6, 6, 3))
    changed = apply("cutout=100", images)
    assert np.all(changed == changed[:, :1, :1])


# Mixup


def mixed(alpha, x, seed=0):
    return Augmentation.parse(f"mixup={alpha}", (2, 2, 1)).mix(x, generator(seed, "augment"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mixup_blends_each_image_with_its_partner(dtype):
    x = np.random.default_rng(0).normal(size=(50, 12)).astype(dtype)
    before = x.copy()
    partner, share = mixed(0.4, x)
    assert sorted(partner) == list(range(50))
    assert np.all((share >= 0) & (share <= 1))
    expected = share[:, None] * before + (1 - share[:, None]) * before[partner]
    np.testing.assert_allclose(x, expected, atol=1e-6 if dtype == np.float32 else 1e-14)
    assert len(np.unique(share)) > 40


def test_shares_follow_the_beta_distribution():
    _, share = mixed(0.2, np.zeros((20_000, 1)))
    assert share.mean() == pytest.approx(0.5, abs=0.01)
    assert share.var() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), abs=0.005)


def test_mixup_is_repeatable_and_fits_short_batches():
    augmentation = Augmentation.parse("mixup", (2, 2, 1))
    for count in (16, 1, 5, 30):
        x = np.random.default_rng(count).normal(size=(count, 4))
        first, second = x.copy(), x.copy()
        augmentation.mix(first, generator(0, "augment", count))
        fresh = Augmentation.parse("mixup", (2, 2, 1))
        fresh.mix(second, generator(0, "augment", count))
        assert np.array_equal(first, second)
    one = np.array([[1.0, 2.0]])
    mixed(0.2, one)
    np.testing.assert_allclose(one, [[1.0, 2.0]])


# Real images


def test_real_images_stay_recognisable(fashion_dir):
    """Clothing, gently changed, stays nearer to itself than to the other images."""
    packed = gzip.decompress((fashion_dir / "t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(packed, np.uint8, offset=16).reshape(-1, 28, 28, 1)[:100]
    changed = apply("rotate=5,brightness=0.1,contrast=0.1,noise=0.02,cutout=3", images)
    flat, moved = (array.reshape(100, -1).astype(float) for array in (images, changed))
    distance = np.linalg.norm(moved[:, None] - flat[None], axis=2)
    assert (distance.argmin(axis=1) == np.arange(100)).mean() > 0.9
    assert np.diagonal(distance).min() > 0
