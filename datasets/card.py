"""Cards: what nnlab knows about a data set, one TOML file each.

name = "fashion-mnist"            # as users type it
title = "Fashion-MNIST"
licence = "MIT"
citation = "..."
home = "https://..."
format = "idx"                    # a key of nnlab.datasets.decoders.DECODERS
shape = [28, 28, 1]               # height, width, channels
classes = ["T-shirt/top", ...]
mirrors = ["https://.../"]        # folders that hold the files, best first
folder = "emnist"                 # optional: cards with the same files share this folder
mean = [0.286]                    # optional: of the training split, a channel, from 0 to 1
std = [0.353]
statistics_source = "..."         # who has published mean and std

[splits]                          # images a split
train = 60000

[reading]                         # optional: what the decoder has to know, see `Reading`
first_label = 1

[[files]]
name = "train-images-idx3-ubyte.gz"
size = 26421880                   # bytes as published
sha256 = "..."                    # of the content, uncompressed: recompressed copies pass
published_sha256 = "..."          # of the file as published
md5 = "..."                       # of the file as published, where no sha256 is known
unverified = "..."                # why there is no checksum, where there is none
split = "train"                   # optional: all images of this file belong to one split

[[references]]                    # accuracies that others have measured
model = "..."
accuracy = 0.916
source = "..."
"""

from dataclasses import dataclass, field

from nnlab.datasets.decoders import DECODERS, Reading


@dataclass(frozen=True)
class CardFile:
    """A file of a data set.

    Attributes:
        name: as published, without folders.
        size: bytes as published; 0 if unknown.
        sha256: of the content, uncompressed; empty if unknown.
        published_sha256: of the file as published; empty if unknown.
        md5: of the file as published; empty if unknown.
        unverified: why there is no checksum; empty if there is one.
        split: the split that all its images belong to; empty if the format tells.
    """

    name: str
    size: int = 0
    sha256: str = ""
    published_sha256: str = ""
    md5: str = ""
    unverified: str = ""
    split: str = ""


@dataclass(frozen=True)
class Reference:
    """An accuracy on the test split that somebody has published."""

    model: str
    accuracy: float
    source: str


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of the training split that somebody has published.

    Attributes:
        mean: (C,) of pixels from 0 to 1.
        std: (C,) of the same.
        source: who says so.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str


@dataclass(frozen=True)
class Card:
    """What is known about a data set; the fields are those of the TOML file.

    `folder` is the name of the folder for its files, the card's own if the card names none;
    `statistics` is None if nobody has published any.
    """

    name: str
    title: str
    licence: str
    citation: str
    home: str
    format: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    splits: dict[str, int]
    files: tuple[CardFile, ...]
    references: tuple[Reference, ...]
    folder: str = ""
    statistics: Statistics | None = None
    reading: Reading = field(default_factory=Reading)

    @property
    def files_name(self) -> str:
        """The name of the folder under the data root that holds the files."""
        return self.folder or self.name

    @property
    def generated(self) -> bool:
        """Whether nnlab makes the images itself."""
        return DECODERS[self.format].generated
