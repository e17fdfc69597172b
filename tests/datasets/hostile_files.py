"""Files that are made to harm whoever reads them; each writes one and returns its path."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

MEGA = 2**20
Maker = Callable[[Path], Path]
MAKERS: dict[str, Maker] = {}


def hostile(function: Maker) -> Maker:
    """Enter a maker into the table."""
    MAKERS[function.__name__] = function
    return function


@cache
def picture() -> bytes:
    """A small picture."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, "PNG")
    return stream.getvalue()


def tar(path: Path, *members: tuple[str, bytes | tarfile.TarInfo]) -> Path:
    """Write a tar of members: content, or a header without any."""
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.name = name
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                archive.addfile(info)
    return path


def header(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> bytes:
    """A header of a tar that may claim anything."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info.tobuf(tarfile.GNU_FORMAT)


def special(kind: bytes, link: str = "") -> tarfile.TarInfo:
    """A member that is no file."""
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, link
    return info


@hostile
def tar_that_climbs_out(folder: Path) -> Path:
    return tar(folder / "x.tar", ("train/a/../../../../escaped.png", picture()))


@hostile
def tar_of_symlinks(folder: Path) -> Path:
    link = special(tarfile.SYMTYPE, "/etc/passwd")
    return tar(folder / "x.tar", ("train/a/1.png", link))


@hostile
def tar_of_hard_links(folder: Path) -> Path:
    link = special(tarfile.LNKTYPE, "/etc/passwd")
    return tar(folder / "x.tar", ("train/a/1.png", link))


@hostile
def tar_of_devices(folder: Path) -> Path:
    kinds = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    members = [(f"train/a/{index}.png", special(kind)) for index, kind in enumerate(kinds)]
    return tar(folder / "x.tar", *members)


@hostile
def tar_with_a_name_twice(folder: Path) -> Path:
    return tar(folder / "x.tar", ("train/a/1.png", picture()), ("train/a/1.png", picture()))


@hostile
def tar_of_a_sparse_file(folder: Path) -> Path:
    path = folder / "x.tar"
    block = bytearray(header("train/a/1.png", tarfile.GNUTYPE_SPARSE, size=512))
    struct.pack_into("12s12s", block, 386, b"00000000000\0", b"00000001000\0")
    struct.pack_into("12s", block, 483, b"77777777777\0")
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + bytes(512) + bytes(1024))
    return path


@hostile
def tar_of_a_pax_sparse_file(folder: Path) -> Path:
    path = folder / "x.tar"
    info = tarfile.TarInfo("train/a/1.png")
    info.pax_headers = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(2**40),
        "GNU.sparse.name": "train/a/1.png",
    }  # fmt: skip
    info.size = 512
    path.write_bytes(
        info.tobuf(tarfile.PAX_FORMAT) + b"1\n0\n512\n".ljust(512, b"\0") + bytes(1024)
    )
    return path


def zeros(kind: str) -> bytes:
    """64 MB of zeros, compressed."""
    return {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}[kind](bytes(64 * MEGA))


def compressed(kind: str, data: bytes) -> bytes:
    return {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}[kind](data)


def tar_bomb(folder: Path, kind: str) -> Path:
    """One picture of 10 GB."""
    path = folder / f"x.tar.{kind}"
    start = compressed(kind, header("train/a/1.png", size=160 * 64 * MEGA))
    path.write_bytes(start + zeros(kind) * 160)
    return path


@hostile
def tar_gz_bomb(folder: Path) -> Path:
    return tar_bomb(folder, "gz")


@hostile
def tar_xz_bomb(folder: Path) -> Path:
    return tar_bomb(folder, "xz")


@hostile
def tar_bz2_bomb(folder: Path) -> Path:
    return tar_bomb(folder, "bz2")


@hostile
def tar_with_a_name_of_10_gigabytes(folder: Path) -> Path:
    path = folder / "x.tar.gz"
    start = header("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=7 * 2**30)
    path.write_bytes(gzip.compress(start) + zeros("gz") * 112)
    return path


@hostile
def tar_with_a_pax_header_of_7_gigabytes(folder: Path) -> Path:
    path = folder / "x.tar.gz"
    start = header("pax", tarfile.XHDTYPE, size=7 * 2**30)
    path.write_bytes(gzip.compress(start) + zeros("gz") * 112)
    return path


@hostile
def tar_with_a_negative_size(folder: Path) -> Path:
    path = folder / "x.tar"
    block = bytearray(header("train/a/1.png"))
    block[124:136] = b"\xff" * 12
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + bytes(2048))
    return path


@hostile
def tar_that_lies_about_a_size(folder: Path) -> Path:
    path = folder / "x.tar"
    path.write_bytes(header("train/a/1.png", size=100 * MEGA) + picture())
    return path


@hostile
def tar_of_many_claims(folder: Path) -> Path:
    """A hundred members of 64 MB, each alone below every limit."""
    path = folder / "x.tar.gz"
    nothing = zeros("gz")
    with path.open("wb") as stream:
        for number in range(100):
            start = header(f"train/a/{number}.bin", size=64 * MEGA)
            stream.write(gzip.compress(start) + nothing)
    return path


@cache
def deflated(copies: int) -> bytes:
    """A raw deflate stream of so many times 16 MB of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    segment = packer.compress(bytes(16 * MEGA)) + packer.flush(zlib.Z_FULL_FLUSH)
    return segment * copies + zlib.compressobj(9, zlib.DEFLATED, -15).flush()


def raw_zip(path: Path, name: str, data: bytes, size: int, entries: int = 1) -> Path:
    """Write a zip by hand: `entries` names for the same data, each claiming `size` bytes."""
    fields = (20, 0, 8, 0, 0, 0, len(data), size)
    names = [name.format(index).encode() for index in range(entries)]
    content = struct.pack("<4s5H3I2H", b"PK\3\4", *fields, len(names[0]), 0) + names[0] + data
    start = len(content)
    for item in names:
        content += (
            struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, *fields, len(item), 0, 0, 0, 0, 0, 0) + item
        )
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, entries, entries, len(content) - start, start, 0)
    path.write_bytes(content + end)
    return path


