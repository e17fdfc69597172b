"""Some forty odd image files: decoded as people see them, or named with a reason and left out.

The whole way is tried: class folders, `preprocess`, the data file. And files damaged at random are
read or refused, and nothing else.
"""

import io
import os
import resource
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from nnlab.datasets import open_data
from nnlab.datasets.images import render
from nnlab.datasets.preprocess import PreprocessOptions, preprocess
from nnlab.datasets.rendering import MAX_PIXELS, BadImageError, Rendering

SIZE = (12, 16)
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
RED, GREEN, WHITE, BLACK, GRAY = (255, 0, 0), (0, 255, 0), (255,) * 3, (0,) * 3, (128,) * 3


def stored(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def plain(mode, colour, size=SIZE):
    return Image.new(mode, size[::-1], colour)


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, data=b"", depth=8, colour=0, before=b""):
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + header + before + body + chunk(b"IEND", b"")


def turned(orientation):
    """A picture that is white at the top left once it is upright, as a camera stores it."""
    upright = np.zeros((*SIZE, 3), np.uint8)
    upright[:6, :8] = 255
    back = {3: 2, 6: 1, 8: 3}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.ascontiguousarray(np.rot90(upright, back)))
    return stored(picture, "JPEG", quality=100, exif=exif)


def animated(kind):
    frames = [plain("RGB", colour) for colour in (RED, GREEN, WHITE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    return stored(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def deep(values, kind):
    return stored(Image.fromarray(np.full(SIZE, values, np.uint16)), kind)


def gif_without_frames():
    return b"GIF89a" + struct.pack("<HHBBB", 16, 12, 0, 0, 0) + b";"


PALETTE = plain("P", 0)
PALETTE.putpalette([*GREEN, *RED])
JPEG = stored(plain("RGB", GRAY), "JPEG")
NOISE = Image.effect_noise((64, 64), 90)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

# What a person sees at the top left, and at the bottom right; within a few levels for JPEG.
DECODED = {
    "rgb.png": (stored(plain("RGB", RED)), RED, RED),
    "gray.png": (stored(plain("L", 128)), GRAY, GRAY),
    "one-bit.png": (stored(plain("1", 1)), WHITE, WHITE),
    "one-bit.pbm": (stored(plain("1", 0), "PPM"), BLACK, BLACK),
    "four-bit.png": (png(16, 12, (b"\x00" + b"\x88" * 8) * 12, depth=4), (136,) * 3, (136,) * 3),
    "palette.png": (stored(PALETTE), GREEN, GREEN),
    "palette-see-through.png": (stored(PALETTE, transparency=0), WHITE, WHITE),
    "palette.gif": (stored(PALETTE, "GIF"), GREEN, GREEN),
    "palette.bmp": (stored(PALETTE, "BMP"), GREEN, GREEN),
    "see-through.png": (stored(plain("RGBA", (*RED, 0))), WHITE, WHITE),
    "half-see-through.png": (stored(plain("RGBA", (0, 0, 0, 128))), (127,) * 3, (127,) * 3),
    "gray-alpha.png": (stored(plain("LA", (0, 0))), WHITE, WHITE),
    "see-through.webp": (stored(plain("RGBA", (*RED, 0)), "WEBP", lossless=True), WHITE, WHITE),
    "colour-key.png": (stored(plain("RGB", RED), transparency=RED), WHITE, WHITE),
    "sixteen-bit.png": (deep(32896, "PNG"), GRAY, GRAY),
    "sixteen-bit.tif": (deep(65535, "TIFF"), WHITE, WHITE),
    "sixteen-bit.pgm": (deep(32896, "PPM"), GRAY, GRAY),
    "cmyk.jpg": (stored(plain("CMYK", (0, 0, 0, 0)), "JPEG"), WHITE, WHITE),
    "cmyk.tif": (stored(plain("CMYK", (0, 255, 255, 0)), "TIFF"), RED, RED),
    "ycbcr.tif": (stored(plain("YCbCr", (128, 128, 128)), "TIFF"), GRAY, GRAY),
    "lab.tif": (stored(plain("LAB", (255, 128, 128)), "TIFF"), None, None),
    "profile.jpg": (stored(plain("RGB", GRAY), "JPEG", icc_profile=SRGB), GRAY, GRAY),
    "progressive.jpg": (stored(plain("RGB", GRAY), "JPEG", progressive=True), GRAY, GRAY),
    "turned-3.jpg": (turned(3), WHITE, BLACK),
    "turned-6.jpg": (turned(6), WHITE, BLACK),
    "turned-8.jpg": (turned(8), WHITE, BLACK),
    "animated.gif": (animated("GIF"), RED, RED),
    "animated.webp": (animated("WEBP"), RED, RED),
    "animated.png": (animated("PNG"), RED, RED),
    "pages.tif": (animated("TIFF"), RED, RED),
    "really-a.jpg": (stored(plain("RGB", RED)), RED, RED),
    "really-a.png": (JPEG, GRAY, GRAY),
    "UPPER.JPG": (JPEG, GRAY, GRAY),
    "garbage-after.jpg": (JPEG + b"\0" * 1000, GRAY, GRAY),
    "one-pixel.png": (stored(plain("RGB", RED, (1, 1))), RED, RED),
    "long.png": (stored(plain("RGB", RED, (1, 3000))), RED, RED),
    "wrong-exif.jpg": (stored(plain("RGB", GRAY), "JPEG", exif=b"Exif\0\0junk"), GRAY, GRAY),
}
REFUSED = {
    "empty.png": (b"", "not an image"),
    "text.jpg": (b"hello", "not an image"),
    "html.jpg": (b"<!DOCTYPE html><title>404</title>", "not an image"),
    "svg.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "cut.jpg": (stored(NOISE, "JPEG")[:900], "truncated"),
    "cut.png": (stored(NOISE)[:900], ""),
    "header-only.png": (stored(plain("RGB", RED))[:33], ""),
    "damaged.png": (stored(NOISE)[:400] + b"\0" * 99 + stored(NOISE)[499:], ""),
    "no-pixels.png": (png(0, 0), ""),
    "no-frame.gif": (gif_without_frames(), ""),
    "claims-60000.png": (png(60_000, 60_000, b"\0" * 1000), "60000 x 60000|more than 50,000,000"),
    "claims-60000.bmp": (
        stored(plain("RGB", RED), "BMP")[:18] + struct.pack("<ii", 60_000, 60_000) + b"\1\0\x18\0"
        + b"\0" * 200, "more than 50,000,000",
    ),
    "bomb.png": (png(9000, 9000, b"\0" * (9001 * 9000)), "9000 x 9000 pixels, more than 50,000"),
    "text-bomb.png": (
        png(16, 12, b"\0" * 17 * 12, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 2**26))),
        "",
    ),
    "floats.tif": (stored(plain("F", 0.5), "TIFF"), "floating-point"),
    "deeper.tif": (stored(plain("I", 70_000), "TIFF"), "more than 16 bits"),
}  # fmt: skip


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A class folder of all of them."""
    folder = tmp_path_factory.mktemp("odd") / "odd"
    for name, (content, *_) in (DECODED | REFUSED).items():
        path = folder / "things" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "others").mkdir()
    (folder / "others" / "plain.png").write_bytes(stored(plain("RGB", RED)))
    return folder


@pytest.fixture(scope="module")
def prepared(odd):
    output = odd.parent / "odd.h5"
    options = PreprocessOptions(size=SIZE, skip_bad=True, filter="nearest")
    return preprocess(str(odd), output, options, workers=2), output


def test_there_are_forty_and_more():
    assert len(DECODED) + len(REFUSED) >= 40


def test_each_is_decoded_as_people_see_it(prepared):
    summary, output = prepared
    with open_data(output) as data:
        images = data.split("train").images
        rows = {name: row for row, name in enumerate(data.provenance.files["train"])}
        for name, (_, first, last) in DECODED.items():
            image = images[rows[f"things/{name}"]].astype(int)
            if first is not None:
                assert np.abs(image[0, 0] - first).max() <= 3, name
                assert np.abs(image[-1, -1] - last).max() <= 3, name
    assert sum(summary.counts["train"]) == len(DECODED) + 1


def test_each_of_the_others_is_named_with_its_reason(prepared):
    summary, output = prepared
    reasons = {name.removeprefix("things/"): reason for name, reason in summary.unreadable}
    assert set(reasons) == set(REFUSED)
    for name, (_, message) in REFUSED.items():
        assert reasons[name], name
        assert any(part in reasons[name] for part in message.split("|")), (name, reasons[name])
    with open_data(output) as data:
        left_out = dict(data.provenance.left_out)
    assert left_out["things/text.jpg"] == "unreadable: not an image of a known format"


def test_what_is_noteworthy_is_said(prepared):
    notes = "\n".join(prepared[0].notes)
    for text in ("turned upright", "shown on white", "the first was taken", "16 bits", "CMYK",
                 "in another format than their names say"):  # fmt: skip
        assert text in notes
    assert "really-a.jpg" in notes
    assert "really-a.png" in notes


def test_a_picture_that_claims_too_much_takes_no_memory(odd, tmp_path):
    """In a process that may have 600 MB: 60,000 x 60,000 pixels would be 3.6 GB."""
    program = (
        "import sys\nfrom nnlab.datasets.images import *\nfrom nnlab.datasets.rendering import *\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        render(open(path, 'rb').read(), Rendering())\n"
        "    except BadImageError as error:\n        print(error)\n"
    )
    names = ("claims-60000.png", "claims-60000.bmp", "bomb.png", "text-bomb.png")
    limit = 600 * 2**20
    done = subprocess.run(
        [sys.executable, "-c", program, *(odd / "things" / name for name in names)],
        capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == len(names)
    assert "memory" not in done.stdout
    assert MAX_PIXELS < 9000 * 9000


def damaged(original, rng):
    """A file with a few bytes changed, cut out or put in."""
    content = bytearray(original)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(len(content)))
        match rng.integers(4):
            case 0:
                content[at] ^= 1 << rng.integers(8)
            case 1:
                content[at : at + 4] = rng.bytes(4)
            case 2:
                del content[at : at + int(rng.integers(1, 40))]
            case 3:
                content[at:at] = rng.bytes(int(rng.integers(1, 9)))
        if not content:
            break
    return bytes(content)


def try_damaged(count, seed):
    """Decode so many damaged files; returns how many were refused."""
    picture = Image.effect_noise((40, 30), 60).convert("RGB")
    palette, see_through = picture.quantize(16), picture.copy()
    see_through.putalpha(picture.convert("L"))
    originals = [stored(picture, kind) for kind in FORMATS]
    originals += [stored(see_through), stored(palette, "GIF"), animated("GIF"), turned(6)]
    rng = np.random.default_rng(seed)
    reasons = []
    for number in range(count):
        content = damaged(originals[number % len(originals)], rng)
        rendering = Rendering((8, 8), bool(rng.integers(2)), ("stretch", "crop", "pad")[number % 3])
        try:
            pixels, _ = render(content, rendering)
        except BadImageError as error:
            reasons.append(str(error))
        else:
            assert pixels.shape == (8, 8, rendering.channels)
            assert pixels.dtype == np.uint8
    assert all(reason and "\n" not in reason for reason in reasons)
    return len(reasons)


def test_a_thousand_files_damaged_at_random_are_read_or_refused(capfd):
    assert 100 < try_damaged(1100, seed=1) < 1100
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_twenty_thousand_files_damaged_at_random_are_read_or_refused(capfd):
    assert try_damaged(20_000, seed=2) > 1000
    out, err = capfd.readouterr()
    assert out == ""
    # The C library of TIFF has its own mouth; `preprocess` shuts it in the processes that decode.
    assert all(line.startswith("TIFF") for line in err.splitlines())
