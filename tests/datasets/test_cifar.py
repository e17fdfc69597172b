"""CIFAR batches, binary and Python: the same images from both, and no pickle is ever run."""

import io
import os
import pickle
import re
import tarfile

import numpy as np
import pytest

from nnlab.datasets.decoders import DecodeOptions, cifar, cifar_python, decoder_for
from nnlab.errors import FileFormatError, InputError

OPTIONS = DecodeOptions()
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture(scope="module")
def batches():
    """Name -> (pixels as stored (N, 3072), labels)."""
    rng = np.random.default_rng(0)
    return {
        name: (rng.integers(0, 256, (count, 3072), np.uint8), rng.integers(0, 10, count))
        for name, count in (("data_batch_1", 20), ("data_batch_2", 20), ("test_batch", 10))
    }


def add(archive, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def binary(batches, tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, (pixels, labels) in batches.items():
            records = np.column_stack([labels.astype(np.uint8), pixels])
            add(archive, f"cifar-10-batches-bin/{name}.bin", records.tobytes())
        add(archive, "cifar-10-batches-bin/batches.meta.txt", "\n".join([*NAMES, ""]).encode())
    return path


def python_folder(batches, folder, protocol=2):
    folder.mkdir()
    for name, (pixels, labels) in batches.items():
        content = {b"data": pixels, b"labels": labels.tolist(), b"batch_label": name}
        (folder / name).write_bytes(pickle.dumps(content, protocol))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": NAMES}, protocol))
    return folder


def check(decoded, batches):
    assert decoded.classes == NAMES
    train = [batches["data_batch_1"], batches["data_batch_2"]]
    for split, parts in (("train", train), ("test", [batches["test_batch"]])):
        pixels = np.concatenate([pixels for pixels, _ in parts])
        part = decoded.splits[split]
        np.testing.assert_array_equal(part.labels, np.concatenate([y for _, y in parts]))
        # Stored red, then green, then blue, each row by row.
        assert part.images[7, 2, 5].tolist() == [pixels[7, c * 1024 + 2 * 32 + 5] for c in range(3)]
        restored = part.images.transpose(0, 3, 1, 2).reshape(len(pixels), 3072)
        np.testing.assert_array_equal(restored, pixels)


def test_the_binary_edition_is_read_from_its_archive(binary, batches):
    assert decoder_for(binary).decode is cifar.decode
    check(cifar.decode([binary], OPTIONS), batches)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_python_edition_is_read_whatever_the_protocol(batches, tmp_path, protocol):
    folder = python_folder(batches, tmp_path / "py", protocol)
    if protocol == pickle.HIGHEST_PROTOCOL:
        # Newer protocols store arrays in ways that the published batches (protocol 2) do not.
        with pytest.raises(FileFormatError, match="refused"):
            cifar_python.decode([folder], OPTIONS)
        return
    assert decoder_for(folder).decode is cifar_python.decode
    check(cifar_python.decode([folder], OPTIONS), batches)


def python2_batch(pixels, labels):
    """Write what Python 2's cPickle wrote: byte strings, numpy.core.multiarray, protocol 2."""

    def raw(data):
        return b"T" + len(data).to_bytes(4, "little") + data

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + raw(b"b") + b"tR"
        b"(K\x01K" + bytes([len(pixels)]) + b"M\x00\x0c\x86"
        b"cnumpy\ndtype\n(" + raw(b"u1") + b"K\x00K\x01tR"
        b"(K\x03" + raw(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89" + raw(pixels.tobytes()) + b"tb"
    )
    items = b"".join(b"K" + bytes([label]) for label in labels)
    return b"\x80\x02}(" + raw(b"data") + array + raw(b"labels") + b"](" + items + b"e" + b"u."


def test_a_batch_as_python_2_wrote_it_is_read(batches, tmp_path):
    folder = python_folder(batches, tmp_path / "py")
    for name, (pixels, labels) in batches.items():
        (folder / name).write_bytes(python2_batch(pixels, labels))
    check(cifar_python.decode([folder], OPTIONS), batches)


def test_cifar_100_takes_the_fine_labels(batches, tmp_path):
    pixels, labels = batches["data_batch_1"]
    coarse = np.full(len(labels), 19)
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    for name in ("train.bin", "test.bin"):
        records = np.column_stack([coarse.astype(np.uint8), labels.astype(np.uint8), pixels])
        (folder / name).write_bytes(records.tobytes())
    np.testing.assert_array_equal(cifar.decode([folder], OPTIONS).splits["train"].labels, labels)

    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    content = {"data": pixels, "fine_labels": labels.tolist(), "coarse_labels": coarse.tolist()}
    for name in ("train", "test"):
        (folder / name).write_bytes(pickle.dumps(content, 2))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": NAMES}, 2))
    decoded = decoder_for(folder).decode([folder], OPTIONS)
    np.testing.assert_array_equal(decoded.splits["test"].labels, labels)


def test_a_binary_batch_of_odd_length_is_refused(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3073 * 2 - 1))
    with pytest.raises(FileFormatError, match="no whole number of 3073-byte records"):
        cifar.decode([tmp_path], OPTIONS)


class Command:
    """What an attacker would pickle."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def hostile(marker):
    return [
        pickle.dumps({"data": Command(os.system, f"touch {marker}")}, 2),
        pickle.dumps(Command(exec, f"open({str(marker)!r}, 'w')"), 4),
        pickle.dumps({"data": Command(eval, "1")}, 0),
        b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'__class__'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
        b"\x80\x02cnumpy\nload\n(S'/etc/passwd'\ntR.",
        b"c__main__\nx\n.",
        b"Ppersistent\n.",
        b"\x80\x02\x82\x01.",
    ]


def test_a_pickle_that_would_run_a_command_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "was-run"
    for content in hostile(marker):
        with pytest.raises(FileFormatError, match=r"refused|damaged"):
            cifar_python.load(content, "x")
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x80\x02}.",
        b"\x80\x02].",
        b"\x80\x02N.",
        b"\x80\x02" + b"(l" * 100_000 + b".",
        b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b".",
        pickle.dumps({"data": 5, "labels": [1]}, 2),
        pickle.dumps({"data": np.zeros((2, 3072)), "labels": [1, 2]}, 2),
        pickle.dumps({"data": np.zeros((2, 100), np.uint8), "labels": [1, 2]}, 2),
        pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}, 2),
        pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1, -1]}, 2),
        pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1, "2"]}, 2),
        pickle.dumps({"data": np.asfortranarray(np.zeros((2, 3072), np.uint8)), "labels": [1, 2]}),
    ],
)
def test_what_is_no_batch_is_refused(tmp_path, content):
    (tmp_path / "data_batch_1").write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        cifar_python.decode([tmp_path], OPTIONS)
    assert "\n" not in str(caught.value)


def test_random_damage_never_gets_past_the_reader(batches, tmp_path):
    pixels, labels = batches["test_batch"]
    original = pickle.dumps({"data": pixels, "labels": labels.tolist()}, 2)
    rng = np.random.default_rng(0)
    for _ in range(400):
        content = bytearray(original)
        ends = np.concatenate([np.arange(200), np.arange(len(content) - 200, len(content))])
        for at in rng.choice(ends, 3):
            content[at] = rng.integers(256)
        try:
            batch = cifar_python._batch(cifar_python.load(bytes(content), "x"), "x")
        except FileFormatError:
            continue
        assert batch[0].shape == (10, 3072)


def test_a_folder_without_training_batches_is_named(tmp_path):
    (tmp_path / "test_batch.bin").write_bytes(bytes(3073))
    with pytest.raises(InputError, match=re.escape("holds no data_batch_1.bin")):
        cifar.decode([tmp_path], OPTIONS)
