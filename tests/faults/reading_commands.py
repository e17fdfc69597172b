"""Every command that reads a run or a data file, as the campaigns call it.

RUN, DATA, PICTURE and OUT stand for files. A new command is entered here or in `NOT_READING`;
a test compares both with the table of commands.
"""

# What a kNN run stands in for a network's run is written with KNN.
READING = {
    "train": (
        ("train", "DATA", "-o", "OUT", "--epochs", "1", "--json"),
        ("train", "DATA", "--config", "RUN", "-o", "OUT", "--epochs", "1"),
        ("train", "DATA", "-o", "RUN", "--epochs", "1", "--resume"),
    ),
    "knn-baseline": (
        ("knn-baseline", "DATA", "--k", "1,3", "--folds", "2", "--limit-train", "40",
         "--limit-test", "10", "--json"),
    ),
    "eval": (("eval", "RUN", "DATA", "--no-save", "--json"), ("eval", "RUN", "DATA")),
    "predict": (("predict", "RUN", "PICTURE"), ("predict", "RUN", "PICTURE", "--json")),
    "runs": (("runs", "RUN"), ("runs", "RUN", "--json")),
    "gradcheck": (("gradcheck", "RUN", "--images", "2", "--entries", "2"),),
}  # fmt: skip
NOT_READING = {"datasets", "download", "preprocess", "doctor"}


def lines_with(word):
    """The command lines that read RUN, or DATA, with the name of their command."""
    return [(name, line) for name, lines in READING.items() for line in lines if word in line]


def filled(line, **files):
    """A command line with the names of files in it."""
    return [files.get(word, word) for word in line]
