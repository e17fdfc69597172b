"""A trainer's state in a run file, and back.

/weights, /best/weights        parameters and running statistics by layer, now and at best
/optimizer                     the state vectors, laid out like theta, and the average
/history/step, /history/epoch  one array a quantity
/history/sampled               one array a quantity, see `nnlab.training.watch`
/progress                      counters as attributes
/divergence, /replay           of a diverged run: where it did, and the state before (see `replay`)
/warnings                      signs of trouble as attributes, see `nnlab.training.advice`
/preprocessing                 the standardization
"""

from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.core.network import Network
from nnlab.errors import FileFormatError
from nnlab.runs import Run
from nnlab.training.events import Counters
from nnlab.training.standardization import STANDARDIZATIONS, Standardization
from nnlab.training.trainer import Trainer


def store(trainer: Trainer, run: Run) -> None:
    """Put the state of a trainer that stands at a step boundary into a run.

    Arrays are handed over as they are, not copied: save the run before the next step.
    """
    network, counters = trainer.network, trainer.counters
    for path in [path for path in run.arrays if path.startswith(("weights/", "best/"))]:
        del run.arrays[path]
    _store_network(run, "weights", network, network.theta, network.running)
    if counters.best_epoch:
        _store_network(run, "best/weights", network, trainer.best_theta, trainer.best_running)
        run.attributes["best"] = {"epoch": counters.best_epoch}
    optimizer = trainer.update.optimizer
    for name, vector in optimizer.state.items():
        run.arrays[f"optimizer/{name}"] = vector
    if trainer.update.average is not None:
        run.arrays["optimizer/average"] = trainer.update.average
    run.attributes["optimizer"] = {"kind": optimizer.kind, "steps": optimizer.steps}
    run.arrays["good/theta"] = trainer.good_theta
    run.arrays["good/running"] = trainer.good_running
    done = trainer.steps_done
    run.history["step"] = {name: values[:done] for name, values in trainer.step_history.items()}
    run.history["epoch"] = {
        name: np.array(values) for name, values in trainer.epoch_history.items()
    }
    run.history["sampled"] = trainer.watch.arrays()
    if trainer.warnings:
        run.attributes["warnings"] = dict(trainer.warnings)
    run.attributes["progress"] = {
        **asdict(counters),
        "epochs": trainer.epochs,
        "steps_per_epoch": trainer.batches.steps,
        "finished": trainer.finished,
        "stopped_early": trainer.stopped_early,
    }


def keep_for_replay(run: Run, before: Run | None) -> None:
    """Put the last state that training went on from into a diverged run, under /replay.

    From there the steps up to the one that diverged can be walked again.

    Args:
        run: the diverged one.
        before: its last checkpoint; None if there was none: then a replay begins at the first step.
    """
    if before is None:
        return
    kept = ("weights/", "optimizer/")
    run.arrays |= {
        f"replay/{path}": array for path, array in before.arrays.items() if path.startswith(kept)
    }
    run.attributes["replay"] = before.attributes["progress"]
    run.attributes["replay/optimizer"] = before.attributes["optimizer"]


def before_divergence(run: Run) -> Run | None:
    """Return what `keep_for_replay` kept as a run that `restore` takes; None if there is nothing.

    Its best weights are not known any more; training on from it goes the same way all the same.
    """
    if "replay" not in run.attributes:
        return None
    prefix = "replay/"
    progress = run.attributes["replay"] | {"best_epoch": 0}
    done = int(progress["epoch"]) * int(progress["steps_per_epoch"]) + int(progress["step"])
    steps, epochs, sampled = (run.history[series] for series in ("step", "epoch", "sampled"))
    taken = sampled.get("step", np.empty(0)) < done
    return Run(
        kind=run.kind,
        command=run.command,
        config=run.config,
        classes=run.classes,
        spec=run.spec,
        arrays={
            name.removeprefix(prefix): array
            for name, array in run.arrays.items()
            if name.startswith((prefix, "good/"))
        },
        attributes={"progress": progress, "optimizer": run.attributes["replay/optimizer"]},
        history={
            "step": {name: values[:done] for name, values in steps.items()},
            "epoch": {name: values[: int(progress["epoch"])] for name, values in epochs.items()},
            "sampled": {name: values[taken] for name, values in sampled.items()},
        },
        path=run.path,
    )


