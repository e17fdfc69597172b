"""Archives that lead out, lie about what they hold, or hold without end."""

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

from hostile_making import MEGA, compressed, deflated, hostile, picture, raw_zip, zeros


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


@hostile("leads out of it")
def tar_that_climbs_out(folder: Path) -> Path:
    return tar(folder / "x.tar", ("train/a/../../../../escaped.png", picture()))


@hostile("holds no images")
def tar_of_symlinks(folder: Path) -> Path:
    link = special(tarfile.SYMTYPE, "/etc/passwd")
    return tar(folder / "x.tar", ("train/a/1.png", link))


@hostile("holds no images")
def tar_of_hard_links(folder: Path) -> Path:
    link = special(tarfile.LNKTYPE, "/etc/passwd")
    return tar(folder / "x.tar", ("train/a/1.png", link))


@hostile("holds no images")
def tar_of_devices(folder: Path) -> Path:
    kinds = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    members = [(f"train/a/{index}.png", special(kind)) for index, kind in enumerate(kinds)]
    return tar(folder / "x.tar", *members)


@hostile("holds train/a/1.png twice")
def tar_with_a_name_twice(folder: Path) -> Path:
    return tar(folder / "x.tar", ("train/a/1.png", picture()), ("train/a/1.png", picture()))


@hostile("is a sparse file")
def tar_of_a_sparse_file(folder: Path) -> Path:
    path = folder / "x.tar"
    block = bytearray(header("train/a/1.png", tarfile.GNUTYPE_SPARSE, size=512))
    struct.pack_into("12s12s", block, 386, b"00000000000\0", b"00000001000\0")
    struct.pack_into("12s", block, 483, b"77777777777\0")
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + bytes(512) + bytes(1024))
    return path


@hostile("the sparse file")
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


def tar_bomb(folder: Path, kind: str) -> Path:
    """One picture of 10 GB."""
    path = folder / f"x.tar.{kind}"
    start = compressed(kind, header("train/a/1.png", size=160 * 64 * MEGA))
    path.write_bytes(start + zeros(kind) * 160)
    return path


@hostile("claims to hold more than")
def tar_gz_bomb(folder: Path) -> Path:
    return tar_bomb(folder, "gz")


@hostile("claims to hold more than")
def tar_xz_bomb(folder: Path) -> Path:
    return tar_bomb(folder, "xz")


@hostile("claims to hold more than")
def tar_bz2_bomb(folder: Path) -> Path:
    return tar_bomb(folder, "bz2")


@hostile("a name in it is too long")
def tar_with_a_name_of_10_gigabytes(folder: Path) -> Path:
    path = folder / "x.tar.gz"
    start = header("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=7 * 2**30)
    path.write_bytes(gzip.compress(start) + zeros("gz") * 112)
    return path


@hostile("a name in it is too long")
def tar_with_a_pax_header_of_7_gigabytes(folder: Path) -> Path:
    path = folder / "x.tar.gz"
    start = header("pax", tarfile.XHDTYPE, size=7 * 2**30)
    path.write_bytes(gzip.compress(start) + zeros("gz") * 112)
    return path


@hostile("below 0|is damaged")
def tar_with_a_negative_size(folder: Path) -> Path:
    path = folder / "x.tar"
    block = bytearray(header("train/a/1.png"))
    block[124:136] = b"\xff" * 12
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + bytes(2048))
    return path


@hostile("is damaged")
def tar_that_lies_about_a_size(folder: Path) -> Path:
    path = folder / "x.tar"
    path.write_bytes(header("train/a/1.png", size=100 * MEGA) + picture())
    return path


@hostile("claims to hold more than")
def tar_of_many_claims(folder: Path) -> Path:
    """A hundred members of 64 MB, each alone below every limit."""
    path = folder / "x.tar.gz"
    nothing = zeros("gz")
    with path.open("wb") as stream:
        for number in range(100):
            start = header(f"train/a/{number}.bin", size=64 * MEGA)
            stream.write(gzip.compress(start) + nothing)
    return path


@hostile("claims to hold more than")
def zip_bomb(folder: Path) -> Path:
    return raw_zip(folder / "x.zip", "train/a/{}.png", deflated(200), 3200 * MEGA)


@hostile("claims to hold more than")
def zip_of_overlapping_bombs(folder: Path) -> Path:
    return raw_zip(folder / "x.zip", "train/a/{:04}.png", deflated(6), 96 * MEGA, entries=1000)


@hostile("is damaged")
def zip_that_holds_more_than_it_says(folder: Path) -> Path:
    return raw_zip(folder / "x.zip", "train/a/{}.png", deflated(200), 100)


@hostile("compressed in a way that zips rarely are")
def zip_of_a_rare_kind(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("train/a/1.png", bytes(200 * MEGA))
    return folder / "x.zip"


@hostile("leads out of it")
def zip_that_climbs_out(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("../../train/a/1.png", picture())
    return folder / "x.zip"


@hostile("is encrypted")
def zip_that_is_encrypted(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("train/a/1.png", picture())
    data = bytearray((folder / "x.zip").read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + at] |= 1
    (folder / "x.zip").write_bytes(data)
    return folder / "x.zip"


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
