"""What surrounds an evaluation: the right classes, the run file, what is said about it."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nnlab.claims import claim
from nnlab.errors import ClaimLostError, FileFormatError, InputError
from nnlab.metrics import Metrics
from nnlab.neighbors import restore
from nnlab.neighbors.exact_search import QUERY_BLOCK
from nnlab.predictions import Predictions
from nnlab.ranks import Alone
from nnlab.runs import Run, open_run
from nnlab.significance import PairedComparison, accuracy_interval


class NeighborModel:
    """A nearest-neighbour classifier with the face of a trained network.

    Args:
        run: of kind ``knn``.
        images: (N, H, W, C) the whole split that the run searched.
        labels: (N,) its labels.

    Raises:
        InputError: other images than the run was made with.
        FileFormatError: the run does not describe a classifier.
    """

    def __init__(self, run: Run, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.classes = list(run.classes)
        try:
            self.image_shape = tuple(int(length) for length in run.spec["image_shape"])
            self._classifier = restore(run.spec, images, labels)
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(
                f"{run.path} does not describe a classifier ({error})."
            ) from error

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return each class's share of the votes, (N, C)."""
        return self._classifier.predict_proba(images)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the elected class (N,)."""
        return self._classifier.predict(images)

    def answers(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Predictions:
        """Classify labelled images, with one search; there are no scores and no loss."""
        votes = self.probabilities(images)
        # Of equal shares the smallest class is elected: what argmax does.
        return Predictions(labels, votes.argmax(axis=1), votes)


def answers_together(
    ranks: Alone, model: Any, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> Predictions:
    """Let several ranks classify labelled images, each a part of them.

    The parts begin where a model's own blocks of images do, so that the answers are those of one
    process, bit for bit.

    Args:
        ranks: each calls this with the same arguments.
        model: a `NeighborModel` or a trained network.
        images: (N, H, W, C).
        labels: (N,).

    Returns:
        The answers to all images, on every rank.
    """
    mine = ranks.block(len(labels), QUERY_BLOCK)
    some = mine.stop > mine.start
    if ranks.size == 1 or not len(labels):
        return cast(Predictions, model.answers(images, labels))
    found = ranks.collect(model.answers(images[mine], labels[mine]) if some else None)
    parts = [part for part in found if part is not None]
    whole = Predictions(
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.predicted for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        delta=parts[0].delta,
    )
    if parts[0].scores is None:
        return whole
    scores = np.concatenate([part.scores for part in parts])
    return replace(whole, scores=scores, loss=model.mean_loss(scores, whole.labels))


def data_of(run: Run) -> str:
    """Return the path of the data file that a run was made with; empty if it does not say."""
    named = run.spec.get("data")
    if isinstance(named, dict):
        return str(named.get("path", ""))
    return str(run.config.get("data_path", ""))


def warning_of_own_images(run: Run, checksum: str, split: str) -> str:
    """Say that a run is asked about the very images it searches; empty where it is not.

    Nearest neighbours find each of those at distance 0 and classify it right.

    Args:
        run: of any kind; a network may well be measured on its training images.
        checksum: of the data file.
        split: of the data file.
    """
    searched = run.spec.get("data")
    if run.kind != "knn" or not isinstance(searched, dict):
        return ""
    if (searched.get("checksum"), searched.get("split", "train")) != (checksum, split):
        return ""
    return (
        f"{run.path} searches the images of {split} themselves: each that it searches is its own "
        "nearest neighbour, so the accuracy says little; other images tell more."
    )


def check_same_classes(run: Run, classes: Sequence[str], where: str) -> None:
    """Check that data has the classes of a run, in the same order.

    Raises:
        InputError: it has not.
    """
    if list(run.classes) == list(classes):
        return
    raise InputError(
        f"{where} has the classes {', '.join(classes)}; {run.path} was trained on "
        f"{', '.join(run.classes)}."
    )


def store_evaluation(run: Run, data: str, split: str, metrics: Metrics) -> str:
    """Keep an evaluation in the run file.

    The file is claimed and then read again: another command may have added to it meanwhile.

    Returns:
        Why that was not possible, or an empty text: a run in a read-only folder, or one that is
        still in training, can be evaluated.
    """
    if run.path is None:
        return "the run is not saved yet; the evaluation is not kept."
    try:
        with claim(run.path, "eval", brief=True) as held:
            current = open_run(run.path)
            current.evaluations[data, split] = metrics
            return current.save(run.path, held)
    except (InputError, ClaimLostError) as error:
        return f"the evaluation is not kept in the run file: {error}"


def parse_tops(text: str | None) -> tuple[int, ...]:
    """Return the numbers in a text such as ``1,3``; none for None.

    Raises:
        InputError: something in it is not a whole number of at least 1.
    """
    try:
        counts = () if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = (0,)
    if any(count < 1 for count in counts):
        raise InputError(f"--top takes whole numbers of at least 1, such as 1,3, not {text!r}.")
    return counts


def evaluation_record(
    predictions: Predictions,
    metrics: Metrics,
    classes: Sequence[str],
    confidence: float,
    tops: Sequence[int] = (),
) -> dict[str, Any]:
    """Return what `nnlab eval --json` says about one model on one split.

    Args:
        predictions: the model's answers.
        metrics: what was measured on them.
        classes: the names of the classes.
        confidence: of the interval of the accuracy.
        tops: for which K the share of images with the true class among the K most probable is
            wanted.
    """
    interval = accuracy_interval(metrics.correct, metrics.n, confidence)
    record = {**metrics.record(classes), "accuracy_interval": asdict(interval)}
    if tops:
        record["top_accuracy"] = {str(count): predictions.top_accuracy(count) for count in tops}
    return record


def comparison_in_words(comparison: PairedComparison, first: str, second: str) -> str:
    """Say what McNemar's test found, in one line.

    Args:
        comparison: the result.
        first: the name of the first model.
        second: the name of the second model.
    """
    differ = comparison.only_first + comparison.only_second
    counts = (
        f"{first} alone is right on {comparison.only_first:,} images, {second} alone on "
        f"{comparison.only_second:,}; McNemar's test: p = {comparison.p_value:.3g}"
    )
    if differ == 0:
        return f"{first} and {second} are right on the very same images."
    if not comparison.significant:
        return f"{counts}: the difference may well be chance."
    better, worse = (first, second) if comparison.difference > 0 else (second, first)
    return f"{counts}: {better} is better than {worse}, and not by chance alone."


def most_probable(
    probabilities: NDArray[np.float64], classes: Sequence[str], count: int
) -> list[list[dict[str, Any]]]:
    """Return, for each image, its `count` most probable classes, the likeliest first.

    Args:
        probabilities: (N, C).
        classes: the names of the C classes.
        count: how many; all C where there are fewer.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    return [
        [{"class": classes[index], "probability": float(row[index])} for index in best]
        for row, best in zip(probabilities, order, strict=True)
    ]
