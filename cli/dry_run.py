"""What `nnlab train --dry-run` shows."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from nnlab.cli.output import Output
from nnlab.texts import counted


def find_prepared(text: str, root: Path | None) -> Path:
    """Return the data file that a text means, without downloading or preparing anything.

    Raises:
        InputError: the data set has to be prepared first.
    """
    from nnlab.datasets import find_data
    from nnlab.datasets.known import known_cards
    from nnlab.datasets.roots import prepared_file
    from nnlab.errors import InputError

    is_file = Path(text).expanduser().is_file()
    if not is_file and text in known_cards() and not prepared_file(text, root).is_file():
        raise InputError(
            f"{text} is not prepared on this machine, and --dry-run writes nothing; run nnlab "
            f"preprocess {text} -o {text}.h5 first and name that file."
        )
    return find_data(text, root)


def show(settings: Any, data: Any, out: Output) -> None:
    """Measure a few steps and show what the whole training will need."""
    from nnlab.training.durations import format_duration, format_roughly
    from nnlab.training.estimate import estimate

    found = estimate(settings, data.train, data.validation, data.classes)
    memory = "unknown" if found.memory_bytes is None else megabytes(found.memory_bytes)
    out.table(
        f"{settings.model} on {data.name}, {found.steps_measured} steps measured",
        ["what", "needs"],
        [
            ["parameters", f"{found.parameters:,}"],
            ["images", f"{found.train_images:,} to train, {found.validation_images:,} to validate"],
            ["steps", f"{counted(found.epochs, 'epoch')} of {found.steps_per_epoch:,}"],
            ["memory at its peak", f"{memory}, and {megabytes(found.data_bytes)} of mapped images"],
            ["run file", f"{megabytes(found.checkpoint_bytes)}; twice that while it is replaced"],
            [
                "a step",
                f"{1000 * found.step_seconds:.2f} ms, {found.images_per_second:,.0f} images/s",
            ],
            ["an epoch", format_duration(found.epoch_seconds)],
            ["the whole training", format_roughly(found.seconds)],
        ],
        left=2,
    )
    out.line("nothing was written")
    record = {"dry_run": True, "model": settings.model, "data": data.name}
    out.result(record | asdict(found))


def megabytes(size: int) -> str:
    """Write a size in bytes for people."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
