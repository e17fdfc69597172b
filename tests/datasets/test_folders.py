"""Class folders: every layout people use, the same images from a folder and from an archive."""

import os
import shutil
import subprocess
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from nnlab.datasets.decoders import DecodeOptions, decoder_for, folders
from nnlab.errors import FileFormatError, InputError

CLASSES = ["boat", "cat", "dog"]


def decode(path, **options):
    return decoder_for(path).decode([path], DecodeOptions(**options))


def content(decoded):
    """Split -> (images in order, labels, names)."""
    return {
        split: (part.images[part.order], part.labels, list(part.names))
        for split, part in decoded.splits.items()
    }


def assert_same(first, second):
    assert first.classes == second.classes
    assert set(first.splits) == set(second.splits)
    for split, (images, labels, _) in content(first).items():
        np.testing.assert_array_equal(content(second)[split][0], images)
        np.testing.assert_array_equal(content(second)[split][1], labels)


def test_splits_classes_and_pixels_are_those_of_the_folders(pictures):
    decoded = decode(pictures)
    assert decoded.classes == CLASSES
    for split, count in (("train", 6), ("test", 2)):
        images, labels, names = content(decoded)[split]
        assert labels.tolist() == sorted([0, 1, 2] * count)
        for image, label, name in zip(images, labels, names, strict=True):
            assert name.split("/")[:2] == [split, CLASSES[label]]
            np.testing.assert_array_equal(np.asarray(Image.open(pictures / name)), image)


def test_plain_class_folders_are_all_training_data(pictures):
    decoded = decode(pictures / "train")
    assert set(decoded.splits) == {"train"}
    assert decoded.classes == CLASSES
    assert len(decoded.splits["train"].labels) == 18


@pytest.mark.parametrize(
    ("name", "split"), [("validation", "val"), ("Valid", "val"), ("Training", "train")]
)
def test_splits_have_the_names_that_people_give_them(pictures, name, split):
    if split == "train":
        (pictures / "train").rename(pictures / name)
    else:
        shutil.copytree(pictures / "test", pictures / name)
    assert split in decode(pictures).splits


def test_folders_around_everything_are_looked_through(pictures, tmp_path):
    outer = tmp_path / "outer" / "download" / "photos-v2"
    outer.parent.mkdir(parents=True)
    shutil.copytree(pictures, outer)
    assert_same(decode(tmp_path / "outer"), decode(pictures))
    one_class = tmp_path / "one"
    shutil.copytree(pictures / "train" / "cat", one_class / "cat")
    assert decode(one_class).classes == ["cat"]


@pytest.mark.parametrize("kind", [".tar", ".tar.gz", ".tar.xz", ".zip"])
def test_an_archive_gives_what_its_folder_gives_whatever_the_order(pictures, tmp_path, kind):
    files = sorted(pictures.rglob("*.png"))
    np.random.default_rng(1).shuffle(files)
    path = tmp_path / f"photos{kind}"
    if kind == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, f"photos/{file.relative_to(pictures)}")
    else:
        with tarfile.open(path, f"w:{kind[5:]}") as archive:
            for file in files:
                archive.add(file, f"./photos/{file.relative_to(pictures)}")
    assert_same(decode(path), decode(pictures))


