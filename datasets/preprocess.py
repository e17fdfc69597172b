"""From images of any known format to a data file."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnlab import machine
from nnlab.atomic import claim_result
from nnlab.datasets.card import Card
from nnlab.datasets.card_decoding import decode_card
from nnlab.datasets.choosing import ChoiceOptions, choose
from nnlab.datasets.datafile import Images, Provenance, open_data
from nnlab.datasets.datafile_writing import write_data
from nnlab.datasets.decoders import Decoded, DecodeOptions, Part, decoder_for
from nnlab.datasets.decoders.containers import ARCHIVES
from nnlab.datasets.decoders.decoded import Progress
from nnlab.datasets.download import download, is_downloaded, is_url, verified_files
from nnlab.datasets.duplicates import Copy, find_copies, name_of
from nnlab.datasets.images import render_arrays
from nnlab.datasets.known import known_cards, meant_by
from nnlab.datasets.rendering import FILTERS, FITS, Rendering
from nnlab.datasets.roots import data_root, files_folder
from nnlab.datasets.splitting import Rows, SplitOptions
from nnlab.datasets.summary import Summary, summarize
from nnlab.errors import InputError
from nnlab.stratify import stratified_folds

SIZE = re.compile(r"(\d+)(?:x(\d+))?$")
MAX_SIDE = 4096
DEDUP = ("none", "exact", "near")


@dataclass(frozen=True)
class PreprocessOptions:
    """How a data file is made.

    Attributes:
        size: (height, width) to bring every image to; None keeps their own.
        gray: one channel instead of three.
        fit: what becomes of other proportions: ``stretch``, ``crop`` or ``pad``.
        filter: how pixels are resampled; a key of `nnlab.datasets.rendering.FILTERS`.
        classes: the classes to keep, in the order of their labels; None for all.
        relabel: old name of a class -> new name, before `classes`.
        test: share or count of the training images that become the test split.
        val: the same for the validation split.
        limit: the most images of a split.
        limit_per_class: the most images of a class in a split.
        folds: deal the training images to so many folds; 0 for none.
        dedup: which repeated images are left out: ``none``, ``exact`` or ``near``.
        seed: which images go where; of `shapes`, the images themselves.
        skip_bad: leave unreadable images out instead of stopping.
        background_bias: of `shapes`: how often the background is the class's own.
    """

    size: tuple[int, int] | None = None
    gray: bool = False
    fit: str = "stretch"
    filter: str = "bicubic"
    classes: Sequence[str] | None = None
    relabel: Mapping[str, str] = field(default_factory=dict)
    test: float | None = None
    val: float | None = None
    limit: int | None = None
    limit_per_class: int | None = None
    folds: int = 0
    dedup: str = "none"
    seed: int = 0
    skip_bad: bool = False
    background_bias: float | None = None

    @property
    def choice(self) -> ChoiceOptions:
        """Which images are chosen."""
        splits = SplitOptions(self.test, self.val, self.limit, self.limit_per_class, self.seed)
        return ChoiceOptions(self.relabel, self.classes, splits)

    @property
    def rendering(self) -> Rendering:
        """How pictures become arrays."""
        return Rendering(self.size, self.gray, self.fit, self.filter)


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
    workers: int | None = None,
) -> Summary:
    """Read images, split them, and write a data file.

    The same source and options give the same images and labels, whatever the number of workers.

    Args:
        source: the name of a known data set, or the path of a folder, archive or file.
        output: the data file.
        options: how to make it.
        files_from: of a known data set: the folder that holds its files (read where they are) or
            the URL of one (fetched into the data root first).
        root: the data root; None for the usual one.
        progress: called with (images done, images in all or 0 while unknown).
        force: replace `output` if it is there, and a claim to it whose owner is silent.
        workers: processes that decode image files; None for as many as this process may use.

    Raises:
        InputError: something in the source or the options is wrong.
        BusyError: another process is writing `output`.
        SourceError: the files of a known data set could not be had or are not the right ones.
    """
    options = options or PreprocessOptions()
    _check(source, options, files_from)
    with claim_result(output, "preprocess", force) as held:
        read = DecodeOptions(
            **{name: getattr(options, name) for name in ("size", "gray", "fit", "filter", "seed")},
            skip_bad=options.skip_bad,
            workers=machine.thread_count(workers),
            folder=output.parent,
            choice=options.choice,
            background_bias=0.9 if options.background_bias is None else options.background_bias,
            progress=progress,
        )
        decoded, name, origin = _decode(source, read, files_from, root)
        if decoded.steps is None:
            decoded = _chosen(decoded, options.choice)
        steps = [*(decoded.steps or ()), *_rendered_how(decoded, options)]
        left_out = [(file, f"unreadable: {reason}") for file, reason in decoded.unreadable]
        if options.dedup != "none":
            copies = _find_copies(decoded, options)
            left_out += _reasons(copies, decoded)
            steps += _leave_out(copies, decoded)
        write_data(
            output,
            name=name,
            source=origin,
            options={"source": source, **asdict(options)},
            classes=decoded.classes,
            splits={
                split: (_fit(part, options.rendering), part.labels)
                for split, part in decoded.splits.items()
            },
            held=held,
            folds=_folds(decoded, options),
            provenance=Provenance(
                steps,
                left_out,
                {split: part.names for split, part in decoded.splits.items() if part.names},
            ),
        )
        with open_data(output) as data:
            return summarize(data, decoded.unreadable, decoded.notes)


def _decode(
    source: str, read: DecodeOptions, files_from: str | None, root: Path | None
) -> tuple[Decoded, str, str]:
    """Return the images, the data set's name, and where they came from."""
    card = known_cards().get(source)
    if card is None:
        path = Path(source).expanduser()
        if not path.exists():
            meant = meant_by(source)
            hint = f"; did you mean {meant}?" if meant else ", and no known data set has this name."
            raise InputError(f"{source} does not exist{hint}")
        return decoder_for(path).decode([path], read), _stem(path), str(path)
    paths = _card_files(card, files_from, root)
    return decode_card(card, paths, read), card.name, card.home


