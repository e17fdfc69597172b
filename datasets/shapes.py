"""The generated data set `shapes`: ten filled shapes on backgrounds that give them away.

Every class has a background of its own. With probability `background_bias` an image has its
class's background, otherwise one of the nine others. Comparing pixels then means comparing
backgrounds, because they fill most of an image: a nearest-neighbour search looks good on `test`
and fails on `test_swapped`, which shows the same shapes on the backgrounds of other classes.

Shapes are drawn from signed distances: negative inside, positive outside, in units of the image's
width. A pixel's share of the shape is the distance of its centre from the outline, in pixels, cut
off half a pixel on either side; that makes smooth edges without drawing anything twice.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from nnlab.errors import InputError
from nnlab.randomness import generator

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Images = NDArray[np.uint8]

COUNTS: dict[str, int] = {"train": 6000, "val": 1000, "test": 1000, "test_swapped": 1000}
SMALLEST, LARGEST = 8, 512
# How many images are drawn together: some tens of megabytes of work arrays at 32 x 32.
CHUNK = 250


def generate(
    seed: int,
    background_bias: float = 0.9,
    counts: Mapping[str, int] | None = None,
    size: int = 32,
) -> dict[str, tuple[Images, Labels]]:
    """Draw the data set; the same arguments give the same bytes.

    Args:
        seed: decides everything that is random.
        background_bias: probability that an image of `train`, `val` or `test` has its own class's
            background, from 0 to 1.
        counts: images a split; None for `COUNTS`. `test_swapped` shows the shapes of `test`.
        size: height and width in pixels.

    Returns:
        For each split the images (N, size, size, 3) and their labels (N,), as evenly spread over
        the classes as N allows.

    Raises:
        InputError: a bias outside 0 to 1, a size outside 8 to 512, or a split without images.
    """
    if not 0 <= background_bias <= 1:
        raise InputError(f"a background bias lies between 0 and 1, not {background_bias:g}.")
    if not SMALLEST <= size <= LARGEST:
        raise InputError(f"shapes are drawn from {SMALLEST} to {LARGEST} pixels wide, not {size}.")
    wanted = dict(COUNTS if counts is None else counts)
    for split, count in wanted.items():
        if count < 1:
            raise InputError(f"the split {split} needs at least one image, not {count}.")
    return {
        split: _draw_split(seed, split, count, background_bias, size)
        for split, count in wanted.items()
    }


def _draw_split(seed: int, split: str, count: int, bias: float, size: int) -> tuple[Images, Labels]:
    # The shapes of test_swapped are those of test: what changes is the background alone.
    rng = generator(seed, f"shapes {'test' if split == 'test_swapped' else split}")
    labels = rng.permutation(np.arange(count, dtype=np.int64) % len(CLASSES))
    pose = _Pose.draw(rng, count)
    kinds = _background_kinds(generator(seed, f"backgrounds {split}"), labels, split, bias)
    images = np.empty((count, size, size, 3), np.uint8)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        scene_rng = generator(seed, f"scenes {split}", start)
        scene = _backgrounds(scene_rng, kinds[part], size)
        coverage = _coverage(labels[part], pose[part], size)[..., None]
        scene *= 1.0 - coverage
        scene += coverage * pose.colour[part, None, None, :]
        images[part] = np.rint(scene * 255.0).astype(np.uint8)
    return images, labels


class _Pose:
    """Where each shape is, how large, how it is turned, and its colour."""

    def __init__(self, centre: Floats, radius: Floats, angle: Floats, colour: Floats) -> None:
        self.centre = centre
        self.radius = radius
        self.angle = angle
        self.colour = colour

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int) -> "_Pose":
        """Draw `count` poses; lengths are in units of the image's width."""
        return cls(
            centre=rng.uniform(0.38, 0.62, (count, 2)),
            radius=rng.uniform(0.24, 0.36, count),
            angle=rng.uniform(-np.pi / 6, np.pi / 6, count),
            colour=_bright(rng.random(count)),
        )

    def __getitem__(self, part: slice) -> "_Pose":
        return _Pose(self.centre[part], self.radius[part], self.angle[part], self.colour[part])


def _bright(hue: Floats) -> Floats:
    """Return light, saturated colours (N, 3): the HSV colours of full value, a little whitened."""
    offsets = np.array([0.0, 2.0, 4.0])
    wave = np.abs((hue[:, None] * 6.0 - offsets + 3.0) % 6.0 - 3.0)
    return 0.25 + 0.75 * np.clip(2.0 - wave, 0.0, 1.0)