def test_nothing_of_an_archive_is_written_and_links_are_passed_over(pictures, tmp_path):
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(pictures / "train" / "dog" / "0.png", "/train/dog/0.png")
        link = tarfile.TarInfo("train/dog/passwd.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        device = tarfile.TarInfo("train/dog/null.png")
        device.type = tarfile.CHRTYPE
        archive.addfile(device)
    before = sorted(tmp_path.rglob("*"))
    assert decode(path).splits["train"].names == ["train/dog/0.png"]
    assert sorted(tmp_path.rglob("*")) == before


def test_empty_classes_and_what_is_no_image_are_told(pictures):
    (pictures / "train" / "emu").mkdir()
    (pictures / "train" / ".cache").mkdir()
    (pictures / "train" / "cat" / "notes.txt").write_text("hello")
    (pictures / "train" / "stray.png").write_bytes((pictures / "test/cat/0.png").read_bytes())
    decoded = decode(pictures)
    assert decoded.classes == ["boat", "cat", "dog", "emu"]
    assert any("train/cat/notes.txt" in note for note in decoded.notes)
    assert any("train/stray.png" in note for note in decoded.notes)


def test_a_corrupt_image_is_named_and_left_out_only_when_asked(pictures):
    bad = pictures / "train" / "cat" / "3.png"
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(InputError, match=r"train/cat/3.png .*--skip-bad"):
        decode(pictures)
    decoded = decode(pictures, skip_bad=True)
    assert [name for name, _ in decoded.unreadable] == ["train/cat/3.png"]
    assert len(decoded.splits["train"].labels) == 17
    assert "train/cat/3.png" not in decoded.splits["train"].names


def test_images_of_differing_sizes_need_a_size(pictures):
    Image.new("RGB", (7, 9)).save(pictures / "test" / "dog" / "small.png")
    with pytest.raises(InputError, match=r"is 9x7.*is 12x10.*--size|is 12x10.*is 9x7.*--size"):
        decode(pictures)
    assert decode(pictures, size=(6, 6)).splits["train"].images.shape[1:] == (6, 6, 3)


def test_folders_without_images_or_classes_are_refused(tmp_path, pictures):
    with pytest.raises(InputError, match="does not exist"):
        decode(tmp_path / "nothing")
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no images; expected train/<class>"):
        decode(tmp_path / "empty")
    with pytest.raises(InputError, match="no class folders"):
        decode(pictures / "train" / "cat")
    shutil.rmtree(pictures / "train")
    with pytest.raises(InputError, match="has only test"):
        decode(pictures)


def test_an_archive_cut_anywhere_is_damaged(pictures, tmp_path):
    for kind, opening in ((".tar", "w"), (".tar.xz", "w:xz")):
        path = tmp_path / f"photos{kind}"
        with tarfile.open(path, opening) as archive:
            archive.add(pictures, "photos")
        whole = path.read_bytes()
        for share in (0.0, 0.1, 0.4, 0.7):
            path.write_bytes(whole[: int(len(whole) * share)])
            with pytest.raises((FileFormatError, InputError)) as caught:
                decode(path, skip_bad=True)
            assert "\n" not in str(caught.value)


def test_links_among_folders_are_followed_but_not_in_circles(pictures, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(pictures / "train" / "cat", elsewhere)
    (pictures / "train" / "cat").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(pictures)
    assert decode(pictures).classes == CLASSES


def test_a_link_into_nowhere_is_an_image_that_cannot_be_read(pictures):
    """Links to a disk that is not mounted would otherwise make a smaller data set in silence."""
    image = pictures / "train" / "cat" / "3.png"
    image.unlink()
    image.symlink_to("/not/mounted/3.png")
    with pytest.raises(InputError, match=r"train/cat/3.png .*No such file.*--skip-bad"):
        decode(pictures)
    decoded = decode(pictures, skip_bad=True)
    assert decoded.unreadable == [("train/cat/3.png", "No such file or directory")]


def test_odd_file_names_are_names_like_others(pictures):
    source = pictures / "train" / "cat" / "0.png"
    shutil.copy(source, pictures / "train" / "cat" / "a b\nc 猫.PNG")
    shutil.copy(source, os.fsencode(pictures / "train" / "cat") + b"/\xff.png")
    assert len(decode(pictures).splits["train"].labels) == 20


def test_the_photographs_give_the_same_images_from_the_archive_and_unpacked(
    photos_archive, tmp_path
):
    """A real archive: its test split, packed anew and unpacked by tar."""
    subprocess.run(
        ["tar", "-C", tmp_path, "-xf", photos_archive, "--wildcards", "*/test/*/00*.jpg"],
        check=True,
    )
    (folder,) = tmp_path.iterdir()
    (folder / "test").rename(folder / "train")
    packed = tmp_path / "packed.tar.xz"
    subprocess.run(["tar", "-C", tmp_path, "-cJf", packed, folder.name], check=True)
    assert_same(folders.decode([packed], DecodeOptions()), decode(folder))
