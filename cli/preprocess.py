"""`nnlab preprocess`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nnlab.cli.options import GENERAL, AsJson, Force, Root
from nnlab.cli.output import Output

IMAGES = "Images"
SPLITS = "Splits"
# A table of more classes than this would push the rest off the screen.
CLASSES_SHOWN = 20
FILES_SHOWN = 10


def command(
    source: Annotated[
        str,
        typer.Argument(
            help="A known name (see nnlab datasets), an image folder, an archive of one, or the "
            "folder of files in a known format.",
            metavar="SOURCE",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DATA.h5", help="The data file to write.")
    ],
    size: Annotated[
        str | None,
        typer.Option(
            metavar="N or HxW",
            help="Bring every image to this height and width. \\[default: as they are]",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    fit: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What becomes of other proportions: stretch (the whole picture, its proportions "
            "change), crop (the largest part in the middle), pad (the whole picture between black "
            "bars).",
            rich_help_panel=IMAGES,
        ),
    ] = "stretch",
    resampling: Annotated[
        str,
        typer.Option(
            "--filter",
            metavar="NAME",
            help="How pixels are resampled: nearest, box, bilinear, hamming, bicubic, lanczos.",
            rich_help_panel=IMAGES,
        ),
    ] = "bicubic",
    gray: Annotated[
        bool,
        typer.Option(
            "--gray", help="One channel (ITU-R 601 luma) instead of RGB.", rich_help_panel=IMAGES
        ),
    ] = False,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            help="Leave unreadable images out and name them, instead of stopping.",
            rich_help_panel=IMAGES,
        ),
    ] = False,
    dedup: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Leave repeated images out, within and across splits: exact, or near for nearly "
            "equal ones too; what is in test or val goes from train.",
            rich_help_panel=IMAGES,
        ),
    ] = "none",
    background_bias: Annotated[
        float | None,
        typer.Option(
            metavar="B",
            help="Of shapes: how often the background is the class's own. \\[default: 0.9]",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    val: Annotated[
        float | None,
        typer.Option(
            metavar="N or SHARE",
            help="Set so many training images aside as the split val, or a share below 1 of them, "
            "every class in proportion. \\[default: none]",
            rich_help_panel=SPLITS,
        ),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(
            metavar="N or SHARE",
            help="The same for the split test, where the source has none.",
            rich_help_panel=SPLITS,
        ),
    ] = None,
    folds: Annotated[
        int,
        typer.Option(
            metavar="K",
            help="Deal the training images to K folds, every class in proportion: for train "
            "--fold and knn-baseline.",
            rich_help_panel=SPLITS,
            show_default=False,
        ),
    ] = 0,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Keep these classes, with labels in this order.",
            rich_help_panel=SPLITS,
        ),
    ] = None,
    relabel: Annotated[
        str | None,
        typer.Option(
            metavar="OLD=NEW,...",
            help="Give classes other names, before --classes; several may become one.",
            rich_help_panel=SPLITS,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Keep at most N images of each split, every class in proportion.",
            rich_help_panel=SPLITS,
        ),
    ] = None,
    limit_per_class: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Keep at most N images of each class of each split.",
            rich_help_panel=SPLITS,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="Which images go where; of shapes, the images themselves.",
            rich_help_panel=SPLITS,
        ),
    ] = 0,
    files_from: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="DIR or URL",
            help="Of a known name: take its files from this folder, or fetch them from this URL.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Decode image files with so many processes. \\[default: what nnlab may use]",
            rich_help_panel=GENERAL,
        ),
    ] = None,
    root: Root = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Turn images of any known format into a data file.

    Reads IDX files, CIFAR batches (binary and Python), STL-10, .mat, .npz, HDF5, CSV and LIBSVM
    files of pixels, tables of image paths and labels, class folders of images (train/<class>/,
    test/<class>/, val/<class>/, or plain <class>/), such folders in a .tar, .tar.gz, .tar.xz or
    .zip, and draws shapes. Pictures are turned upright as their EXIF data say;
    what is transparent shows white; 16 bits become 8; of an animation the first frame counts. The
    images are chosen before any is decoded. The same images and options always give the same
    data, with the same checksum, whatever the number of workers. A file appears whole or not at
    all, and says in /provenance how it was made and what was left out.

    [bold]Examples[/bold]

    nnlab preprocess shapes -o shapes.h5

    nnlab preprocess fashion-mnist --source ~/downloads/fashion-mnist -o fashion.h5

    nnlab preprocess photos/ -o photos.h5 --size 32 --test 0.2 --val 0.1

    nnlab preprocess photos.tar.xz -o gray.h5 --size 32x48 --gray --limit 5000 --skip-bad --json

    nnlab preprocess photos/ -o pets.h5 --size 64 --fit crop --classes cat,dog --dedup near
    """
    from nnlab.atomic import refuse_existing
    from nnlab.cli.counter import Counter
    from nnlab.cli.signals import stopped_in_a_line
    from nnlab.datasets.choosing import parse_classes, parse_relabel
    from nnlab.datasets.download import is_url
    from nnlab.datasets.preprocess import PreprocessOptions, parse_size, preprocess

    out = Output(as_json)
    refuse_existing(output, force, Path(source).expanduser())
    options = PreprocessOptions(
        size=None if size is None else parse_size(size),
        gray=gray,
        fit=fit,
        filter=resampling,
        classes=None if classes is None else parse_classes(classes),
        relabel={} if relabel is None else parse_relabel(relabel),
        test=test,
        val=val,
        limit=limit,
        limit_per_class=limit_per_class,
        folds=folds,
        dedup=dedup,
        seed=seed,
        skip_bad=skip_bad,
        background_bias=background_bias,
    )
    left = "nothing was kept."
    if files_from is not None and is_url(files_from):
        left = "no data file was made, but what has come is kept."
    with stopped_in_a_line(left), Counter(f"reading {source}", "images") as counter:
        summary = preprocess(
            source, output, options, files_from, root, counter.show, force, workers
        )
    show(summary, out)
    out.result(summary.record())


