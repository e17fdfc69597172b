"""Trainings of three models that the campaigns disturb."""

MODELS = {
    "softmax": ("--model", "softmax", "--lr", 0.01),
    "svm": ("--model", "svm", "--l2", 1e-3, "--optimizer", "momentum"),
    "mlp": (
        "--model", "mlp", "--hidden", "32,16", "--dropout", 0.2, "--augment", "shift=2",
        "--schedule", "cosine", "--ema", 0.9, "--batch-norm",
    ),
}  # fmt: skip
BATCH = 40
STEPS = 27  # of an epoch


def training(data, model, output, epochs, every=0):
    """The arguments of a training that may have been begun before.

    Args:
        data: the data file, of 1,200 training images.
        model: one of `MODELS`.
        output: the run file.
        epochs: how many.
        every: steps between checkpoints; 0 for none.
    """
    return (
        "train", data, "-o", output, *MODELS[model], "--epochs", epochs, "--batch-size", BATCH,
        "--checkpoint-every", every, "--json", "--resume",
    )  # fmt: skip
