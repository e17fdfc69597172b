"""What shuffling by blocks costs in accuracy: the same training with both orders, seed by seed.

    python benchmarks/shuffling.py DATA.h5 [--seeds 8] [--epochs 10] [--output FILE.json]

The training images are sorted by class, the worst order that a file can have, and `blocks` mixes
one megabyte at a time: Fashion-MNIST then has 45 windows, as many as a file of 11 GB has with the
default of 256 MB. Both orders share first weights, settings and seed; the test images measure the
last weights. Printed are the means over the seeds, and the mean of the differences within a seed
with its standard error: without a loss it lies within about two of them.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from nnlab import Classifier, open_data

RESULTS = Path(__file__).parent / "results" / "shuffling.json"
MODELS = {"softmax": {}, "mlp": {"hidden": "256", "dropout": 0.2}}
WINDOW = 1  # megabyte


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path, help="a data file with a test split")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the JSON goes")
    arguments = parser.parse_args()
    with open_data(arguments.data) as data:
        train, test = data.split("train"), data.split("test")
        order = np.argsort(train.labels, kind="stable")
        images, labels, classes = train.images[order], train.labels[order], data.classes
        test_images, test_labels = np.array(test.images), test.labels
    print(f"{len(images):,} images sorted by class, {len(test_images):,} to test on, ", end="")
    print(f"{arguments.epochs} epochs, {arguments.seeds} seeds")
    print(f"{'':10}{'full':>18}{'blocks':>18}{'blocks - full':>24}")
    found: dict[str, dict[str, list[list[float]]]] = {}
    for model, settings in MODELS.items():
        found[model] = {"full": [], "blocks": []}
        for seed in range(arguments.seeds):
            for shuffle, measured in found[model].items():
                classifier = Classifier(
                    model, **settings, seed=seed, epochs=arguments.epochs, val=0,
                    shuffle=shuffle, shuffle_window=WINDOW,
                )  # fmt: skip
                classifier.fit(images, labels, classes=classes)
                result = classifier.evaluate(test_images, test_labels)
                measured.append([100 * result.accuracy, result.log_loss])
        full, blocks = (np.array(found[model][shuffle]) for shuffle in ("full", "blocks"))
        for column, what in enumerate(("right, %", "log loss")):
            one, other = full[:, column], blocks[:, column]
            error = np.std(other - one, ddof=1) / np.sqrt(len(one))
            print(
                f"{model if column == 0 else '':10}{what:9}{one.mean():9.4f}{other.mean():18.4f}"
                f"{(other - one).mean():+13.4f} +- {error:.4f}",
                flush=True,
            )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