def _chosen(decoded: Decoded, options: ChoiceOptions) -> Decoded:
    """Choose among images that are all here."""
    labels = {split: part.labels for split, part in decoded.splits.items()}
    choice = choose(decoded.classes, labels, options)
    splits = {
        split: replace(decoded.splits[chosen.source].take(chosen.rows), labels=chosen.labels)
        for split, chosen in choice.splits.items()
    }
    return replace(decoded, classes=choice.classes, splits=splits, steps=choice.steps)


def _rendered_how(decoded: Decoded, options: PreprocessOptions) -> list[str]:
    """Return a line about each thing that was done to the pictures."""
    steps = []
    if decoded.unreadable:
        steps.append(f"unreadable images were left out: {len(decoded.unreadable):,}")
    # Arrays may be as they are wanted; of pictures, which have names, nobody knows any more.
    parts = decoded.splits.values()
    if options.gray and any(part.names or part.images.shape[3] > 1 for part in parts):
        steps.append("colours became grey by the luma of ITU-R 601")
    if options.size is not None and any(
        part.names or part.images.shape[1:3] != options.size for part in parts
    ):
        height, width = options.size
        how = f"{options.fit}, {options.filter} filter"
        steps.append(f"images were brought to {height} x {width} ({how})")
    return steps


def _find_copies(decoded: Decoded, options: PreprocessOptions) -> list[Copy]:
    parts = {split: _fit(part, options.rendering) for split, part in decoded.splits.items()}
    return find_copies(parts, near=options.dedup == "near")


