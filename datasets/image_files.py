"""Image files as a trained model takes them: named one by one, or as folders of them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.images import SUFFIXES, BadImageError, decode_image
from nnlab.errors import InputError


def find_image_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files among `paths`, and for each folder the images in it, by name.

    Raises:
        InputError: a path that does not exist, or a folder without images.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                entry
                for entry in path.rglob("*")
                if entry.suffix.lower() in SUFFIXES and entry.is_file()
            )
            if not inside:
                raise InputError(f"{path} holds no images ({', '.join(SUFFIXES)}).")
            found += inside
        elif path.is_file():
            found.append(path)
        elif path.exists():
            raise InputError(f"{path} is no regular file.")
        else:
            raise InputError(f"{path} does not exist.")
    return found


def read_image_files(paths: Iterable[Path], image_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Read image files and bring them to one shape.

    Args:
        paths: the files.
        image_shape: (H, W, C) to bring them to; grey for C = 1.

    Returns:
        (N, H, W, C).

    Raises:
        InputError: a file that cannot be read or is no image.
    """
    height, width, channels = image_shape
    images = []
    for path in paths:
        try:
            images.append(decode_image(path.read_bytes(), (height, width), channels == 1))
        except BadImageError as error:
            raise InputError(f"{path} cannot be decoded: {error}.") from error
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    return np.stack(images)
