"""The table of commands: one line each, grouped as `nnlab --help` shows them.

A command is a function called `command` in a module of this folder, or a Typer application called
`app` for a command with commands of its own. The module is imported only when the command runs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """Where a command lives and what it does, in one line."""

    module: str
    summary: str


COMMANDS: dict[str, dict[str, Command]] = {
    "Data": {
        "datasets": Command("datasets", "List the known data sets and what is on this machine."),
        "download": Command("download", "Fetch a data set's files and verify them."),
        "preprocess": Command("preprocess", "Turn images of any known format into a data file."),
    },
    "Models": {
        "train": Command("train", "Train a softmax classifier, a linear SVM or an MLP."),
        "knn-baseline": Command("knn_baseline", "Classify by the nearest training images."),
        "eval": Command("eval", "Measure a trained model on a data split."),
        "predict": Command("predict", "Classify image files."),
    },
    "Searching": {
        "sweep": Command("sweep", "Search for the best settings, on one machine or on many."),
    },
    "Looking inside": {
        "explain": Command("explain", "Show the whole way of one image, forward and back."),
        "runs": Command("runs", "Compare runs in one table."),
        "replay": Command("replay", "Make a step of a training again, and find where it diverged."),
        "report": Command("report", "Make one page of curves, weights and mistakes of runs."),
        "gradcheck": Command("gradcheck", "Compare analytic with numerical gradients."),
        "doctor": Command("doctor", "Show what this machine gives nnlab to work with."),
    },
}


def find(name: str) -> Command | None:
    """Return the command of that name, or None."""
    for group in COMMANDS.values():
        if name in group:
            return group[name]
    return None


def names() -> list[str]:
    """Return every command's name, in the order of the table."""
    return [name for group in COMMANDS.values() for name in group]
