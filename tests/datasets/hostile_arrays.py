"""Arrays that run code, claim what they lack, or point elsewhere: pickle, IDX, NPZ, .mat, HDF5."""

import gzip
import io
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from hostile_making import MEGA, deflated, hostile, raw_zip, zeros


class Command:
    """What an attacker would pickle."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def batch(folder: Path, data: bytes) -> Path:
    source = folder / "cifar-10-batches-py"
    source.mkdir()
    (source / "data_batch_1").write_bytes(data)
    return source


@hostile("asks for posix.system")
def pickle_of_a_command(folder: Path) -> Path:
    command = Command(os.system, f"touch {folder.parent / 'ran'}")
    return batch(folder, pickle.dumps({"data": command}, 2))


@hostile("asks for builtins.exec")
def pickle_of_code(folder: Path) -> Path:
    return batch(folder, pickle.dumps(Command(exec, f"open({str(folder.parent / 'ran')!r}, 'w')")))


@hostile("asks for numpy.core.multiarray.os.system")
def pickle_by_dotted_names(folder: Path) -> Path:
    return batch(folder, b"\x80\x04\x8c\x05numpy\x8c\x19core.multiarray.os.system\x93.")


@hostile("is damaged")
def pickle_that_claims_a_terabyte(folder: Path) -> Path:
    return batch(folder, b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".")


@hostile("is damaged|holds no dictionary")
def pickle_of_nested_lists(folder: Path) -> Path:
    return batch(folder, b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")


@hostile("holds no dictionary")
def pickle_of_shared_items(folder: Path) -> Path:
    return batch(folder, b"\x80\x02]" + b"2\x86" * 40 + b".")


@hostile("more parts than any batch", long=True)
def pickle_of_a_hundred_million_objects(folder: Path) -> Path:
    return batch(folder, b"\x80\x02(" + b"}" * (100 * 10**6) + b"t.")


@hostile("more parts than any batch")
def pickle_with_a_memo_beyond_all_memory(folder: Path) -> Path:
    return batch(folder, b"\x80\x02Nr\xff\xff\xff\x7f.")


def idx(folder: Path, name: str, content: bytes) -> Path:
    source = folder / "idx"
    source.mkdir(exist_ok=True)
    (source / name).write_bytes(content)
    labels = struct.pack(">4BI", 0, 0, 8, 1, 1) + b"\0"
    (source / "train-labels-idx1-ubyte").write_bytes(labels)
    return source


@hostile("claims 1,099,511,627,776 bytes")
def idx_that_claims_2_to_the_40(folder: Path) -> Path:
    content = struct.pack(">4B3I", 0, 0, 8, 3, 2**20, 2**10, 2**10)
    return idx(folder, "train-images-idx3-ubyte", content + bytes(100))


@hostile("its header claims")
def idx_whose_sides_overflow(folder: Path) -> Path:
    content = struct.pack(">4B4I", 0, 0, 14, 4, *[2**32 - 1] * 4)
    return idx(folder, "train-images-idx3-ubyte", content)


@hostile("its header claims 10,737,418,240 bytes")
def idx_gz_bomb(folder: Path) -> Path:
    start = gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 10 * 2**10, 2**10, 2**10))
    return idx(folder, "train-images-idx3-ubyte.gz", start + zeros("gz") * 160)


@hostile("claims to hold more than")
def npz_bomb(folder: Path) -> Path:
    return raw_zip(folder / "x.npz", "x.npy", deflated(200), 3200 * MEGA)


@hostile("its header claims")
def npz_that_claims_a_terabyte(folder: Path) -> Path:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": (2**20, 2**10, 2**10)}
    )
    with zipfile.ZipFile(folder / "x.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue() + bytes(100))
    return folder / "x.npz"


@hostile("neither numbers nor plain texts")
def npz_of_objects(folder: Path) -> Path:
    items = np.array([Command(os.system, f"touch {folder.parent / 'ran'}")], object)
    np.savez(folder / "x.npz", x=items, y=items)
    return folder / "x.npz"


@hostile("is damaged or not an array")
def npz_whose_header_is_code(folder: Path) -> Path:
    text = f"__import__('os').system('touch {folder.parent / 'ran'}')".encode().ljust(118)
    with zipfile.ZipFile(folder / "x.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00\x76\x00" + text)
    return folder / "x.npz"


def mat_variable(claimed: int, sides: tuple[int, ...], data: bytes, kind: int = 2) -> bytes:
    """A variable X of bytes that claims what it likes."""
    body = struct.pack("<2I2I", 6, 8, 9, 0)
    body += struct.pack(f"<2I{len(sides)}i", 5, 4 * len(sides), *sides)
    body += (
        bytes(-len(body) % 8) + struct.pack("<2H4s", 1, 1, b"X") + struct.pack("<2I", kind, claimed)
    )
    return struct.pack("<2I", 14, min(len(body) + claimed, 2**32 - 1)) + body + data


def mat(folder: Path, variable: bytes) -> Path:
    path = folder / "train.mat"
    start = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    path.write_bytes(start + variable)
    return path


@hostile("claims to hold more than|has not the size|is damaged")
def mat_that_claims_a_terabyte(folder: Path) -> Path:
    return mat(folder, mat_variable(2**32 - 100, (2**20, 2**10, 2**10), bytes(100)))


@hostile("X has not the size that it claims")
def mat_of_an_unknown_type(folder: Path) -> Path:
    """SciPy looks the type up in a table, unchecked, and crashes."""
    return mat(folder, mat_variable(64, (8, 8), bytes(64), kind=20_000))


@hostile("claims to hold more than", long=True)
def mat_bomb(folder: Path) -> Path:
    packer = zlib.compressobj(9)
    start = mat_variable(3 * 2**30, (3 * 2**20, 2**10), b"")
    body = packer.compress(start) + packer.compress(bytes(300 * MEGA)) + packer.flush()
    return mat(folder, struct.pack("<2I", 15, len(body)) + body)


@hostile("claims more data than it stores|and stores")
def hdf5_bomb(folder: Path) -> Path:
    with h5py.File(folder / "x.hdf5", "w") as file:
        file.create_dataset(
            "images", (10 * 2**10, 2**10, 2**10), np.uint8, chunks=(1, 2**10, 2**10),
            compression="gzip",
        )  # fmt: skip
        file["labels"] = np.zeros(10 * 2**10, np.uint8)
    return folder / "x.hdf5"


@hostile("keeps its data in another file")
def hdf5_with_external_data(folder: Path) -> Path:
    with h5py.File(folder / "x.hdf5", "w") as file:
        file.create_dataset("images", (1, 8, 8), np.uint8, external=[("/etc/passwd", 0, 64)])
        file["labels"] = [0]
    return folder / "x.hdf5"


@hostile("links to another place")
def hdf5_with_an_external_link(folder: Path) -> Path:
    with h5py.File(folder / "other.hdf5", "w") as file:
        file["secret"] = np.zeros((1, 8, 8), np.uint8)
    with h5py.File(folder / "x.hdf5", "w") as file:
        file["images"] = h5py.ExternalLink(str(folder / "other.hdf5"), "secret")
        file["labels"] = [0]
    return folder / "x.hdf5"


@hostile("keeps its data in another file")
def hdf5_with_a_virtual_data_set(folder: Path) -> Path:
    layout = h5py.VirtualLayout((1, 8, 8), np.uint8)
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (1, 8, 8))
    with h5py.File(folder / "x.hdf5", "w") as file:
        file.create_virtual_dataset("images", layout)
        file["labels"] = [0]
    return folder / "x.hdf5"


@hostile("reached by two names")
def hdf5_in_a_circle(folder: Path) -> Path:
    with h5py.File(folder / "x.hdf5", "w") as file:
        file.create_group("a")["b"] = file["/"]
    return folder / "x.hdf5"
