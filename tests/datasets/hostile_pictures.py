"""Pictures that claim more pixels than anybody has memory for."""

import struct
import zlib
from pathlib import Path

from hostile_making import hostile


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


@hostile("60,?000 x 60,?000|pixels")
def picture_of_60000_by_60000(folder: Path) -> Path:
    return picture_claim(folder, 60_000, 60_000)