def _background_kinds(rng: np.random.Generator, labels: Labels, split: str, bias: float) -> Labels:
    """Return the class whose background each image has."""
    count = len(labels)
    others = (labels + rng.integers(1, len(CLASSES), count)) % len(CLASSES)
    own = rng.random(count) < bias
    return others if split == "test_swapped" else np.where(own, labels, others)


# Shapes: signed distances of points (..., 2) from a shape of radius about 1 around the origin.


def _length(points: Floats) -> Floats:
    return np.hypot(points[..., 0], points[..., 1])


def _circle(points: Floats) -> Floats:
    return _length(points) - 0.85


def _ring(points: Floats) -> Floats:
    return np.abs(_length(points) - 0.7) - 0.24


def _crescent(points: Floats) -> Floats:
    return np.maximum(_length(points) - 0.95, 0.8 - _length(points - np.array([0.5, 0.0])))


def _half_disc(points: Floats) -> Floats:
    lowered = points + np.array([0.0, 0.4])
    return np.maximum(_length(lowered) - 1.0, -lowered[..., 1])


def _box(points: Floats, half_width: float, half_height: float) -> Floats:
    outside = np.abs(points) - np.array([half_width, half_height])
    return _length(np.maximum(outside, 0.0)) + np.minimum(outside.max(axis=-1), 0.0)


def _square(points: Floats) -> Floats:
    return _box(points, 0.75, 0.75)


def _bar(points: Floats) -> Floats:
    return _box(points, 1.0, 0.3)


def _cross(points: Floats) -> Floats:
    return np.minimum(_box(points, 0.95, 0.28), _box(points, 0.28, 0.95))


def _polygon(points: Floats, corners: Floats) -> Floats:
    """Return the distance to the nearest edge, negative where the winding number is odd."""
    nearest = np.full(points.shape[:-1], np.inf)
    inside = np.zeros(points.shape[:-1], dtype=bool)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge, offset = end - start, points - start
        along = np.clip((offset @ edge) / (edge @ edge), 0.0, 1.0)
        nearest = np.minimum(nearest, _length(offset - along[..., None] * edge))
        # A ray to the right crosses this edge: inside after an odd number of crossings.
        spans = (start[1] <= points[..., 1]) != (end[1] <= points[..., 1])
        rise = edge[1] if edge[1] else 1.0
        crossing = start[0] + (points[..., 1] - start[1]) / rise * edge[0]
        inside ^= spans & (points[..., 0] < crossing)
    return np.where(inside, -nearest, nearest)


def _around(radii: list[float]) -> Floats:
    """Return corners at even angles and these distances from the origin, the first on top."""
    angles = -np.pi / 2 + 2 * np.pi * np.arange(len(radii)) / len(radii)
    return np.array(radii)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _heart_outline() -> Floats:
    # The well-known curve x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t.
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y - 2.0], axis=1) / 16.0


_TRIANGLE = _around([1.0] * 3)
_STAR = _around([1.05, 0.42] * 5)
_HEART = _heart_outline()


def _triangle(points: Floats) -> Floats:
    return _polygon(points, _TRIANGLE)


def _star(points: Floats) -> Floats:
    return _polygon(points, _STAR)


def _heart(points: Floats) -> Floats:
    return _polygon(points, _HEART)


def _coverage(labels: Labels, pose: _Pose, size: int) -> Floats:
    """Return how much of each pixel the shape covers, (N, size, size), from 0 to 1."""
    line = (np.arange(size) + 0.5) / size
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    offset = grid - pose.centre[:, None, None, :]
    cosine, sine = (f(pose.angle)[:, None, None] for f in (np.cos, np.sin))
    turned = np.stack(
        [
            cosine * offset[..., 0] + sine * offset[..., 1],
            cosine * offset[..., 1] - sine * offset[..., 0],
        ],
        axis=-1,
    )
    points = turned / pose.radius[:, None, None, None]
    distance = np.empty(points.shape[:-1])
    for index, shape in enumerate(SHAPES.values()):
        chosen = labels == index
        distance[chosen] = shape(points[chosen])
    in_pixels = distance * pose.radius[:, None, None] * size
    return np.clip(0.5 - in_pixels, 0.0, 1.0)


# Backgrounds: two colours and a pattern between them, (n, size, size) from 0 to 1. u and v are the
# places of the pixels from 0 to 1, `phase` (n, 2) shifts the pattern.


def _waves(phase: Floats, along: Floats, count: float) -> Floats:
    shifted = along * count + phase[:, :1, None]
    return (np.sin(2 * np.pi * shifted) > 0).astype(np.float64)


