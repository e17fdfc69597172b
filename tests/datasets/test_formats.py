"""Every format gives the same images: Fashion-MNIST written as others publish theirs."""

import bz2
import gzip
import io
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
from idx_files import write_idx

from nnlab.datasets import open_data, write_data
from nnlab.datasets.card_decoding import decode_card
from nnlab.datasets.card_file import parse_card
from nnlab.datasets.decoders import DECODERS, DecodeOptions, Reading, decoder_for
from nnlab.errors import FileFormatError, InputError

OPTIONS = DecodeOptions()


def as_npz(fashion, folder):
    arrays = {}
    for split, (images, labels) in fashion.items():
        arrays |= {f"x_{split}": images, f"y_{split}": labels}
    np.savez_compressed(folder / "mnist.npz", **arrays)
    return folder / "mnist.npz"


def as_npz_of_splits(fashion, folder):
    for split, (images, labels) in fashion.items():
        np.savez(folder / f"letters-{split}.npz", images=images[..., None], labels=labels)
    return folder


def as_hdf5(fashion, folder):
    with h5py.File(folder / "images.hdf5", "w") as file:
        file.attrs["creator"] = "somebody else"  # a string of variable length
        file["notes"] = ["also", "of variable", "length"]
        for split, (images, labels) in fashion.items():
            file.create_dataset(f"{split}/images", data=images, compression="gzip", chunks=True)
            file[f"{split}_labels"] = labels.astype(np.float64)
    return folder / "images.hdf5"


def as_data_file(fashion, folder):
    splits = {
        split: (images[..., None], labels.astype(np.int64))
        for split, (images, labels) in fashion.items()
    }
    write_data(
        folder / "fashion.h5", name="f", source="", options={}, classes=list("0123456789"),
        splits=splits,
    )  # fmt: skip
    return folder / "fashion.h5"


def as_mat(fashion, folder):
    savemat = pytest.importorskip("scipy.io").savemat
    for split, (images, labels) in fashion.items():
        content = {"X": np.moveaxis(images[..., None], 0, 3), "y": labels[:, None]}
        savemat(folder / f"{split}_28x28.mat", content, do_compression=split == "train")
    return folder


def as_csv(fashion, folder):
    for split, (images, labels) in fashion.items():
        rows = [f"pixel{i}" for i in range(784)]
        lines = [",".join(["label", *rows])]
        for image, label in zip(images, labels, strict=True):
            lines.append(",".join(map(str, [label, *image.ravel()])))
        (folder / f"fashion-mnist_{split}.csv").write_text("\n".join(lines))
    return folder


def as_csv_without_header(fashion, folder):
    for split, (images, labels) in fashion.items():
        with gzip.open(folder / f"{split}.csv.gz", "wt") as file:
            for image, label in zip(images, labels, strict=True):
                values = [repr(float(value)) for value in image.ravel() / np.float32(255)]
                file.write(";".join([*values, str(label)]) + "\r\n")
    return folder


def as_libsvm(fashion, folder):
    for split, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        images, labels = fashion[split]
        lines = []
        for image, label in zip(images.reshape(len(images), -1), labels, strict=True):
            values = image / 127.5 - 1
            pairs = " ".join(f"{i + 1}:{value:.6f}" for i, value in enumerate(values) if value)
            lines.append(f"{label} {pairs}")
        (folder / name).write_bytes(bz2.compress("\n".join(lines).encode()))
    (folder / "usps.bz2").rename(folder / "usps.train.bz2")
    return folder


def idx_bytes(folder, array):
    return write_idx(folder / "x.gz", array).read_bytes()


def as_zip_of_idx(fashion, folder):
    with zipfile.ZipFile(folder / "gzip.zip", "w") as archive:
        for split, (images, labels) in fashion.items():
            for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
                name = f"gzip/emnist-digits-{split}-{kind}-ubyte.gz"
                archive.writestr(name, idx_bytes(folder.parent, array))
    return folder / "gzip.zip"


def as_tar_of_idx(fashion, folder):
    with tarfile.open(folder / "mnist.tar.xz", "w:xz") as archive:
        for split, (images, labels) in fashion.items():
            for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
                data = idx_bytes(folder.parent, array)
                info = tarfile.TarInfo(f"./mnist/{split}-{kind}-ubyte.gz")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return folder / "mnist.tar.xz"