@hostile
def zip_bomb(folder: Path) -> Path:
    return raw_zip(folder / "x.zip", "train/a/{}.png", deflated(200), 3200 * MEGA)


@hostile
def zip_of_overlapping_bombs(folder: Path) -> Path:
    return raw_zip(folder / "x.zip", "train/a/{:04}.png", deflated(6), 96 * MEGA, entries=1000)


@hostile
def zip_that_holds_more_than_it_says(folder: Path) -> Path:
    return raw_zip(folder / "x.zip", "train/a/{}.png", deflated(200), 100)


@hostile
def zip_of_a_rare_kind(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("train/a/1.png", bytes(200 * MEGA))
    return folder / "x.zip"


@hostile
def zip_that_climbs_out(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("../../train/a/1.png", picture())
    return folder / "x.zip"


@hostile
def zip_that_is_encrypted(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("train/a/1.png", picture())
    data = bytearray((folder / "x.zip").read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + at] |= 1
    (folder / "x.zip").write_bytes(data)
    return folder / "x.zip"


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


@hostile
def pickle_of_a_command(folder: Path) -> Path:
    command = Command(os.system, f"touch {folder.parent / 'ran'}")
    return batch(folder, pickle.dumps({"data": command}, 2))


@hostile
def pickle_of_code(folder: Path) -> Path:
    return batch(folder, pickle.dumps(Command(exec, f"open({str(folder.parent / 'ran')!r}, 'w')")))


@hostile
def pickle_by_dotted_names(folder: Path) -> Path:
    return batch(folder, b"\x80\x04\x8c\x05numpy\x8c\x19core.multiarray.os.system\x93.")


@hostile
def pickle_that_claims_a_terabyte(folder: Path) -> Path:
    return batch(folder, b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".")


@hostile
def pickle_of_nested_lists(folder: Path) -> Path:
    return batch(folder, b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")


@hostile
def pickle_of_shared_items(folder: Path) -> Path:
    return batch(folder, b"\x80\x02]" + b"2\x86" * 40 + b".")


@hostile
def pickle_of_a_hundred_million_objects(folder: Path) -> Path:
    return batch(folder, b"\x80\x02(" + b"}" * (100 * 10**6) + b"t.")


@hostile
def pickle_with_a_memo_beyond_all_memory(folder: Path) -> Path:
    return batch(folder, b"\x80\x02Nr\xff\xff\xff\x7f.")


def idx(folder: Path, name: str, content: bytes) -> Path:
    source = folder / "idx"
    source.mkdir(exist_ok=True)
    (source / name).write_bytes(content)
    labels = struct.pack(">4BI", 0, 0, 8, 1, 1) + b"\0"
    (source / "train-labels-idx1-ubyte").write_bytes(labels)
    return source


@hostile
def idx_that_claims_2_to_the_40(folder: Path) -> Path:
    content = struct.pack(">4B3I", 0, 0, 8, 3, 2**20, 2**10, 2**10)
    return idx(folder, "train-images-idx3-ubyte", content + bytes(100))


@hostile
def idx_whose_sides_overflow(folder: Path) -> Path:
    content = struct.pack(">4B4I", 0, 0, 14, 4, *[2**32 - 1] * 4)
    return idx(folder, "train-images-idx3-ubyte", content)


@hostile
def idx_gz_bomb(folder: Path) -> Path:
    start = gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 10 * 2**10, 2**10, 2**10))
    return idx(folder, "train-images-idx3-ubyte.gz", start + zeros("gz") * 160)


@hostile
def npz_bomb(folder: Path) -> Path:
    return raw_zip(folder / "x.npz", "x.npy", deflated(200), 3200 * MEGA)


@hostile
def npz_that_claims_a_terabyte(folder: Path) -> Path:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": (2**20, 2**10, 2**10)}
    )
    with zipfile.ZipFile(folder / "x.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue() + bytes(100))
    return folder / "x.npz"


@hostile
def npz_of_objects(folder: Path) -> Path:
    items = np.array([Command(os.system, f"touch {folder.parent / 'ran'}")], object)
    np.savez(folder / "x.npz", x=items, y=items)
    return folder / "x.npz"


@hostile
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


@hostile
def mat_that_claims_a_terabyte(folder: Path) -> Path:
    return mat(folder, mat_variable(2**32 - 100, (2**20, 2**10, 2**10), bytes(100)))


@hostile
def mat_of_an_unknown_type(folder: Path) -> Path:
    """SciPy looks the type up in a table, unchecked, and crashes."""
    return mat(folder, mat_variable(64, (8, 8), bytes(64), kind=20_000))


@hostile
def mat_bomb(folder: Path) -> Path:
    packer = zlib.compressobj(9)
    start = mat_variable(3 * 2**30, (3 * 2**20, 2**10), b"")
    body = packer.compress(start) + packer.compress(bytes(300 * MEGA)) + packer.flush()
    return mat(folder, struct.pack("<2I", 15, len(body)) + body)


@hostile
def hdf5_bomb(folder: Path) -> Path:
    with h5py.File(folder / "x.hdf5", "w") as file:
        file.create_dataset(
            "images", (10 * 2**10, 2**10, 2**10), np.uint8, chunks=(1, 2**10, 2**10),
            compression="gzip",
        )  # fmt: skip
        file["labels"] = np.zeros(10 * 2**10, np.uint8)
    return folder / "x.hdf5"


@hostile
def hdf5_with_external_data(folder: Path) -> Path:
    with h5py.File(folder / "x.hdf5", "w") as file:
        file.create_dataset("images", (1, 8, 8), np.uint8, external=[("/etc/passwd", 0, 64)])
        file["labels"] = [0]
    return folder / "x.hdf5"


@hostile
def hdf5_with_an_external_link(folder: Path) -> Path:
    with h5py.File(folder / "other.hdf5", "w") as file:
        file["secret"] = np.zeros((1, 8, 8), np.uint8)
    with h5py.File(folder / "x.hdf5", "w") as file:
        file["images"] = h5py.ExternalLink(str(folder / "other.hdf5"), "secret")
        file["labels"] = [0]
    return folder / "x.hdf5"


@hostile
def hdf5_with_a_virtual_data_set(folder: Path) -> Path:
    layout = h5py.VirtualLayout((1, 8, 8), np.uint8)
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (1, 8, 8))
    with h5py.File(folder / "x.hdf5", "w") as file:
        file.create_virtual_dataset("images", layout)
        file["labels"] = [0]
    return folder / "x.hdf5"


@hostile
def hdf5_in_a_circle(folder: Path) -> Path:
    with h5py.File(folder / "x.hdf5", "w") as file:
        file.create_group("a")["b"] = file["/"]
    return folder / "x.hdf5"


@hostile
def csv_of_nonsense(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (50, 50), np.uint8)
    path = folder / "train.csv"
    path.write_bytes(b"\n".join(b",".join(bytes([value]) for value in row) for row in rows))
    return path


@hostile
def csv_of_one_endless_line(folder: Path) -> Path:
    path = folder / "train.csv.gz"
    path.write_bytes(gzip.compress(b"1," + b"0," * 2**24) * 300)
    return path


@hostile
def csv_bomb(folder: Path) -> Path:
    path = folder / "train.csv.gz"
    path.write_bytes(gzip.compress((b"1," + b"0," * 783 + b"0\n") * 40_000) * 160)
    return path


@hostile
def libsvm_of_far_apart_pixels(folder: Path) -> Path:
    path = folder / "train.libsvm"
    path.write_bytes(b"1 50000000:1\n" * 1000)
    return path


@hostile
def libsvm_bomb(folder: Path) -> Path:
    path = folder / "train.bz2"
    path.write_bytes(bz2.compress(b"1 1:1 2:1 3:1 4:1\n" * 10**5) * 6000)
    return path


def picture_claim(folder: Path, width: int, height: int) -> Path:
    """A PNG that claims a size and has data for one line."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    source = folder / "photos" / "train" / "a"
    source.mkdir(parents=True)
    content = b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    )
    content += chunk(b"IDAT", zlib.compress(bytes(3 * width + 1))) + chunk(b"IEND", b"")
    (source / "1.png").write_bytes(content)
    return folder / "photos"


@hostile
def picture_of_60000_by_60000(folder: Path) -> Path:
    return picture_claim(folder, 60_000, 60_000)


def crowd(folder: Path, kind: str, count: int) -> Path:
    """An archive of so many empty files with different names."""
    if kind == "zip":
        with zipfile.ZipFile(folder / "x.zip", "w") as archive:
            for number in range(count):
                archive.writestr(zipfile.ZipInfo(f"train/a/{number:07}.txt"), b"")
        return folder / "x.zip"
    block = bytearray(header("train/a/0000000.txt"))
    block[148:156] = b"        "
    plain = sum(block) - 7 * ord("0")
    with gzip.open(folder / "x.tar.gz", "wb", 1) as stream:
        for number in range(count):
            digits = b"%07d" % number
            block[8:15] = digits
            block[148:156] = b"%06o\0 " % (plain + sum(digits))
            stream.write(block)
        stream.write(bytes(1024))
    return folder / "x.tar.gz"