def show(summary: Any, out: Output) -> None:
    """Show what is in a data file, and warn of what looks suspicious."""
    splits = list(summary.counts)
    rows = [
        [name, *[f"{summary.counts[split][i]:,}" for split in splits]]
        for i, name in enumerate(summary.classes[:CLASSES_SHOWN])
    ]
    if len(summary.classes) > CLASSES_SHOWN:
        rows.append([f"... {len(summary.classes) - CLASSES_SHOWN} more classes"])
    rows.append(["all", *[f"{sum(summary.counts[split]):,}" for split in splits]])
    out.table(summary.name, ["class", *splits], rows)
    height, width, channels = summary.image_shape
    out.line(
        f"tensor         {height} x {width} x {channels} = {height * width * channels:,} values "
        f"from {summary.low} to {summary.high} (bytes)"
    )
    out.line(f"channel mean   {_numbers(summary.channel_mean)}  (training split)")
    out.line(f"channel std    {_numbers(summary.channel_std)}")
    out.line(f"duplicates     {_duplicates(summary.duplicates)}")
    if summary.folds:
        out.line(f"folds          {len(summary.folds)} of {_numbers_of(summary.folds)} images")
    out.line(f"checksum       {summary.checksum}")
    for step in summary.steps:
        out.line(f"done           {step}")
    out.line(f"-> {summary.path}")
    for warning in _warnings(summary):
        out.warn(warning)


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _numbers_of(counts: list[int]) -> str:
    least, most = min(counts), max(counts)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _duplicates(duplicates: Any) -> str:
    parts = [f"{count:,} within {split}" for split, count in duplicates.within.items() if count]
    parts += [f"{count:,} across {pair}" for pair, count in duplicates.across.items() if count]
    return ", ".join(parts) or "none"


def _warnings(summary: Any) -> list[str]:
    warnings = [
        f"split {split} has no images of: {', '.join(names)}"
        for split, names in summary.empty_classes.items()
    ]
    warnings += [
        f"images in both {pair.replace('/', ' and ')}: {count:,}; results will look too good"
        for pair, count in summary.duplicates.across.items()
        if count
    ]
    if summary.duplicates.contradictory:
        warnings.append(f"images with different labels: {summary.duplicates.contradictory:,}")
    warnings += [
        f"the same image: {first} and {second}" for first, second in summary.duplicates.examples
    ]
    warnings += [f"left out: {file}: {reason}" for file, reason in summary.left_out[:FILES_SHOWN]]
    if len(summary.left_out) > FILES_SHOWN:
        more = len(summary.left_out) - FILES_SHOWN
        warnings.append(f"left out: {more:,} more; --json names them all")
    return warnings + list(summary.notes)
