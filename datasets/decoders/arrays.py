"""From the arrays that people store to images (N, H, W, C) of bytes and labels (N,).

Formats that hold plain arrays leave open where the images' number, height, width and channels
stand, and what the range of a pixel is. What the arrays themselves do not tell is refused.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.decoders.decoded import MAX_CLASSES, Decoded, Part, Reading, numbered_classes
from nnlab.errors import FileFormatError, InputError

CHANNELS = (1, 3)
SIXTEEN_BITS = 65535
# How the files and arrays of a split are called; the first that fits counts.
SPLIT_NAMES = {
    "train": re.compile(r"(?:^|[^a-z0-9])(?:train(?:ing)?|tr)(?![a-z])", re.I),
    "test": re.compile(r"(?:^|[^a-z0-9])(?:test(?:ing)?|t10k|te|t)(?![a-z0-9])", re.I),
    "val": re.compile(r"(?:^|[^a-z0-9])(?:val(?:id(?:ation)?)?|dev)(?![a-z])", re.I),
}
IMAGE_NAMES = re.compile(r"^(?:x|images?|imgs?|data|pixels|features|samples|arr_0)$", re.I)
LABEL_NAMES = re.compile(r"^(?:y|labels?|targets?|class(?:es)?|arr_1|t)$", re.I)
_SEPARATORS = re.compile(r"[^a-z0-9]+", re.I)


def split_of(name: str) -> str:
    """Return the split that a file or array belongs to by its name; empty if it names none."""
    for split, pattern in SPLIT_NAMES.items():
        if pattern.search(name):
            return split
    return ""


@dataclass(frozen=True)
class Place:
    """What the name of an array says: its split ("" if none) and whether it holds images."""

    split: str
    images: bool


def place_of(name: str) -> Place | None:
    """Tell what an array is by its name, such as "x_train", "train/labels" or "y"; None if not."""
    split = split_of(name.replace("_", "-"))
    words = [
        word for word in _SEPARATORS.split(name) if word and not (split and split_of(word) == split)
    ]
    if split and not words:
        return None
    if words and all(IMAGE_NAMES.match(word) for word in words):
        return Place(split, images=True)
    if words and all(LABEL_NAMES.match(word) for word in words):
        return Place(split, images=False)
    return None


@dataclass
class Found:
    """The arrays of one split: images, labels, and where each came from."""

    images: Any = None
    labels: Any = None
    images_from: str = ""
    labels_from: str = ""


def decoded_from(found: Mapping[str, Found], where: str, reading: Reading) -> Decoded:
    """Make splits of arrays.

    Args:
        found: split -> arrays; the split "" counts as train.
        where: the file or folder, for messages.
        reading: what a card adds.

    Raises:
        InputError: arrays are missing or do not belong together.
        FileFormatError: they hold no images or labels.
    """
    if "" in found and "train" in found:
        raise InputError(f"{where} has images both with and without a split in their names.")
    parts: dict[str, tuple[NDArray[np.uint8], NDArray[Any]]] = {}
    for name, arrays in found.items():
        split = name or "train"
        if arrays.images is None or arrays.labels is None:
            lacking = "images" if arrays.images is None else "labels"
            raise InputError(f"{where} lacks the {lacking} of the {split} split.")
        labels = as_labels(arrays.labels, arrays.labels_from)
        images = as_images(arrays.images, len(labels), reading, arrays.images_from)
        parts[split] = (images, labels)
    if "train" not in parts:
        raise InputError(f"{where} has no training images.")
    return named(parts, where)


def named(parts: Mapping[str, tuple[NDArray[np.uint8], NDArray[Any]]], where: str) -> Decoded:
    """Turn labels, numbers or texts, into classes and indices."""
    shapes = {images.shape[1:] for images, _ in parts.values()}
    if len(shapes) > 1:
        raise InputError(f"{where}: the splits have images of differing shapes: {sorted(shapes)}.")
    kinds = {labels.dtype.kind for _, labels in parts.values()}
    if kinds == {"i"}:
        splits = {split: Part.of(images, labels) for split, (images, labels) in parts.items()}
        return Decoded(numbered_classes(splits, where), splits)
    texts = {split: labels.astype(str) for split, (_, labels) in parts.items()}
    classes = sorted({str(name) for labels in texts.values() for name in np.unique(labels)})
    if len(classes) > MAX_CLASSES:
        raise FileFormatError(f"{where} has {len(classes):,} different labels; these are none.")
    splits = {}
    for split, labels in texts.items():
        rows = np.searchsorted(np.array(classes), labels).astype(np.int64)
        splits[split] = Part.of(parts[split][0], rows)
    return Decoded(classes, splits)


def as_labels(array: Any, where: str) -> NDArray[Any]:
    """Return labels as (N,) int64, not negative, or as texts.

    Takes (N,), (N, 1), (1, N), and (N, K) with one 1 a row.
    """
    labels = np.asarray(array)
    if labels.ndim == 2 and 1 in labels.shape:
        labels = labels.reshape(-1)
    if labels.ndim == 2 and labels.shape[1] <= MAX_CLASSES and _is_one_hot(labels):
        labels = labels.argmax(axis=1)
    if labels.ndim != 1 or not len(labels):
        raise FileFormatError(f"{where} holds an array of shape {labels.shape}, not labels.")
    if labels.dtype.kind in "SU":
        return labels.astype(str)
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels % 1 == 0).all():
        if np.abs(labels).max() > 2**53:
            raise FileFormatError(f"{where} has labels that are no classes.")
    elif labels.dtype.kind not in "iub":
        raise FileFormatError(f"{where} holds {labels.dtype} items, not labels.")
    if labels.max() >= 2**63 or labels.min() < 0:
        raise FileFormatError(f"{where} has negative labels, or some that are no classes.")
    return labels.astype(np.int64)


def _is_one_hot(labels: NDArray[Any]) -> bool:
    if labels.dtype.kind not in "iubf" or labels.shape[1] < 2:
        return False
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


def as_images(array: Any, count: int, reading: Reading, where: str) -> NDArray[np.uint8]:
    """Return images as (N, H, W, C) bytes.

    Args:
        array: (N, H, W), (N, H, W, C), (N, C, H, W), the same with N last, or (N, pixels).
        count: the number of labels, which is N.
        reading: what a card adds: the shape of flat images, and whether they are transposed.
        where: names the array in messages.

    Raises:
        InputError: the number of images is not that of the labels.
        FileFormatError: these are no images.
    """
    images = np.asarray(array)
    if images.ndim not in {2, 3, 4} or images.dtype.kind not in "iufb" or not images.size:
        raise FileFormatError(
            f"{where} holds {images.dtype} items of shape {images.shape}, not images."
        )
    if len(images) != count and images.shape[-1] == count:
        images = np.moveaxis(images, -1, 0)
    if len(images) != count:
        raise InputError(
            f"{where} has {len(images):,} images (its shape is {array.shape}), and there are "
            f"{count:,} labels; they do not belong together."
        )
    images = _shaped(images, reading, where)
    if reading.transposed:
        images = images.swapaxes(1, 2)
    return np.ascontiguousarray(as_bytes(images, where))


def _shaped(images: NDArray[Any], reading: Reading, where: str) -> NDArray[Any]:
    if images.ndim == 3:
        return images[..., None]
    if images.ndim == 4:
        if images.shape[3] in CHANNELS:
            return images
        if images.shape[1] in CHANNELS:
            return images.transpose(0, 2, 3, 1)
        raise FileFormatError(
            f"{where} has images of shape {images.shape[1:]}: neither the first nor the last is a "
            "number of channels, 1 or 3."
        )
    pixels = images.shape[1]
    if reading.shape is not None and math.prod(reading.shape) == pixels:
        return images.reshape(len(images), *reading.shape)
    side = math.isqrt(pixels)
    if side * side != pixels:
        raise FileFormatError(
            f"{where} has rows of {pixels:,} values, which are no square grey images; store them "
            "as (N, height, width, channels)."
        )
    return images.reshape(len(images), side, side, 1)


def as_bytes(values: NDArray[Any], where: str) -> NDArray[np.uint8]:
    """Bring pixels to bytes: whole numbers 0..255 as they are, 16 bits, 0..1 and -1..1 scaled.

    The range of all values decides, not that of one image.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise FileFormatError(f"{where} has pixels that are no finite numbers.")
    whole = values.dtype.kind in "iu" or bool((values % 1 == 0).all())
    if whole and low >= 0 and 1 < high <= 255:
        return values.astype(np.uint8)
    if values.dtype == np.uint16 and high <= SIXTEEN_BITS:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if whole and values.dtype.kind in "iu" and low >= 0 and high <= 1:
        return values.astype(np.uint8)
    for lowest in (0.0, -1.0):
        if lowest <= low and high <= 1:
            scaled = (values.astype(np.float32) - lowest) * np.float32(255 / (1 - lowest))
            return np.rint(scaled).astype(np.uint8)
    raise FileFormatError(
        f"{where} has pixels from {low:g} to {high:g}; expected 0..255, 0..1 or -1..1."
    )
