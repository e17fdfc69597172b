"""Images and labels in HDF5 files of other people's, and in nnlab's own data files.

Everything in the file is checked before anything is read, as in nnlab's own files: hard links
only, no data in other files, plain numbers and strings of fixed length, no size beyond what is
stored (`nnlab.hdf5`).
"""

from collections.abc import Sequence
from pathlib import Path

from nnlab.datasets.decoders.arrays import Found, decoded_from, place_of
from nnlab.datasets.decoders.containers import EXPANSION, MAX_CLAIM
from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions, checked_classes
from nnlab.datasets.decoders.split_files import files_of, recogniser
from nnlab.errors import InputError
from nnlab.hdf5 import open_foreign, read_texts, reading

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Where the signature may stand: behind a user block of some power of two.
STARTS = (0, 512, 1024, 2048)
CLASSES = ("classes", "class_names", "list_classes", "label_names")


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does, maybe behind a user block."""
    try:
        with path.open("rb") as file:
            for start in STARTS:
                file.seek(start)
                if file.read(len(SIGNATURE)) == SIGNATURE:
                    return True
    except OSError:
        pass
    return False


recognises = recogniser(is_hdf5)


def decode(paths: Sequence[Path], options: DecodeOptions) -> Decoded:
    """Read the data sets whose names tell what they are.

    Raises:
        InputError: there are no images or no labels.
        FileFormatError: the file is damaged, or reaches for other files.
    """
    found: dict[str, Found] = {}
    classes: list[str] = []
    for split, path in files_of(paths, is_hdf5):
        file, names = open_foreign(path, max(MAX_CLAIM, EXPANSION * path.stat().st_size))
        with file, reading(path, "HDF5 file of images"):
            for name in names:
                place = place_of(name)
                if name in CLASSES and file[name].dtype.kind == "S" and file[name].ndim == 1:
                    classes = read_texts(file, name)
                elif place is not None:
                    arrays = found.setdefault(place.split or split, Found())
                    where = f"{path}: {name}"
                    if place.images:
                        arrays.images, arrays.images_from = file[name][()], where
                    else:
                        arrays.labels, arrays.labels_from = file[name][()], where
        if not found:
            raise InputError(
                f"{path} holds {', '.join(names[:5]) or 'nothing'}; expected data sets called "
                "images and labels, or train/images, train/labels, test/images, test/labels."
            )
    decoded = decoded_from(found, str(paths[0]), options.reading)
    if classes:
        decoded.classes = checked_classes(classes, decoded.splits, paths[0])
    return decoded
