"""Every image format that nnlab reads: one entry in `DECODERS` adds one.

A card names its format by the key; for a path of the user's the first entry that recognises it is
taken, so the formats stand from the most particular to the most general.
"""

from pathlib import Path

from nnlab.datasets.decoders import (
    cifar,
    cifar_python,
    folders,
    generated,
    hdf5_arrays,
    idx,
    mat,
    npz,
    path_table,
    stl10,
    text_rows,
)
from nnlab.datasets.decoders.decoded import Decoded, DecodeOptions, Decoder, Part, Reading
from nnlab.errors import InputError

__all__ = ["DECODERS", "DecodeOptions", "Decoded", "Decoder", "Part", "Reading", "decoder_for"]

DECODERS: dict[str, Decoder] = {
    "idx": Decoder("IDX files (MNIST's format)", idx.recognises, idx.decode),
    "cifar-binary": Decoder("CIFAR binary batches", cifar.recognises, cifar.decode),
    "cifar-python": Decoder("CIFAR Python batches", cifar_python.recognises, cifar_python.decode),
    "stl10-binary": Decoder("STL-10 binary files", stl10.recognises, stl10.decode),
    "mat": Decoder("MATLAB files (.mat)", mat.recognises, mat.decode),
    "npz": Decoder("NumPy archives (.npz)", npz.recognises, npz.decode),
    "hdf5": Decoder("HDF5 files of images", hdf5_arrays.recognises, hdf5_arrays.decode),
    "libsvm": Decoder(
        "LIBSVM files of pixels", text_rows.recognises_libsvm, text_rows.decode_libsvm
    ),
    "csv": Decoder("tables of pixels (.csv)", text_rows.recognises_pixels, text_rows.decode_pixels),
    "table": Decoder(
        "tables of image paths and labels (.csv, .tsv)", path_table.recognises, path_table.decode
    ),
    "folders": Decoder(
        "class folders of images, also in a .tar, .tar.gz, .tar.xz or .zip",
        folders.recognises,
        folders.decode,
    ),
    "shapes": Decoder("drawn, not read", generated.recognises, generated.decode, generated=True),
}


def decoder_for(path: Path) -> Decoder:
    """Return the decoder of a file or folder.

    Raises:
        InputError: there is no such path, or it is in no known format.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    for decoder in DECODERS.values():
        if decoder.recognises(path):
            return decoder
    known = "; ".join(item.summary for item in DECODERS.values() if not item.generated)
    raise InputError(f"{path} is in no format that nnlab reads: {known}.")