FORMATS = {
    "npz": (as_npz, as_npz_of_splits),
    "hdf5": (as_hdf5, as_data_file),
    "mat": (as_mat,),
    "csv": (as_csv, as_csv_without_header),
    "libsvm": (as_libsvm,),
    "idx": (as_zip_of_idx, as_tar_of_idx),
}
WAYS = [(name, write) for name, ways in FORMATS.items() for write in ways]


def check(decoded, fashion):
    assert decoded.classes == [str(digit) for digit in range(10)]
    assert set(decoded.splits) == {"train", "test"}
    for split, (images, labels) in fashion.items():
        part = decoded.splits[split]
        assert part.images.dtype == np.uint8
        np.testing.assert_array_equal(part.images[..., 0], images)
        np.testing.assert_array_equal(part.labels, labels)


@pytest.mark.parametrize(("name", "write"), WAYS, ids=lambda item: getattr(item, "__name__", item))
def test_a_format_is_recognised_and_gives_the_images(name, write, fashion, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    source = write(fashion, folder)
    decoder = decoder_for(source)
    assert decoder is DECODERS[name]
    check(decoder.decode([source], OPTIONS), fashion)


@pytest.mark.parametrize("write", [as_npz, as_hdf5, as_zip_of_idx, as_tar_of_idx])
def test_content_tells_the_format_not_the_name(write, fashion, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    source = write(fashion, folder).rename(tmp_path / "download")
    check(decoder_for(source).decode([source], OPTIONS), fashion)


def test_a_split_may_be_a_single_file(fashion, tmp_path):
    as_csv(fashion, tmp_path)
    source = tmp_path / "fashion-mnist_train.csv"
    decoded = decoder_for(source).decode([source], OPTIONS)
    assert list(decoded.splits) == ["train"]
    np.testing.assert_array_equal(decoded.splits["train"].labels, fashion["train"][1])


CARD = """
name = "own"
title = "Own"
licence = "CC0"
citation = "nobody"
home = "here"
format = "{format}"
shape = [{shape}]
classes = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]
[reading]
{reading}
"""


def card(kind, reading, files, shape="28, 28, 1"):
    text = CARD.format(format=kind, reading=reading, shape=shape)
    for name, split in files:
        text += f'[[files]]\nname = "{name}"\nsize = 1\nunverified = "made here"\n'
        text += f'split = "{split}"\n' if split else ""
    return parse_card(text, "own.toml")


def test_a_card_turns_chooses_and_renumbers(fashion, tmp_path):
    """EMNIST: one archive of several sets, stored column by column, letters from 1."""
    path = tmp_path / "gzip.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for split, (images, labels) in fashion.items():
            turned = images.transpose(0, 2, 1)
            for name, shift in (("letters", 1), ("digits", 0)):
                stem = f"gzip/emnist-{name}-{split}"
                archive.writestr(
                    f"{stem}-images-idx3-ubyte.gz", idx_bytes(tmp_path, turned[: 50 + shift])
                )
                archive.writestr(
                    f"{stem}-labels-idx1-ubyte.gz",
                    idx_bytes(tmp_path, labels[: 50 + shift] + shift),
                )
    reading = 'select = "emnist-letters"\nfirst_label = 1\ntransposed = true'
    decoded = decode_card(card("idx", reading, [("gzip.zip", "")]), [path], OPTIONS)
    assert decoded.classes == list("abcdefghij")
    for split, (images, labels) in fashion.items():
        np.testing.assert_array_equal(decoded.splits[split].images[..., 0], images[:51])
        np.testing.assert_array_equal(decoded.splits[split].labels, labels[:51])
    with pytest.raises(InputError, match="has both"):
        DECODERS["idx"].decode([path], OPTIONS)


def test_a_card_says_which_file_is_which_split_and_what_10_means(fashion, tmp_path):
    """SVHN: images last, ten for zero, two files."""
    as_mat({k: (x, np.where(y == 0, 10, y)) for k, (x, y) in fashion.items()}, tmp_path)
    files = [("test_28x28.mat", "test"), ("train_28x28.mat", "train")]
    paths = [tmp_path / name for name, _ in files]
    decoded = decode_card(card("mat", "zero_label = 10", files), paths, OPTIONS)
    for split, (images, labels) in fashion.items():
        np.testing.assert_array_equal(decoded.splits[split].images[..., 0], images)
        np.testing.assert_array_equal(decoded.splits[split].labels, labels)


def test_labels_of_qmnist_are_the_first_of_eight(fashion, tmp_path):
    for split, (images, labels) in fashion.items():
        write_idx(tmp_path / f"qmnist-{split}-images-idx3-ubyte.gz", images)
        extended = np.column_stack([labels, *[np.full(len(labels), 7)] * 7]).astype(">i4")
        header = bytes([0, 0, 12, 2]) + len(labels).to_bytes(4, "big") + (8).to_bytes(4, "big")
        path = tmp_path / f"qmnist-{split}-labels-idx2-int.gz"
        path.write_bytes(gzip.compress(header + extended.tobytes(), 1))
    check(decoder_for(tmp_path).decode([tmp_path], OPTIONS), fashion)


def test_cards_with_other_counts_or_classes_than_the_files_are_told(fashion, tmp_path):
    path = as_npz(fashion, tmp_path)
    wanted = card("npz", "", [("mnist.npz", "")])
    assert decode_card(wanted, [path], OPTIONS).notes == []
    text = CARD.format(format="npz", reading="", shape="28, 28, 1")
    text += '[[files]]\nname = "mnist.npz"\nsize = 1\nunverified = "x"\n[splits]\ntrain = 5'
    notes = decode_card(parse_card(text, "x"), [path], OPTIONS).notes
    assert notes == ["the train split has 600 images, its card says 5"]
    with pytest.raises(FileFormatError, match="labels below 1"):
        decode_card(card("npz", "first_label = 1", [("mnist.npz", "")]), [path], OPTIONS)
    few = parse_card(text.replace(', "j"]', "]"), "x")
    with pytest.raises(FileFormatError, match="have a label 9; Own has 9 classes"):
        decode_card(few, [path], OPTIONS)


def test_stl_10_is_stored_column_by_column(tmp_path):
    rng = np.random.default_rng(0)
    images = {split: rng.integers(0, 256, (4, 96, 96, 3), np.uint8) for split in ("train", "test")}
    path = tmp_path / "stl10_binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in [
            *[(f"{s}_X.bin", x.transpose(0, 3, 2, 1).tobytes()) for s, x in images.items()],
            *[(f"{s}_y.bin", bytes([1, 10, 2, 3])) for s in images],
            ("class_names.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n"),
        ]:
            info = tarfile.TarInfo(f"stl10_binary/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    decoder = decoder_for(path)
    assert decoder is DECODERS["stl10-binary"]
    decoded = decoder.decode([path], OPTIONS)
    assert decoded.classes == list("abcdefghij")
    for split, wanted in images.items():
        np.testing.assert_array_equal(decoded.splits[split].images, wanted)
        assert decoded.splits[split].labels.tolist() == [0, 9, 1, 2]


def test_coarse_labels_of_cifar_100(tmp_path):
    records = np.zeros((3, 3074), np.uint8)
    records[:, 0], records[:, 1] = [5, 6, 7], [50, 60, 70]
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(records.tobytes())
    for kind, wanted in (("fine", [50, 60, 70]), ("coarse", [5, 6, 7])):
        options = DecodeOptions(reading=Reading(labels=kind))
        decoded = DECODERS["cifar-binary"].decode([tmp_path], options)
        assert decoded.splits["test"].labels.tolist() == wanted


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"spam": np.zeros(3)}, "expected arrays called images and labels"),
        ({"images": np.zeros((3, 4, 4), np.uint8)}, "lacks the labels of the train split"),
        ({"x_test": np.zeros((3, 4, 4), np.uint8), "y_test": np.zeros(3, int)}, "no training"),
        ({"x": np.zeros((3, 4, 4), np.uint8), "y": np.zeros(2, int)}, "do not belong together"),
        ({"x": np.full((3, 4, 4), 300), "y": np.zeros(3, int)}, "pixels from 300 to 300"),
        ({"x": np.full((3, 4, 4), np.nan), "y": np.zeros(3, int)}, "no finite numbers"),
        ({"x": np.zeros((3, 15)), "y": np.zeros(3, int)}, "no square grey images"),
        ({"x": np.zeros((3, 4, 4, 5)), "y": np.zeros(3, int)}, "number of channels"),
        ({"x": np.zeros((3, 4, 4)), "y": np.array([0, 1, -1])}, "negative labels"),
        ({"x": np.zeros((3, 4, 4)), "y": np.array([0, 1, 0.5])}, "float64 items, not labels"),
        ({"x": np.zeros((3, 4, 4)), "y": np.array([0, 1, 2**40])}, "these are no classes"),
        ({"x": np.zeros((3, 4, 4), complex), "y": np.zeros(3, int)}, "neither numbers nor"),
    ],
)
def test_arrays_that_are_no_images_with_labels_are_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=message) as caught:
        DECODERS["npz"].decode([tmp_path / "x.npz"], OPTIONS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pixels", "wanted"),
    [
        (np.array([0, 1, 255, 7], np.int64), [0, 1, 255, 7]),
        (np.array([0, 1, 0, 1], np.uint8), [0, 1, 0, 1]),
        (np.array([0, 257, 65535, 128], np.uint16), [0, 1, 255, 0]),
        (np.array([0, 0.5, 1, 0.2], np.float32), [0, 128, 255, 51]),
        (np.array([-1, 0.5, 1, 0]), [0, 191, 255, 128]),
        (np.array([0.0, 17, 255, 3]), [0, 17, 255, 3]),
        (np.array([True, False, True, True]), [255, 0, 255, 255]),
    ],
)
def test_the_range_of_all_pixels_decides_what_they_mean(pixels, wanted, tmp_path):
    np.savez(tmp_path / "x.npz", x=pixels.reshape(1, 2, 2), y=[0])
    decoded = DECODERS["npz"].decode([tmp_path / "x.npz"], OPTIONS)
    assert decoded.splits["train"].images.ravel().tolist() == wanted