def _reasons(copies: Sequence[Copy], decoded: Decoded) -> list[tuple[str, str]]:
    """Return each repeated image's name and which one it repeats."""
    names = {split: part.names for split, part in decoded.splits.items()}
    labels = {split: part.labels for split, part in decoded.splits.items()}
    reasons = []
    for copy in copies:
        kept = name_of(copy.of_split, copy.of_row, names)
        alike = "the same as"
        if copy.bits is not None:
            alike = f"nearly the same ({copy.bits} of 256 bits differ) as"
        where = "" if copy.split == copy.of_split else f", which is in {copy.of_split}"
        label, other = labels[copy.split][copy.row], labels[copy.of_split][copy.of_row]
        if label != other:
            where += f", but {decoded.classes[label]} here and {decoded.classes[other]} there"
        reasons.append((name_of(copy.split, copy.row, names), f"{alike} {kept}{where}"))
    return reasons


def _leave_out(copies: Sequence[Copy], decoded: Decoded) -> list[str]:
    """Take out repeated images; returns a line about each split that lost some."""
    steps = []
    for split, part in list(decoded.splits.items()):
        gone = [copy for copy in copies if copy.split == split]
        if not gone:
            continue
        stay = np.delete(np.arange(len(part.labels)), [copy.row for copy in gone])
        same = sum(copy.bits is None for copy in gone)
        steps.append(
            f"repeated images of {split} were left out: {same:,} equal, {len(gone) - same:,} "
            f"nearly equal; {len(stay):,} stay"
        )
        if len(stay):
            decoded.splits[split] = part.take(stay)
        else:
            del decoded.splits[split]
    if "train" not in decoded.splits:
        raise InputError("every training image is also in another split; nothing is left to train.")
    return steps


def _folds(decoded: Decoded, options: PreprocessOptions) -> NDArray[np.int64] | None:
    if not options.folds:
        return None
    try:
        return stratified_folds(decoded.splits["train"].labels, options.folds, options.seed)
    except InputError as error:
        raise InputError(f"--folds: {error}") from error


def _check(source: str, options: PreprocessOptions, files_from: str | None) -> None:
    card = known_cards().get(source)
    for name in ("limit", "limit_per_class"):
        amount = getattr(options, name)
        if amount is not None and amount < 1:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} {amount}: at least 1 image must stay.")
    for name, known in (("fit", FITS), ("filter", FILTERS), ("dedup", DEDUP)):
        if getattr(options, name) not in known:
            raise InputError(
                f"--{name} is one of {', '.join(known)}, not {getattr(options, name)!r}."
            )
    if options.folds < 0 or options.folds == 1:
        raise InputError(f"--folds {options.folds}: 2 or more, or 0 for none.")
    if options.size is None and (options.fit, options.filter) != ("stretch", "bicubic"):
        raise InputError("--fit and --filter say how images are brought to --size; name a size.")
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
        # The root is named: that of the login node may be another, such as a home of its own.
        raise InputError(
            f"{card.name} is not downloaded; on a machine with a network, such as a cluster's "
            f"login node, run: nnlab download {card.name} --root {data_root(root).absolute()}; or "
            "name the folder that holds its files with --source."
        )
    return verified_files(card, files_folder(card.files_name, root))


class _Fitted:
    """Images of a part, brought to their channels and size when they are asked for.

    Args:
        images: as they are.
        rendering: what to make of them.
    """

    def __init__(self, images: Images, rendering: Rendering) -> None:
        self._images, self._rendering = images, rendering
        self.shape = (images.shape[0], *render_arrays(images[:1], rendering).shape[1:])

    def __getitem__(self, rows: slice, /) -> NDArray[np.uint8]:
        return render_arrays(self._images[rows], self._rendering)


def _fit(part: Part, rendering: Rendering) -> Images:
    """Bring the images of a part to the wanted channels and size, if they are not yet."""
    rows = Rows(part.images, part.order)
    channels, size = part.images.shape[3], part.images.shape[1:3]
    if (not rendering.gray or channels == 1) and rendering.size in {None, size}:
        return rows
    return _Fitted(rows, rendering)


def _stem(path: Path) -> str:
    name = path.resolve().name
    for suffix in sorted(ARCHIVES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name
    return name
