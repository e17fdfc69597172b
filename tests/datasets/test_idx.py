"""IDX files: the published ones are read to the last byte, everything else is refused."""

import gzip
import re
import struct

import numpy as np
import pytest
from idx_files import write_idx

from nnlab.datasets.decoders import DecodeOptions, idx
from nnlab.errors import FileFormatError, InputError

OPTIONS = DecodeOptions()


def test_images_and_labels_come_out_as_they_were_stored(idx_folder, fashion):
    decoded = idx.decode([idx_folder], OPTIONS)
    assert set(decoded.splits) == {"train", "test"}
    assert decoded.classes == [str(digit) for digit in range(10)]
    for split, (images, labels) in fashion.items():
        np.testing.assert_array_equal(decoded.splits[split].images[..., 0], images)
        np.testing.assert_array_equal(decoded.splits[split].labels, labels)


@pytest.mark.parametrize(
    ("kind", "code"),
    [(">u1", 8), (">i1", 9), (">i2", 11), (">i4", 12), (">f4", 13), (">f8", 14)],
)
def test_every_type_of_the_format_is_read(tmp_path, kind, code):
    array = np.arange(6).reshape(2, 3).astype(kind)
    path = tmp_path / "x"
    path.write_bytes(struct.pack(">4B2I", 0, 0, code, 2, 2, 3) + array.tobytes())
    read = idx.read_idx(path)
    assert read.dtype == np.dtype(kind)
    np.testing.assert_array_equal(read, array)


def header(*dimensions, code=8):
    return struct.pack(f">4B{len(dimensions)}I", 0, 0, code, len(dimensions), *dimensions)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an IDX file"),
        (b"\0\0\x08", "is not an IDX file"),
        (b"<html><body>404</body></html>", "is not an IDX file: it begins with '3c 68 74 6d'"),
        (header(4, code=7) + b"1234", "is not an IDX file"),
        (header(2, 2)[:9], "is cut short within its header"),
        (header(10) + b"123456789", "is cut short: 9 bytes of data, its header claims 10"),
        (header(10) + b"12345678901", "has more than the 10 bytes its header claims"),
        (header(2**30, 2**10) + b"1", "is cut short: its header claims 1,099,511,627,776 bytes"),
        (b"\x1f\x8bnonsense", "is damaged"),
        (gzip.compress(header(10) + b"1234567890", mtime=0)[:-12], "is damaged"),
        (gzip.compress(header(10) + b"1234567890"[:-1], mtime=0), "is cut short: 9 bytes"),
        (gzip.compress(header(10) + bytes(50_000_000), mtime=0), "has more than the 10 bytes"),
    ],
)
def test_what_is_no_whole_idx_file_is_refused(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=re.escape(message)):
        idx.read_idx(path)


def test_a_real_file_cut_anywhere_is_refused(fashion_dir, tmp_path):
    content = (fashion_dir / "t10k-labels-idx1-ubyte.gz").read_bytes()
    path = tmp_path / "cut.gz"
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(FileFormatError):
            idx.read_idx(path)


def test_images_and_labels_of_different_number_do_not_belong_together(idx_folder, fashion):
    write_idx(idx_folder / "t10k-labels-idx1-ubyte", fashion["test"][1][:-1])
    with pytest.raises(InputError, match=r"has 100 images .* there are 99 labels"):
        idx.decode([idx_folder], OPTIONS)


def test_a_missing_or_doubled_file_is_named(idx_folder, fashion):
    (idx_folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match="lacks the labels of the test split"):
        idx.decode([idx_folder], OPTIONS)
    write_idx(idx_folder / "train-labels-idx1-ubyte", fashion["train"][1])
    with pytest.raises(InputError, match="has both train-labels-idx1-ubyte and train-labels"):
        idx.decode([idx_folder], OPTIONS)


def test_labels_in_place_of_images_are_noticed(idx_folder, fashion):
    write_idx(idx_folder / "t10k-images-idx3-ubyte", fashion["test"][1])
    with pytest.raises(FileFormatError, match="not gray or RGB images"):
        idx.decode([idx_folder], OPTIONS)


def test_labels_that_are_no_classes_are_refused(idx_folder):
    labels = np.zeros(100, ">i4")
    labels[5] = 2**31 - 1
    content = header(100, code=0x0C) + labels.tobytes()
    (idx_folder / "t10k-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(FileFormatError, match="has a label 2,147,483,647"):
        idx.decode([idx_folder], OPTIONS)


def test_a_file_without_images_is_refused(idx_folder):
    write_idx(idx_folder / "t10k-images-idx3-ubyte", np.zeros((0, 28, 28)))
    write_idx(idx_folder / "t10k-labels-idx1-ubyte", np.zeros(0))
    with pytest.raises(InputError, match="holds no images"):
        idx.decode([idx_folder], OPTIONS)
