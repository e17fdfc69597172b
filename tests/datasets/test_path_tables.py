"""Tables of image paths and labels: the same images as from class folders."""

import os

import numpy as np
import pytest

from nnlab.datasets.decoders import DECODERS, DecodeOptions, decoder_for
from nnlab.errors import InputError

OPTIONS = DecodeOptions()


def rows_of(pictures):
    files = sorted(pictures.rglob("*.png"))
    return [
        (file.relative_to(pictures).as_posix(), file.parts[-2], file.parts[-3]) for file in files
    ]


def same(decoded, pictures):
    wanted = DECODERS["folders"].decode([pictures], OPTIONS)
    assert decoded.classes == wanted.classes
    assert set(decoded.splits) == set(wanted.splits)
    for split, part in wanted.splits.items():
        found = decoded.splits[split]
        np.testing.assert_array_equal(found.labels, part.labels)
        np.testing.assert_array_equal(found.images[found.order], part.images[part.order])


def test_one_table_with_a_column_of_splits(pictures):
    lines = ["split;file name;remark;label"]
    lines += [f'{split};"{name}";"a; b";{label}' for name, label, split in rows_of(pictures)]
    table = pictures / "all.csv"
    table.write_text("\n".join(lines))
    assert decoder_for(table) is DECODERS["table"]
    same(DECODERS["table"].decode([table], OPTIONS), pictures)


@pytest.mark.parametrize("absolute", [False, True])
def test_a_table_for_each_split_without_a_header(pictures, absolute):
    for split in ("train", "test"):
        lines = [
            f"{label}\t{pictures / name if absolute else name}\r"
            for name, label, of in rows_of(pictures)
            if of == split
        ]
        (pictures / f"my-{split}.tsv").write_text("\n".join(lines) + "\n\n")
    assert decoder_for(pictures) is DECODERS["table"]
    same(DECODERS["table"].decode([pictures], OPTIONS), pictures)


def test_labels_that_are_numbers_stand_in_their_order(pictures):
    names = [name for name, _, split in rows_of(pictures) if split == "train"][:12]
    table = pictures / "train.csv"
    table.write_text("image,y\n" + "\n".join(f"{n},{i}" for i, n in enumerate(names)))
    decoded = decoder_for(table).decode([table], OPTIONS)
    assert decoded.classes == [str(number) for number in range(12)]
    assert decoded.splits["train"].names == names


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train/cat/9.png,cat", r"line 4 names train/cat/9.png, which is not there.*--skip-bad"),
        ("train/cat/0.png,cat", r"line 4 names train/cat/0.png for the second time"),
        ("train/cat/2.png", r"line 4 has 1 columns, the first one has 2"),
        ("train/cat/2.png,", r"line 4 lacks a path or a label"),
        ("pipe.png,cat", r"line 4 names pipe.png, which is no file"),
        ("../../../../../../dev/zero,cat", r"which is no file"),
        ("notes.png,cat", r"notes.png cannot be read as an image .*--skip-bad"),
    ],
)
def test_lines_that_name_no_image_are_told(line, message, pictures):
    os.mkfifo(pictures / "pipe.png")
    (pictures / "notes.png").write_text("not a picture")
    table = pictures / "train.csv"
    table.write_text(f"path,label\ntrain/cat/0.png,cat\ntrain/dog/1.png,dog\n{line}\n")
    with pytest.raises(InputError, match=message) as caught:
        DECODERS["table"].decode([table], OPTIONS)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_left_out_when_asked(pictures):
    table = pictures / "train.csv"
    table.write_text("path,label\ntrain/cat/0.png,cat\ntrain/cat/9.png,cat\n")
    decoded = DECODERS["table"].decode([table], DecodeOptions(skip_bad=True))
    assert decoded.unreadable == [("train/cat/9.png", "No such file or directory")]
    assert decoded.splits["train"].names == ["train/cat/0.png"]


def test_an_unknown_split_is_told(pictures):
    table = pictures / "all.csv"
    table.write_text("path,label,split\ntrain/cat/0.png,cat,train\ntrain/cat/1.png,cat,spare\n")
    with pytest.raises(InputError, match="has the split 'spare'; known are train, val, test"):
        DECODERS["table"].decode([table], OPTIONS)
