"""The same explanation by another route: PyTorch, its autograd and its losses.

Nothing of nnlab computes here; its dataclasses hold the results, so that both can be compared
number by number, and so that either can be shown on a page.
"""

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from nnlab.explanation.layers import BackwardLayer, ForwardLayer, UnitValue, WeightChange
from nnlab.explanation.losses import HingePart, PenaltyPart, SoftmaxPart
from nnlab.explanation.network import NetworkExplanation, StepPart
from nnlab.explanation.scores import ClassEvidence, PixelEvidence, ScoresPart
from nnlab.explanation.tensor import ChannelWindow, StandardizedPart, TensorPart

ACTIVATIONS = {
    "relu": functional.relu,
    "leaky_relu": lambda x: functional.leaky_relu(x, 0.01),
    "elu": functional.elu,
    "gelu": lambda x: functional.gelu(x, approximate="tanh"),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
STEEPEST = {"sigmoid": 0.25, "gelu": 1.129}


class Route:
    """One run's network in PyTorch, from the arrays of the run file."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.layers = run.spec["network"]["layers"]
        self.parameters = {}
        self.running = {}
        for path, values in run.arrays.items():
            if path.startswith("best/weights/"):
                name = path.removeprefix("best/weights/")
                tensor = torch.tensor(values, dtype=torch.float64)
                if "running_" in name:
                    self.running[name] = tensor
                else:
                    self.parameters[name] = tensor.requires_grad_()

    def layer(self, index: int, x: Any, parameters: dict[str, Any]) -> Any:
        kind = self.layers[index]["kind"]
        name = f"{index}_{kind}"
        if kind == "linear":
            return functional.linear(x, parameters[f"{name}/W"].T, parameters[f"{name}/b"])
        if kind == "dropout":
            return functional.dropout(x, 0.5, training=False) * 1.0
        if kind == "batch_norm":
            return functional.batch_norm(
                x, self.running[f"{name}/running_mean"], self.running[f"{name}/running_variance"],
                parameters[f"{name}/gain"], parameters[f"{name}/bias"], eps=1e-5,
            )  # fmt: skip
        if kind == "layer_norm":
            gain, bias = parameters[f"{name}/gain"], parameters[f"{name}/bias"]
            return functional.layer_norm(x, x.shape[1:], gain, bias, eps=1e-5)
        return ACTIVATIONS[kind](x)

    def forward(self, x: Any, parameters: dict[str, Any]) -> list[Any]:
        values = [x]
        for index in range(len(self.layers)):
            values.append(self.layer(index, values[-1], parameters))
        return values

    def data_loss(self, scores: Any, label: int) -> Any:
        """Mean over one image, class weight included, but not divided by it."""
        spec = self.run.spec["loss"]
        target = torch.tensor([label])
        weight = spec.get("class_weights")
        weight = None if weight is None else torch.tensor(weight, dtype=torch.float64)
        if spec["kind"] == "softmax":
            loss = functional.cross_entropy(
                scores, target, reduction="sum", label_smoothing=spec["label_smoothing"]
            )
            return loss if weight is None else loss * weight[label]
        power = 2 if spec["kind"] == "squared_hinge" else 1
        mean = functional.multi_margin_loss(
            scores, target, p=power, margin=spec["delta"], weight=weight, reduction="sum"
        )
        return mean * scores.shape[1]

    def penalty(self, parameters: dict[str, Any]) -> tuple[Any, Any]:
        weights = torch.cat([p.reshape(-1) for n, p in parameters.items() if n.endswith("/W")])
        return weights.pow(2).sum(), weights.abs().sum()

    def total(self, x: Any, label: int, parameters: dict[str, Any]) -> tuple[Any, Any, Any]:
        scores = self.forward(x, parameters)[-1]
        squares, sizes = self.penalty(parameters)
        penalty = self.run.config["l2"] / 2 * squares + self.run.config["l1"] * sizes
        return scores, self.data_loss(scores, label), penalty


def standardize(route: Route, pixels: torch.Tensor, training: np.ndarray) -> torch.Tensor:
    """Standardize by the definition, from the training images."""
    kind = route.run.attributes["preprocessing"]["kind"]
    p, all_images = pixels.double() / 255, torch.tensor(training).double() / 255
    if kind == "none":
        return p.reshape(-1)
    if kind == "mean_image":
        return (p - all_images.mean(dim=0)).reshape(-1)
    dims = (0,) if kind == "pixel" else (0, 1, 2)
    deviation = all_images.std(dim=dims, correction=0).clamp(min=1 / 255)
    x = (p - all_images.mean(dim=dims)) / deviation
    if kind != "zca":
        return x.reshape(-1)
    flat = ((all_images - all_images.mean(dim=dims)) / deviation).reshape(len(training), -1)
    mean = flat.mean(dim=0)
    values, vectors = torch.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
    whitening = vectors @ torch.diag((values.clamp(min=0) + 0.1).rsqrt()) @ vectors.T
    return (x.reshape(-1) - mean) @ whitening


def explain(
    run: Any, image: np.ndarray, label: int, training: np.ndarray, like: NetworkExplanation
) -> NetworkExplanation:
    """Explain an image; of `like` only names and the choice of what is shown are taken."""
    route = Route(run)
    pixels = torch.tensor(image)
    x = standardize(route, pixels, training)[None].requires_grad_()
    values = route.forward(x, route.parameters)
    for value in values:
        value.retain_grad()
    scores = values[-1]
    data_loss = route.data_loss(scores, label)
    data_loss.backward()
    data_gradients = {name: p.grad.clone() for name, p in route.parameters.items()}
    squares, sizes = route.penalty(route.parameters)
    penalty = penalty_part(run, squares, sizes)
    (run.config["l2"] / 2 * squares + run.config["l1"] * sizes).backward()
    gradients = {name: p.grad.clone() for name, p in route.parameters.items()}
    return NetworkExplanation(
        subject=like.subject,
        tensor=tensor_part(pixels, like),
        standardized=standardized_part(run, x[0].detach(), like),
        scores=scores_part(route, x.detach(), values, like),
        loss=loss_part(route, scores, label, data_loss),
        penalty=penalty,
        total_loss=data_loss.item() + penalty.value,
        forward=[forward_layer(route, i, values) for i in range(len(route.layers))],
        backward=[
            backward_layer(route, i, values, data_gradients, gradients, image.shape)
            for i in reversed(range(len(route.layers)))
        ],
        step=step_part(route, x.detach(), label, gradients),
    )


def penalty_part(run: Any, squares: Any, sizes: Any) -> PenaltyPart:
    l2, l1 = run.config["l2"], run.config["l1"]
    l2_part, l1_part = l2 / 2 * squares.item(), l1 * sizes.item()
    return PenaltyPart(l2, l1, squares.item(), sizes.item(), l2_part, l1_part, l2_part + l1_part)


def tensor_part(pixels: torch.Tensor, like: NetworkExplanation) -> TensorPart:
    t = like.tensor
    rows, columns = t.windows[0].values.shape
    window = pixels[t.row : t.row + rows, t.column : t.column + columns]
    return TensorPart(
        pixels=pixels.numpy(),
        shape=tuple(pixels.shape),
        minimum=pixels.min().item(),
        maximum=pixels.max().item(),
        mean=pixels.double().mean().item(),
        row=t.row,
        column=t.column,
        windows=[
            ChannelWindow(w.name, pixels[..., c].double().mean().item(), window[..., c].numpy())
            for c, w in enumerate(t.windows)
        ],
        length=pixels.numel(),
        head=pixels.reshape(-1)[t.head_start : t.head_start + 12].numpy(),
        head_start=t.head_start,
    )


def standardized_part(run: Any, x: torch.Tensor, like: NetworkExplanation) -> StandardizedPart:
    s = like.standardized
    start = like.tensor.head_start
    return StandardizedPart(
        s.kind, s.formula, x.numpy(), x.min().item(), x.max().item(), x.mean().item(),
        x.std(correction=0).item(), x[start : start + 12].numpy(),
    )  # fmt: skip


def scores_part(
    route: Route, x: torch.Tensor, values: list[Any], like: NetworkExplanation
) -> ScoresPart:
    last = f"{len(route.layers) - 1}_linear"
    evidence = []
    for shown in like.scores.evidence:
        leaf = x.clone().requires_grad_()
        route.forward(leaf, route.parameters)[-1][0, shown.label].backward()
        pixels = (leaf.grad[0] * x[0]).reshape(like.tensor.shape).sum(dim=2)
        evidence.append(
            ClassEvidence(
                shown.label, pixels.numpy(), pixels.sum().item(),
                strongest(pixels, True), strongest(pixels, False),
            )
        )  # fmt: skip
    scores = values[-1][0].detach()
    weights, biases = (route.parameters[f"{last}/{name}"].detach() for name in "Wb")
    return ScoresPart(
        linear=len(route.layers) == 1,
        inputs=values[-2].shape[1],
        products=(values[-2][0].detach() @ weights).numpy(),
        biases=biases.numpy(),
        scores=scores.numpy(),
        predicted=scores.argmax().item(),
        evidence=evidence,
    )


def strongest(pixels: torch.Tensor, largest: bool) -> list[PixelEvidence]:
    found = torch.topk(pixels.reshape(-1), 5, largest=largest)
    sign = 1 if largest else -1
    return [
        PixelEvidence(*divmod(place, pixels.shape[1]), value)
        for place, value in zip(found.indices.tolist(), found.values.tolist(), strict=True)
        if sign * value > 0
    ]


def loss_part(route: Route, scores: Any, label: int, data_loss: Any) -> Any:
    spec = route.run.spec["loss"]
    s = scores[0].detach()
    weight = 1.0 if spec.get("class_weights") is None else spec["class_weights"][label]
    common = {
        "kind": spec["kind"], "label": label, "scores": s.numpy(),
        "value": data_loss.item() / weight, "weight": weight, "data_loss": data_loss.item(),
        "gradient": scores.grad[0].numpy(),
    }  # fmt: skip
    if spec["kind"] == "softmax":
        smoothing = spec["label_smoothing"]
        hot = functional.one_hot(torch.tensor(label), len(s)).double()
        targets = hot * (1 - smoothing) + smoothing / len(s)
        return SoftmaxPart(
            **common,
            largest=s.max().item(),
            shifted=(s - s.max()).numpy(),
            exponentials=(s - s.max()).exp().numpy(),
            total=(torch.logsumexp(s, 0) - s.max()).exp().item(),
            probabilities=torch.softmax(s, 0).numpy(),
            label_smoothing=smoothing,
            targets=targets.numpy(),
            terms=(-targets * torch.log_softmax(s, 0)).numpy(),
        )
    differences = s - s[label] + spec["delta"]
    margins = differences.clamp(min=0)
    margins[label] = 0
    terms = margins.pow(2) if spec["kind"] == "squared_hinge" else margins
    return HingePart(
        **common, delta=spec["delta"], differences=differences.numpy(), margins=margins.numpy(),
        terms=terms.numpy(), inside=int((margins > 0).sum()),
    )  # fmt: skip


def slopes(route: Route, index: int, x: Any) -> Any:
    """The local derivative of an activation, by autograd; None for other layers."""
    kind = route.layers[index]["kind"]
    if kind not in ACTIVATIONS:
        return None
    leaf = x.detach().clone().requires_grad_()
    ACTIVATIONS[kind](leaf).sum().backward()
    return leaf.grad[0]


def flat(route: Route, index: int, slope: Any) -> float:
    bound = 0.1 * STEEPEST.get(route.layers[index]["kind"], 1.0)
    return (slope < bound).double().mean().item()


def forward_layer(route: Route, index: int, values: list[Any]) -> ForwardLayer:
    kind = route.layers[index]["kind"]
    name = f"{index}_{kind}"
    y = values[index + 1][0].detach()
    slope = slopes(route, index, values[index])
    order = torch.sort(y, descending=True, stable=True)
    return ForwardLayer(
        name=name,
        kind=kind,
        inputs=values[index].shape[1],
        outputs=len(y),
        parameters=sum(
            p.numel() for n, p in route.parameters.items() if n.startswith(name + "/")
        ),
        mean=y.mean().item(),
        deviation=y.std(correction=0).item(),
        minimum=y.min().item(),
        maximum=y.max().item(),
        norm=y.norm().item(),
        off=None if slope is None else flat(route, index, slope),
        largest=[
            UnitValue(unit, value)
            for unit, value in zip(order.indices[:5].tolist(), order.values[:5].tolist(),
                                   strict=True)
        ],
    )  # fmt: skip


def backward_layer(
    route: Route, index: int, values: list[Any], data: Any, total: Any, shape: Any
) -> BackwardLayer:
    kind = route.layers[index]["kind"]
    name = f"{index}_{kind}"
    common = {
        "name": name, "kind": kind, "incoming": values[index + 1].grad.norm().item(),
        "outgoing": values[index].grad.norm().item(),
    }  # fmt: skip
    slope = slopes(route, index, values[index])
    if slope is not None:
        return BackwardLayer(
            **common, slope_mean=slope.mean().item(), slope_minimum=slope.min().item(),
            slope_maximum=slope.max().item(), flat=flat(route, index, slope),
            steepest=STEEPEST.get(kind, 1.0),
        )  # fmt: skip
    if kind != "linear":
        return BackwardLayer(**common)
    weights, gradient = route.parameters[f"{name}/W"].detach(), total[f"{name}/W"]
    changes = []
    order = torch.sort(gradient.abs().reshape(-1), descending=True, stable=True).indices[:5]
    for place in order.tolist():
        row, column = divmod(place, weights.shape[1])
        pixel = tuple(int(n) for n in np.unravel_index(row, shape)) if index == 0 else None
        slope_of_loss = gradient[row, column].item()
        changes.append(
            WeightChange(row, column, pixel, weights[row, column].item(), slope_of_loss,
                         -route.run.config["lr"] * slope_of_loss)
        )  # fmt: skip
    return BackwardLayer(
        **common, weight_norm=weights.norm().item(),
        weight_gradient_norm=data[f"{name}/W"].norm().item(),
        bias_gradient_norm=data[f"{name}/b"].norm().item(), changes=changes,
    )  # fmt: skip


def step_part(route: Route, x: Any, label: int, gradients: dict[str, Any]) -> StepPart:
    rate = route.run.config["lr"]
    moved = {name: p.detach() - rate * gradients[name] for name, p in route.parameters.items()}
    _, data_before, penalty_before = route.total(x, label, route.parameters)
    scores, data_after, penalty_after = route.total(x, label, moved)
    squared = sum(gradient.pow(2).sum().item() for gradient in gradients.values())
    return StepPart(
        learning_rate=rate,
        optimizer=route.run.config["optimizer"],
        gradient_norm=squared**0.5,
        expected_change=-rate * squared,
        data_before=data_before.item(),
        data_after=data_after.item(),
        penalty_before=penalty_before.item(),
        penalty_after=penalty_after.item(),
        total_before=(data_before + penalty_before).item(),
        total_after=(data_after + penalty_after).item(),
        scores_after=scores[0].detach().numpy(),
        predicted_after=scores[0].argmax().item(),
    )
