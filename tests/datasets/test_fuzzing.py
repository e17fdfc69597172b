"""Damaged files of every format: images, or one of our errors in one line; never anything else.

Valid files are changed at random, by seed: bits, bytes, numbers of eight bytes, pieces cut out,
repeated, or put elsewhere. NNLAB_FUZZ says how many (`make campaign-fuzz`: 20,000).
"""

import bz2
import gzip
import os
import pickle
import shutil
import struct
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
from idx_files import write_idx
from PIL import Image

from nnlab.datasets.decoders import Decoded, DecodeOptions, decoder_for
from nnlab.errors import InputError

COUNT = int(os.environ.get("NNLAB_FUZZ", "480"))
CHUNKS = 8
TRICKY = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)


@pytest.fixture(scope="session")
def sources(fashion, tmp_path_factory):
    """Name -> a valid file or folder of each kind, small."""
    root = tmp_path_factory.mktemp("valid")
    images, labels = (array[:20] for array in fashion["train"])
    made = {}

    def place(name, content=None):
        made[name] = root / name
        if content is None:
            made[name].mkdir()
        else:
            made[name].write_bytes(content)
        return made[name]

    for suffix in ("", ".gz"):
        folder = place(f"idx{suffix}")
        write_idx(folder / f"train-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"train-labels-idx1-ubyte{suffix}", labels)
    with zipfile.ZipFile(place("idx.zip", b""), "w") as archive:
        for file in made["idx"].iterdir():
            archive.write(file, file.name)

    rows = np.random.default_rng(0).integers(0, 256, (5, 3072), np.uint8)
    folder = place("cifar-bin")
    records = np.column_stack([np.arange(5, dtype=np.uint8), rows])
    (folder / "data_batch_1.bin").write_bytes(records.tobytes())
    (folder / "batches.meta.txt").write_text("a\nb\nc\nd\ne\n")
    folder = place("cifar-py")
    (folder / "data_batch_1").write_bytes(
        pickle.dumps({"data": rows, "labels": [0, 1, 2, 3, 4]}, 2)
    )
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcde")}, 2))
    folder = place("stl10")
    (folder / "train_X.bin").write_bytes(bytes(2 * 27648))
    (folder / "train_y.bin").write_bytes(bytes([1, 2]))

    for name, save in (("stored.npz", np.savez), ("packed.npz", np.savez_compressed)):
        save(place(name, b""), x_train=images, y_train=labels)
    for name, options in (("plain.h5", {}), ("packed.h5", {"compression": "gzip", "chunks": True})):
        with h5py.File(place(name, b""), "w") as file:
            file.create_dataset("images", data=images, **options)
            file["labels"] = labels
    try:
        from scipy.io import savemat

        for name, packed in (("plain.mat", False), ("packed.mat", True)):
            savemat(place(name, b""), {"X": images, "y": labels}, do_compression=packed)
    except ImportError:
        pass

    table = b"\n".join(
        b",".join(b"%d" % value for value in [label, *image.ravel()])
        for label, image in zip(labels, images, strict=True)
    )
    place("train.csv", table)
    place("train.csv.gz", gzip.compress(table))
    sparse = b"\n".join(
        b"%d " % label + b" ".join(b"%d:%d" % (i + 1, v) for i, v in enumerate(image.ravel()) if v)
        for label, image in zip(labels, images, strict=True)
    )
    place("sparse", sparse)
    place("sparse.bz2", bz2.compress(sparse))

    folder = place("photos")
    for index, (label, image) in enumerate(zip(labels, images, strict=True)):
        (folder / "train" / f"c{label}").mkdir(parents=True, exist_ok=True)
        kind = ("png", "jpg", "bmp", "gif", "tiff", "webp")[index % 6]
        Image.fromarray(image).save(folder / "train" / f"c{label}" / f"{index}.{kind}")
    table = shutil.copytree(folder, place("table"), dirs_exist_ok=True)
    paths = [path.relative_to(table) for path in sorted(table.rglob("*.*"))]
    (table / "train.csv").write_text("".join(f"{path},{path.parts[1]}\n" for path in paths))
    for name, mode in (("photos.tar", "w"), ("photos.tar.gz", "w:gz")):
        with tarfile.open(place(name, b""), mode) as archive:
            archive.add(folder, "photos")
    with zipfile.ZipFile(place("photos.zip", b""), "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    return made


def changed(data, rng):
    """The same bytes with a few things wrong."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        if not data:
            data += rng.bytes(8)
        # Headers are where it hurts.
        reach = len(data) if rng.random() < 0.5 else min(len(data), 400)
        at = int(rng.integers(reach))
        way = rng.integers(7)
        if way == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif way == 1:
            data[at] = int(rng.integers(256))
        elif way == 2:
            width, order = int(rng.choice([2, 4, 8])), str(rng.choice(["little", "big"]))
            value = int(TRICKY[rng.integers(len(TRICKY))]) % 2 ** (8 * width)
            data[at : at + width] = value.to_bytes(width, order)
        elif way == 3:
            del data[at:]
        elif way == 4:
            del data[at : at + int(rng.integers(1, 64))]
        elif way == 5:
            data[at:at] = rng.bytes(int(rng.integers(1, 64)))
        else:
            piece = data[at : at + int(rng.integers(1, 512))]
            there = int(rng.integers(len(data)))
            data[there:there] = piece
    return bytes(data)


def repacked(name, data, rng):
    """Damage within what is compressed, which its check sum would reveal otherwise."""
    packing = {"gz": gzip, "bz2": bz2}.get(name.rpartition(".")[2])
    if packing is None or rng.random() < 0.3:
        return changed(data, rng)
    return packing.compress(changed(packing.decompress(data), rng))


def damaged(source, target, rng):
    """A copy of a file or folder with one file damaged."""
    if source.is_file():
        target = target.with_name(f"{target.name}-{source.name}")
        target.write_bytes(repacked(source.name, source.read_bytes(), rng))
        return target
    shutil.copytree(source, target)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    file = files[rng.integers(len(files))]
    file.write_bytes(repacked(file.name, file.read_bytes(), rng))
    return target


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_damaged_files_are_read_or_refused(chunk, sources, tmp_path):
    names = sorted(sources)
    outcomes = {"read": 0, "refused": 0}
    for seed in range(chunk, COUNT, CHUNKS):
        rng = np.random.default_rng(seed)
        name = names[seed // CHUNKS % len(names)]
        source = damaged(sources[name], tmp_path / str(seed), rng)
        options = DecodeOptions(size=(8, 8), skip_bad=bool(seed % 3))
        try:
            decoded = decoder_for(source).decode([source], options)
        except InputError as error:
            outcomes["refused"] += 1
            if "\n" in str(error):
                raise AssertionError(f"seed {seed}, {name}: more than one line") from error
        except BaseException as error:
            raise AssertionError(f"seed {seed}, {name}: {error!r}") from error
        else:
            outcomes["read"] += 1
            assert isinstance(decoded, Decoded)
            for part in decoded.splits.values():
                assert part.images.dtype == np.uint8
                assert part.images.ndim == 4
                assert len(part.order) == len(part.labels) >= 1
                assert 0 <= part.labels.min() <= part.labels.max() < len(decoded.classes)
        finally:
            shutil.rmtree(source) if source.is_dir() else source.unlink()
    assert COUNT < 100 or min(outcomes.values()) > 0, outcomes


def test_valid_files_are_read(sources):
    for name, source in sources.items():
        decoded = decoder_for(source).decode([source], DecodeOptions(size=(8, 8)))
        assert len(decoded.splits["train"].labels) in {2, 5, 20}, name


def test_nonsense_is_refused(tmp_path):
    starts = [b"", b"\x1f\x8b", b"PK\3\4", b"BZh9", b"\xfd7zXZ\0", b"\x89HDF\r\n\x1a\n", b"1,2,3\n"]
    starts += [b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM", struct.pack(">4BI", 0, 0, 8, 1, 9)]
    rng = np.random.default_rng(0)
    for number, start in enumerate(starts * 10):
        path = tmp_path / f"train{number}"
        path.write_bytes(start + rng.bytes(number * 7))
        with pytest.raises(InputError) as caught:
            decoder_for(path).decode([path], DecodeOptions())
        assert "\n" not in str(caught.value)