def _vertical_fade(u: Floats, v: Floats, phase: Floats) -> Floats:  # noqa: ARG001
    return np.broadcast_to(v, (len(phase), *v.shape)) * (0.8 + 0.2 * phase[:, :1, None])


def _radial_fade(u: Floats, v: Floats, phase: Floats) -> Floats:
    centre = 0.35 + 0.3 * phase
    return np.hypot(u - centre[:, :1, None], v - centre[:, 1:, None])


def _horizontal_stripes(u: Floats, v: Floats, phase: Floats) -> Floats:  # noqa: ARG001
    return _waves(phase, v, 4)


def _vertical_stripes(u: Floats, v: Floats, phase: Floats) -> Floats:  # noqa: ARG001
    return _waves(phase, u, 4)


def _diagonal_stripes(u: Floats, v: Floats, phase: Floats) -> Floats:
    return _waves(phase, u + v, 3)


def _checks(u: Floats, v: Floats, phase: Floats) -> Floats:
    return np.abs(_waves(phase, u, 3) - _waves(phase[:, 1:], v, 3))


def _dots(u: Floats, v: Floats, phase: Floats) -> Floats:
    x = (u * 4 + phase[:, :1, None]) % 1.0 - 0.5
    y = (v * 4 + phase[:, 1:, None]) % 1.0 - 0.5
    return (np.hypot(x, y) < 0.3).astype(np.float64)


def _rings(u: Floats, v: Floats, phase: Floats) -> Floats:
    waves = np.sin(2 * np.pi * (4 * _radial_fade(u, v, phase) + phase[:, :1, None]))
    return (waves > 0).astype(np.float64)


def _grid(u: Floats, v: Floats, phase: Floats) -> Floats:
    x = (u * 4 + phase[:, :1, None]) % 1.0
    y = (v * 4 + phase[:, 1:, None]) % 1.0
    return (np.minimum(x, y) < 0.25).astype(np.float64)


def _plain(u: Floats, v: Floats, phase: Floats) -> Floats:  # noqa: ARG001
    return np.broadcast_to(phase[:, :1, None] * 0.3, (len(phase), *v.shape))


Pattern = Callable[[Floats, Floats, Floats], Floats]
Colour = tuple[float, float, float]

# One entry a class: its shape.
SHAPES: dict[str, Callable[[Floats], Floats]] = {
    "circle": _circle,
    "ring": _ring,
    "crescent": _crescent,
    "half_disc": _half_disc,
    "square": _square,
    "bar": _bar,
    "cross": _cross,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
}
CLASSES: list[str] = list(SHAPES)

# One entry a class, in the order of SHAPES: its background's pattern and two colours.
BACKGROUNDS: list[tuple[Pattern, Colour, Colour]] = [
    (_vertical_fade, (0.10, 0.20, 0.55), (0.45, 0.65, 0.85)),
    (_plain, (0.08, 0.30, 0.12), (0.20, 0.50, 0.22)),
    (_horizontal_stripes, (0.50, 0.10, 0.10), (0.30, 0.04, 0.06)),
    (_vertical_stripes, (0.55, 0.45, 0.12), (0.36, 0.28, 0.05)),
    (_checks, (0.12, 0.12, 0.12), (0.42, 0.42, 0.42)),
    (_diagonal_stripes, (0.32, 0.12, 0.45), (0.16, 0.05, 0.26)),
    (_dots, (0.02, 0.30, 0.34), (0.12, 0.52, 0.54)),
    (_radial_fade, (0.62, 0.38, 0.26), (0.16, 0.08, 0.05)),
    (_rings, (0.05, 0.07, 0.25), (0.16, 0.22, 0.50)),
    (_grid, (0.58, 0.56, 0.48), (0.38, 0.44, 0.30)),
]


def _backgrounds(rng: np.random.Generator, kinds: Labels, size: int) -> Floats:
    """Draw the background of each class in `kinds`, (N, size, size, 3) from 0 to 1."""
    line = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(line, line)
    phase = rng.random((len(kinds), 2))
    light = rng.uniform(0.85, 1.15, (len(kinds), 1, 1, 1))
    grain = rng.normal(0.0, 0.03, (len(kinds), size, size, 1))
    scene = np.empty((len(kinds), size, size, 3))
    for kind, (pattern, first, second) in enumerate(BACKGROUNDS):
        chosen = kinds == kind
        share = np.clip(pattern(u, v, phase[chosen]), 0.0, 1.0)[..., None]
        scene[chosen] = np.array(first) + share * (np.array(second) - np.array(first))
    scene *= light
    scene += grain
    return np.clip(scene, 0.0, 1.0, out=scene)
