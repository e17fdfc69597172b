"""One image file to an array, the way people see the picture."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from nnlab.datasets.images import decode_image, render, render_arrays
from nnlab.datasets.rendering import (
    FILTERS,
    FITS,
    REMARKS,
    SUFFIX_OF,
    SUFFIXES,
    BadImageError,
    Rendering,
)

RED, GREEN, WHITE, BLACK = [255, 0, 0], [0, 255, 0], [255] * 3, [0] * 3


def stored(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def colours(height=12, width=10):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_give_back_every_pixel(kind):
    pixels = colours()
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(
        decode_image(stored(Image.fromarray(pixels), kind, **options), None, False), pixels
    )


def test_a_real_photograph_is_what_pillow_shows(photos_archive):
    from nnlab.datasets.decoders.containers import members

    for member in members(photos_archive):
        if not member.is_folder:
            content = member.read()
            expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
            np.testing.assert_array_equal(decode_image(content, None, False), expected)
            return


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation):
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8] = 255  # a white corner at the top left
    # What a camera held in each of the eight ways stores for this picture.
    turn = {
        1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1], 5: lambda p: p.transpose(1, 0, 2),
        6: np.rot90, 7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.ascontiguousarray(turn(upright)))
    decoded = decode_image(stored(picture, "PNG", exif=exif), None, False)
    np.testing.assert_array_equal(decoded, upright)


def test_what_is_transparent_shows_white():
    picture = Image.new("RGBA", (3, 1), (*RED, 255))
    picture.putpixel((1, 0), (*RED, 0))
    picture.putpixel((2, 0), (0, 0, 0, 128))
    pixels = decode_image(stored(picture), None, False)
    assert pixels[0, :2].tolist() == [RED, WHITE]
    assert 125 <= pixels[0, 2, 0] <= 129
    gray = Image.new("LA", (1, 1), (0, 0))
    assert decode_image(stored(gray), None, False).tolist() == [[WHITE]]


def test_palettes_become_colours_with_and_without_transparency():
    picture = Image.new("P", (2, 1))
    picture.putpalette([*GREEN, *RED])
    picture.putpixel((1, 0), 1)
    assert decode_image(stored(picture), None, False).tolist() == [[GREEN, RED]]
    assert decode_image(stored(picture, "GIF"), None, False).tolist() == [[GREEN, RED]]
    content = stored(picture, transparency=0)
    assert decode_image(content, None, False).tolist() == [[WHITE, RED]]


def test_sixteen_bits_become_eight():
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        pixels = decode_image(stored(Image.fromarray(values), kind), None, True)
        assert pixels[0, :, 0].tolist() == [0, 1, 128, 255]


def test_black_and_white_gray_and_cmyk_become_rgb():
    assert decode_image(stored(Image.new("1", (1, 1), 1)), None, False).tolist() == [[WHITE]]
    assert decode_image(stored(Image.new("L", (1, 1), 9)), None, False).tolist() == [[[9] * 3]]
    cmyk = stored(Image.new("CMYK", (1, 1), (0, 0, 0, 255)), "TIFF")
    assert decode_image(cmyk, None, False).tolist() == [[BLACK]]


def test_of_an_animation_the_first_frame_counts():
    frames = [Image.new("RGB", (2, 2), tuple(color)) for color in (RED, GREEN)]
    content = stored(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(content, None, False)[0, 0].tolist() == RED


def test_gray_and_size_are_the_same_for_files_and_for_arrays():
    pixels = colours(12, 10)
    content = stored(Image.fromarray(pixels))
    for gray in (False, True):
        one = decode_image(content, (5, 7), gray)
        assert one.shape == (5, 7, 1 if gray else 3)
        for fit in FITS:
            rendering = Rendering((5, 7), gray, fit, "lanczos")
            one, _ = render(content, rendering)
            np.testing.assert_array_equal(render_arrays(pixels[None], rendering)[0], one)


def test_a_resized_plain_picture_stays_plain():
    flat = np.full((1, 40, 30, 3), 77, np.uint8)
    for name in FILTERS:
        for fit in ("stretch", "crop"):
            assert (render_arrays(flat, Rendering((8, 8), fit=fit, filter=name)) == 77).all()


def png_of(width, height):
    """A PNG of a few bytes that claims so many pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image"),
        (b"hello", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (png_of(60_000, 60_000), "more than 50,000,000"),
        (png_of(9_000, 9_000), "9000 x 9000 pixels, more than 50,000,000"),
        (png_of(100, 100), "."),
        (stored(Image.fromarray(colours()), "JPEG")[:200], "."),
        (stored(Image.new("F", (4, 4), 0.5), "TIFF"), "floating-point"),
        (stored(Image.new("I", (4, 4), 70_000), "TIFF"), "more than 16 bits"),
    ],
    ids=[
        "empty", "text", "svg", "huge", "large", "few-pixels", "cut", "floats", "32-bits",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_error_with_a_reason(content, message):
    with pytest.raises(BadImageError, match=message) as caught:
        decode_image(content, None, False)
    assert str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_a_damaged_file_is_read_or_refused_but_nothing_else(kind):
    original = stored(Image.fromarray(colours()), kind)
    rng = np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(original)
        for at in rng.integers(0, len(content), 3):
            content[at] = rng.integers(256)
        try:
            pixels = decode_image(bytes(content[: rng.integers(1, len(content) + 1)]), None, False)
        except BadImageError:
            continue
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3


def test_what_may_be_worth_telling_is_told():
    frames = [Image.new("RGB", (4, 4), tuple(color)) for color in (RED, GREEN)]
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb = Image.fromarray(colours())
    told = {
        "a.png": (stored(rgb), ()),
        "a.JPG": (stored(rgb), ("misnamed",)),
        "a.jpg": (stored(rgb, "JPEG", exif=exif), ("turned",)),
        "a.gif": (stored(frames[0], "GIF", save_all=True, append_images=frames[1:]), ("animated",)),
        "b.png": (stored(Image.new("LA", (2, 2))), ("transparent",)),
        "c.png": (stored(Image.fromarray(np.zeros((2, 2), np.uint16))), ("deep",)),
        "a.tif": (stored(Image.new("CMYK", (2, 2)), "TIFF"), ("cmyk",)),
    }
    for name, (content, remarks) in told.items():
        assert render(content, Rendering(), name)[1] == remarks
    assert {remark for _, remarks in told.values() for remark in remarks} == set(REMARKS)
    assert {suffix for suffixes in SUFFIX_OF.values() for suffix in suffixes} == set(SUFFIXES)


def test_proportions_are_stretched_cropped_or_padded():
    # A wide picture of three squares: red, green, blue.
    pixels = np.zeros((20, 60, 3), np.uint8)
    for index in range(3):
        pixels[:, 20 * index : 20 * (index + 1), index] = 255
    content = stored(Image.fromarray(pixels))

    def shown(fit):
        return render(content, Rendering((20, 20), fit=fit, filter="box"))[0]

    np.testing.assert_array_equal(shown("crop"), pixels[:, 20:40])
    padded = shown("pad")
    assert (padded[:6] == 0).all()
    assert (padded[-7:] == 0).all()
    assert padded[10, 3].tolist() == RED
    assert padded[10, 10].tolist() == GREEN
    stretched = shown("stretch")
    assert stretched[0, 3].tolist() == RED
    assert stretched[-1, 16].tolist() == [0, 0, 255]


def test_a_large_photograph_is_read_small_and_looks_the_same():
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).resize((1200, 800))
    content = stored(smooth, "JPEG", quality=95)
    small = render(content, Rendering((32, 48)))[0].astype(int)
    whole = Image.open(io.BytesIO(content)).resize((48, 32), Image.Resampling.BICUBIC)
    assert np.abs(small - np.asarray(whole)).max() <= 2