def test_text_labels_and_one_hot_labels_are_labels(tmp_path):
    images = np.zeros((3, 4, 4), np.uint8)
    np.savez(tmp_path / "x.npz", x=images, y=np.array(["cat", "ant", "cat"]))
    decoded = DECODERS["npz"].decode([tmp_path / "x.npz"], OPTIONS)
    assert decoded.classes == ["ant", "cat"]
    assert decoded.splits["train"].labels.tolist() == [1, 0, 1]
    np.savez(tmp_path / "x.npz", x=images, y=np.eye(3)[[2, 0, 1]])
    decoded = DECODERS["npz"].decode([tmp_path / "x.npz"], OPTIONS)
    assert decoded.splits["train"].labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1," + ",".join(["0"] * 16) + "\n1,2\n", "line 2 has 2 columns, the first one has 17"),
        ("1," + ",".join(["0"] * 15) + ",x\n", "lines 1 to 1: not all columns are numbers"),
        ("1.5," + ",".join(["0"] * 15) + ",.5\n", "no column of labels"),
        ("1," + ",".join(["0"] * 15) + ",inf\n", "numbers that are not finite"),
        ("label," + ",".join("abcdefghijklmnop") + "\n", "holds no images"),
    ],
)
def test_tables_that_are_no_images_are_refused(text, message, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        DECODERS["csv"].decode([tmp_path / "x.csv"], OPTIONS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 1:1 3:x", "lines 1 to 1: not a label and index:value pairs"),
        ("1 0:1 3:1", "indices that do not rise from 1"),
        ("1 3:1 2:1", "indices that do not rise from 1"),
        ("1 99999999:1", "more values than an image"),
        ("1 99999999999:1", "numbers that are not finite"),
        ("1 1:nan", "numbers that are not finite"),
        ("one 1:1", "not a label and index"),
        ("", "holds no images"),
    ],
)
def test_sparse_rows_that_are_none_are_refused(text, message, tmp_path):
    (tmp_path / "x").write_text(text)
    with pytest.raises(InputError, match=message):
        DECODERS["libsvm"].decode([tmp_path / "x"], OPTIONS)


def test_a_prepared_file_can_be_prepared_again(nnlab, fashion, tmp_path):
    source = as_data_file(fashion, tmp_path)
    small = tmp_path / "small.h5"
    done = nnlab("preprocess", source, "-o", small, "--size", 14, "--json")
    assert done.code == 0, done.stderr
    with open_data(small) as data:
        assert data.image_shape == (14, 14, 1)
        assert data.classes == list("0123456789")
