"""From images of any known format to a data file."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nnlab.atomic import claim_result
from nnlab.datasets.card import Card
from nnlab.datasets.card_decoding import decode_card
from nnlab.datasets.datafile import Images, open_data, write_data
from nnlab.datasets.decoders import Decoded, DecodeOptions, Part, decoder_for
from nnlab.datasets.decoders.containers import ARCHIVES
from nnlab.datasets.decoders.decoded import Progress
from nnlab.datasets.download import download, is_downloaded, is_url, verified_files
from nnlab.datasets.images import Rendering, render_arrays
from nnlab.datasets.known import known_cards
from nnlab.datasets.roots import files_folder
from nnlab.datasets.splitting import Rows, arrange_splits
from nnlab.datasets.summary import Summary, summarize
from nnlab.errors import InputError

SIZE = re.compile(r"(\d+)(?:x(\d+))?$")
MAX_SIDE = 4096


@dataclass(frozen=True)
class PreprocessOptions:
    """How a data file is made.

    Attributes:
        size: (height, width) to bring every image to; None keeps their own.
        gray: one channel instead of three.
        test: share or count of the training images that become the test split.
        val: the same for the validation split.
        limit: the most images of a split.
        seed: which images go where; of `shapes`, the images themselves.
        skip_bad: leave unreadable images out instead of stopping.
        background_bias: of `shapes`: how often the background is the class's own.
    """

    size: tuple[int, int] | None = None
    gray: bool = False
    test: float | None = None
    val: float | None = None
    limit: int | None = None
    seed: int = 0
    skip_bad: bool = False
    background_bias: float | None = None


def parse_size(text: str) -> tuple[int, int]:
    """Turn ``32`` or ``32x48`` (height x width) into (height, width).

    Raises:
        InputError: it is something else, or a side is 0 or larger than `MAX_SIDE`.
    """
    match = SIZE.match(text.strip().lower())
    if match is None:
        raise InputError(f"--size {text}: expected HEIGHTxWIDTH or one number, for example 32x32.")
    height = int(match[1])
    width = int(match[2] or height)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise InputError(f"--size {text}: each side must be from 1 to {MAX_SIDE}.")
    return height, width


def preprocess(
    source: str,
    output: Path,
    options: PreprocessOptions | None = None,
    files_from: str | None = None,
    root: Path | None = None,
    progress: Progress | None = None,
    force: bool = False,
) -> Summary:
    """Read images, split them, and write a data file.

    Args:
        source: the name of a known data set, or the path of a folder, archive or file.
        output: the data file.
        options: how to make it.
        files_from: of a known data set: the folder that holds its files (read where they are) or
            the URL of one (fetched into the data root first).
        root: the data root; None for the usual one.
        progress: called with (images done, images in all or 0 while unknown).
        force: replace `output` if it is there, and a claim to it whose owner is silent.

    Raises:
        InputError: something in the source or the options is wrong.
        BusyError: another process is writing `output`.
        SourceError: the files of a known data set could not be had or are not the right ones.
    """
    options = options or PreprocessOptions()
    _check(source, options, files_from)
    with claim_result(output, "preprocess", force) as held:
        decoded, name, origin = _decode(source, options, files_from, root, progress)
        parts = arrange_splits(
            decoded.splits, options.test, options.val, options.limit, options.seed
        )
        write_data(
            output,
            name=name,
            source=origin,
            options={"source": source, **asdict(options)},
            classes=decoded.classes,
            splits={split: (_fit(part, options), part.labels) for split, part in parts.items()},
            held=held,
        )
        names = {split: part.names for split, part in parts.items()}
        with open_data(output) as data:
            return summarize(data, names, decoded.unreadable, decoded.notes)


def _decode(
    source: str,
    options: PreprocessOptions,
    files_from: str | None,
    root: Path | None,
    progress: Progress | None,
) -> tuple[Decoded, str, str]:
    """Return the images, the data set's name, and where they came from."""
    card = known_cards().get(source)
    decode_options = DecodeOptions(
        size=options.size,
        gray=options.gray,
        skip_bad=options.skip_bad,
        seed=options.seed,
        background_bias=0.9 if options.background_bias is None else options.background_bias,
        progress=progress,
    )
    if card is None:
        path = Path(source).expanduser()
        return decoder_for(path).decode([path], decode_options), _stem(path), str(path)
    paths = _card_files(card, files_from, root)
    return decode_card(card, paths, decode_options), card.name, card.home


def _check(source: str, options: PreprocessOptions, files_from: str | None) -> None:
    card = known_cards().get(source)
    if options.limit is not None and options.limit < 1:
        raise InputError(f"--limit {options.limit}: at least 1 image of a split must stay.")
    if files_from is not None and (card is None or card.generated):
        raise InputError(
            f"--source says where the files of a known data set are; {source} has none, leave it "
            "out."
        )
    if options.background_bias is not None:
        if card is None or card.format != "shapes":
            raise InputError(f"--background-bias belongs to shapes, not to {source}.")
        if not 0 <= options.background_bias <= 1:
            raise InputError(
                f"--background-bias {options.background_bias:g}: it is a share from 0 to 1."
            )


def _card_files(card: Card, files_from: str | None, root: Path | None) -> Sequence[Path]:
    if card.generated:
        return []
    if files_from is not None and not is_url(files_from):
        return verified_files(card, Path(files_from).expanduser())
    if files_from is not None:
        download(card, root, files_from)
    elif not is_downloaded(card, root):
        raise InputError(
            f"{card.name} is not downloaded; run nnlab download {card.name} first, or name the "
            "folder that holds its files with --source."
        )
    return verified_files(card, files_folder(card.files_name, root))


def _fit(part: Part, options: PreprocessOptions) -> Images:
    """Bring the images of a part to the wanted channels and size, if they are not yet."""
    channels, size = part.images.shape[3], part.images.shape[1:3]
    if (not options.gray or channels == 1) and options.size in {None, size}:
        return Rows(part.images, part.order)
    images = part.images[part.order]
    return render_arrays(images, Rendering(options.size, options.gray))


def _stem(path: Path) -> str:
    name = path.resolve().name
    for suffix in sorted(ARCHIVES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name
    return name