def restore(trainer: Trainer, run: Run) -> None:
    """Bring a fresh trainer to the state that a run holds.

    Raises:
        FileFormatError: the run does not hold what this trainer needs.
    """
    network = trainer.network
    try:
        load_network(network, run, "weights")
        trainer.best_theta[...] = network.theta
        trainer.best_running[...] = network.running
        progress = run.attributes["progress"]
        counters = Counters(
            **{entry.name: _typed(entry.type, progress[entry.name]) for entry in fields(Counters)}
        )
        if counters.best_epoch:
            load_network(network, run, "best/weights")
            trainer.best_theta[...] = network.theta
            trainer.best_running[...] = network.running
            load_network(network, run, "weights")
        for name, vector in trainer.update.optimizer.state.items():
            vector[...] = run.arrays[f"optimizer/{name}"]
        if trainer.update.average is not None:
            trainer.update.average[...] = run.arrays["optimizer/average"]
        trainer.update.optimizer.steps = int(run.attributes["optimizer"]["steps"])
        trainer.good_theta[...] = run.arrays["good/theta"]
        trainer.good_running[...] = run.arrays["good/running"]
        trainer.counters = counters
        done = trainer.steps_done
        for name in trainer.step_history:
            longest = max(len(trainer.step_history[name]), done)  # --epochs may have shrunk
            trainer.step_history[name] = np.empty(longest)
            trainer.step_history[name][:done] = run.history["step"][name]
        trainer.epoch_history = {
            name: [float(value) for value in values]
            for name, values in run.history["epoch"].items()
        }
        trainer.watch.restore(run.history["sampled"])
        trainer.warnings = {
            name: str(text) for name, text in run.attributes.get("warnings", {}).items()
        }
        trainer.schedule.losses[:] = trainer.epoch_history.get("val_loss", [])
    except (KeyError, ValueError, TypeError) as error:
        raise FileFormatError(
            f"{run.path} does not hold the state of this network ({error}); it cannot be resumed."
        ) from error


def load_network(network: Network, run: Run, prefix: str) -> None:
    """Read parameters and running statistics below `prefix` into a network."""
    for name, view in _views(network, network.theta, network.running):
        stored = run.arrays[f"{prefix}/{name}"]
        if stored.shape != view.shape:
            raise ValueError(f"{prefix}/{name} has shape {stored.shape}, not {view.shape}")
        view[...] = stored


def store_model(trainer: Trainer, standardization: Standardization, run: Run) -> None:
    """Put what builds the network again, and what it expects of an image, into a run."""
    run.spec |= {
        "network": trainer.network.spec(),
        "loss": trainer.loss.spec(),
        "image_shape": [int(length) for length in standardization.image_shape],
    }
    run.attributes["preprocessing"] = {"kind": standardization.kind}
    for name, array in standardization.arrays().items():
        run.arrays[f"preprocessing/{name}"] = array


def load_standardization(run: Run) -> Standardization:
    """Read what the network expects of an image.

    Raises:
        FileFormatError: it is not there, or does not fit the images' shape.
    """
    try:
        kind = str(run.attributes["preprocessing"]["kind"])
        shape = tuple(int(length) for length in run.spec["image_shape"])
        scale, shift = run.arrays["preprocessing/scale"], run.arrays["preprocessing/shift"]
        matrix = run.arrays.get("preprocessing/matrix")
        size = int(np.prod(shape))
        fits = scale.shape == shift.shape == (size,) and (
            matrix is None or matrix.shape == (size, size)
        )
        if kind not in STANDARDIZATIONS or not fits:
            raise ValueError("unknown kind or wrong shape")
    except (KeyError, ValueError, TypeError) as error:
        raise FileFormatError(f"{run.path} has no usable /preprocessing ({error}).") from error
    return Standardization(kind, shape, scale, shift, matrix)


def _store_network(
    run: Run, prefix: str, network: Network, theta: NDArray[Any], running: NDArray[Any]
) -> None:
    for name, view in _views(network, theta, running):
        run.arrays[f"{prefix}/{name}"] = view


def _views(network: Network, theta: NDArray[Any], running: NDArray[Any]) -> Any:
    yield from network.named_parameters(theta)
    yield from network.named_running(running)


def _typed(kind: Any, value: Any) -> Any:
    return int(value) if kind in {int, "int"} else float(value)
