"""What goes into a decoder and what comes out: the same for every format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnlab.datasets.choosing import ChoiceOptions
from nnlab.datasets.picture_reading import PictureOptions
from nnlab.datasets.rendering import Rendering
from nnlab.errors import FileFormatError

Progress = Callable[[int, int], None]
# Labels are numbers in a file; a damaged one must not make a list of four billion names.
MAX_CLASSES = 100_000


@dataclass(frozen=True)
class Reading:
    """What a card tells about files whose format leaves it open.

    Attributes:
        select: of files for several sets, those whose names begin like this.
        labels: which of two labels of an image counts: "fine" or "coarse".
        first_label: the label of the first class.
        zero_label: a label that stands for 0; 0 if there is none.
        transposed: the images are stored column by column.
        shape: (height, width, channels) of images that are stored flat; None if not known.
    """

    select: str = ""
    labels: str = "fine"
    first_label: int = 0
    zero_label: int = 0
    transposed: bool = False
    shape: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class DecodeOptions:
    """What a decoder may need to know.

    Attributes:
        size: (height, width) that images of differing sizes are brought to; None leaves them.
        gray: one channel (ITU-R 601 luma) instead of three.
        fit, filter: how they are brought to the size; see `nnlab.datasets.images.Rendering`.
        skip_bad: leave unreadable images out and report them, instead of stopping.
        workers: processes that decode image files.
        folder: where a temporary file of pixels may lie; None for the system's place.
        choice: which images are wanted. A decoder of image files decodes no others; those of
            arrays leave the choice to the caller.
        seed: of generated images.
        background_bias: of generated shapes: how often the background is the class's own.
        progress: called with (images done, images in all or 0 while unknown).
        reading: what the card of a known data set adds.
    """

    size: tuple[int, int] | None = None
    gray: bool = False
    fit: str = "stretch"
    filter: str = "bicubic"
    skip_bad: bool = False
    workers: int = 1
    folder: Path | None = None
    choice: ChoiceOptions = field(default_factory=ChoiceOptions)
    seed: int = 0
    background_bias: float = 0.9
    progress: Progress | None = None
    reading: Reading = field(default_factory=Reading)

    @property
    def rendering(self) -> Rendering:
        """How pictures become arrays."""
        return Rendering(self.size, self.gray, self.fit, self.filter)

    @property
    def pictures(self) -> PictureOptions:
        """How image files are read."""
        return PictureOptions(
            self.rendering, self.workers, self.skip_bad, self.folder, self.progress
        )


@dataclass(frozen=True)
class Part:
    """The images of one split as a decoder found them.

    Attributes:
        images: (N, H, W, C) uint8.
        labels: (N,) int64.
        order: (N,) the order in which the rows are meant to be read.
        names: (N,) where each image came from, in the order of the rows; empty if it has no name.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    order: NDArray[np.int64]
    names: Sequence[str] = ()

    @classmethod
    def of(cls, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> "Part":
        """Make a part whose rows are in order already."""
        return cls(images, labels, np.arange(len(labels)))

    def take(self, rows: NDArray[np.int64]) -> "Part":
        """Return some of its images."""
        names = [self.names[row] for row in rows] if self.names else ()
        return Part(self.images, self.labels[rows], self.order[rows], names)


@dataclass
class Decoded:
    """What a decoder read.

    Attributes:
        classes: names in the order of the labels.
        splits: name -> part.
        unreadable: (file, reason) of every image that was left out.
        notes: other things worth telling, one line each.
        steps: what was done to choose among the images; None if all of them are here, and the
            choice is still to be made.
    """

    classes: list[str]
    splits: dict[str, Part]
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steps: list[str] | None = None


def numbered_classes(splits: Mapping[str, Part], where: Path | str) -> list[str]:
    """Return the names "0", "1", ... up to the highest label, for formats that hold no names.

    Raises:
        FileFormatError: the highest label is no class of anything.
    """
    count = max(int(part.labels.max()) for part in splits.values()) + 1
    if count > MAX_CLASSES:
        raise FileFormatError(f"{where} has a label {count - 1:,}; these are no classes.")
    return [str(label) for label in range(count)]


def checked_classes(
    names: Sequence[str], splits: Mapping[str, Part], where: Path | str
) -> list[str]:
    """Return the names that a file gives its labels, or numbers if it gives none.

    Raises:
        FileFormatError: a label has no name, or the names are none.
    """
    if not names:
        return numbered_classes(splits, where)
    highest = max(int(part.labels.max()) for part in splits.values())
    if highest >= len(names):
        raise FileFormatError(f"{where} has a label {highest} and names of {len(names)} classes.")
    if len(set(names)) != len(names) or not all(name.isprintable() and name for name in names):
        raise FileFormatError(f"{where} has names of classes that are damaged.")
    return list(names)


@dataclass(frozen=True)
class Decoder:
    """One format.

    Attributes:
        summary: what it reads, for help and messages.
        recognises: whether a file or folder looks like this format; looks at names, and reads
            at most a few bytes.
        decode: files or one folder in, images out. Raises `InputError` for what is damaged.
        generated: there is nothing to read; `decode` gets no files.
    """

    summary: str
    recognises: Callable[[Path], bool]
    decode: Callable[[Sequence[Path], DecodeOptions], Decoded]
    generated: bool = False
