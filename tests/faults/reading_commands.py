"""Every command that reads a run or a data file, as the campaigns call it.

RUN, DATA and PICTURE stand for files; OUT.h5, OUT.html and OUT.png for results. A new command is
entered here or in `NOT_READING`; a test compares both with the table of commands.
"""

READING = {
    "train": (
        ("train", "DATA", "-o", "OUT.h5", "--epochs", "1", "--json"),
        ("train", "DATA", "--config", "RUN", "-o", "OUT.h5", "--epochs", "1"),
        ("train", "DATA", "-o", "RUN", "--epochs", "1", "--resume"),
    ),
    "knn-baseline": (
        ("knn-baseline", "DATA", "--k", "1,3", "--folds", "2", "--limit-train", "40",
         "--limit-test", "10", "--json"),
    ),
    "eval": (("eval", "RUN", "DATA", "--no-save", "--json"), ("eval", "RUN", "DATA")),
    "predict": (("predict", "RUN", "PICTURE"), ("predict", "RUN", "PICTURE", "--json")),
    "runs": (("runs", "RUN"), ("runs", "RUN", "--json")),
    "explain": (
        ("explain", "RUN", "PICTURE", "--json"),
        ("explain", "RUN", "--data", "DATA", "--index", "3", "-o", "OUT.html"),
    ),
    "report": (("report", "RUN", "-o", "OUT.html"),),
    "replay": (
        ("replay", "RUN", "DATA", "--step", "1", "--json"),
        ("replay", "RUN", "DATA", "--step", "1", "-o", "OUT.png"),
    ),
    "preprocess": (("preprocess", "DATA", "-o", "OUT.h5"),),
    "gradcheck": (("gradcheck", "RUN", "--images", "2", "--entries", "2"),),
}  # fmt: skip
# `sweep` trains: its workers read the data and write the runs as `train` does.
NOT_READING = {"datasets", "download", "doctor", "sweep"}


def lines_with(word):
    """The command lines that read RUN, or DATA, with the name of their command."""
    return [(name, line) for name, lines in READING.items() for line in lines if word in line]


def filled(line, folder, **files):
    """A command line with the names of files in it, results in a folder."""
    return [folder / word if word.startswith("OUT.") else files.get(word, word) for word in line]


def clear_results(folder):
    """Remove what a command line has made in the folder."""
    for path in folder.glob("OUT.*"):
        path.unlink()
