"""What an explanation shows, in words: the same sentences on a terminal and on a page."""

from nnlab.core.losses import Hinge
from nnlab.explanation.layers import BackwardLayer
from nnlab.explanation.losses import HingePart, LossPart, SoftmaxPart
from nnlab.explanation.neighbors import NeighborsExplanation
from nnlab.explanation.network import NetworkExplanation, StepPart
from nnlab.explanation.subject import Subject
from nnlab.pages.numbers import number, percent

# The gradient of the first layer's output has vanished below this share of that of the scores.
VANISHED = 0.01
# Kinds of layers that do something else while training.
INFERENCE = {
    "dropout": "dropout drops nothing here, as always when a network is used",
    "batch_norm": "batch normalization uses the means and variances of training, not of a batch",
}
RULES = {
    "linear": "y = x W + b;  dW = x\u1d40 dy,  db = dy,  dx = dy W\u1d40",
    "dropout": "y = x, dx = dy",
    "batch_norm": "y = gain (x - mean) / std + bias;  dx = dy gain / std",
    "layer_norm": "y = gain (x - mean of x) / std of x + bias",
}


def verdict(subject: Subject, predicted: int, probability: float | None) -> str:
    """Say what the answer is and whether it is right."""
    answer = f"The answer is {subject.classes[predicted]}"
    if probability is not None:
        answer += f", with probability {percent(probability)}"
    if not subject.label_is_known:
        return f"{answer}. What is right is not known, so the loss below is that of this answer."
    if predicted == subject.label:
        return f"{answer}, which is right."
    return f"{answer}; right is {subject.classes[subject.label]}."


def inference(kinds: set[str]) -> list[str]:
    """Say which layers do something else here than while training."""
    return [f"{text[0].upper()}{text[1:]}." for kind, text in INFERENCE.items() if kind in kinds]


def evidence(explanation: NetworkExplanation) -> str:
    """Say what the heat maps show."""
    if explanation.scores.linear:
        return (
            "Each pixel shows x times W of the class, its channels added: what it adds to the "
            "score (blue) or takes from it (orange). The pixels of a class add up to its x\u00b7W."
        )
    return (
        "Each pixel shows x times the gradient of the class's score by x, its channels added: "
        "by how much the score would fall if the pixel went to 0, to first order. In a network "
        "with hidden layers this is an approximation, and need not add up to the score."
    )


def loss_formula(loss: LossPart) -> str:
    """Return the formula of a data loss."""
    if isinstance(loss, SoftmaxPart):
        if loss.label_smoothing:
            return "loss = - sum of target_j log p_j,  p_j = exp(s_j) / sum of exp(s_k)"
        return "loss = -log p_y,  p_j = exp(s_j) / sum of exp(s_k)"
    power = "" if loss.kind == Hinge.kind else "\u00b2"
    return f"loss = sum over j \u2260 y of max(0, s_j - s_y + delta){power}"


def margin_reason(loss: HingePart, label: int) -> str:
    """Say why a class adds to the hinge loss, or does not."""
    if label == loss.label:
        return "the right class itself does not count"
    lead = loss.scores[loss.label] - loss.scores[label]
    delta = number(loss.delta)
    if loss.margins[label] > 0:
        leads = f"leads by {number(lead)} only" if lead > 0 else f"trails by {number(-lead)}"
        return f"the right score {leads}, less than delta = {delta}"
    return f"zero, because the right score leads by {number(lead)}, at least delta = {delta}"


def passed_on(layer: BackwardLayer) -> str:
    """Say what a layer did to the gradient on its way down."""
    if layer.slope_mean is None or layer.steepest is None or layer.flat is None:
        return ""
    share = layer.outgoing / layer.incoming if layer.incoming else 0.0
    if layer.kind == "relu":
        return (
            f"{percent(layer.flat, 1)} of its units are off and pass on nothing, the others "
            f"everything: {percent(share, 1)} of the gradient's norm is left."
        )
    text = f"f'(x) is {number(layer.slope_mean)} on average, {number(layer.steepest)} at most"
    if layer.flat:
        text += f"; {percent(layer.flat, 1)} of the units are nearly flat"
    eaten = " The activation has eaten most of the gradient." if share < 0.3 else ""
    return f"{text}: {percent(share, 1)} of the gradient's norm is left.{eaten}"


def whole_way(explanation: NetworkExplanation) -> str:
    """Say what became of the gradient between the scores and the first layer."""
    backward = explanation.backward
    if len(backward) == 1:
        return ""
    top, bottom = backward[0].incoming, backward[-1].incoming
    if top == 0:
        return (
            "The gradient of the loss by the scores is zero: nothing is left to learn from this "
            "image."
        )
    share = bottom / top
    text = (
        f"From the scores to the output of {backward[-1].name} the gradient's norm goes from "
        f"{number(top)} to {number(bottom)}: {number(share)} times as much"
    )
    if share >= VANISHED:
        return f"{text}."
    squashing = {layer.kind for layer in backward} & {"sigmoid", "tanh"}
    under = f" under {' and '.join(sorted(squashing))}" if squashing else ""
    return f"{text}. The gradient vanishes{under}: the first layers hardly learn."


def step(part: StepPart, classes: list[str], predicted: int) -> str:
    """Say what one step did."""
    change = part.total_after - part.total_before
    if part.gradient_norm == 0:
        return "The gradient is zero: the step changes nothing."
    if change <= 0:
        text = (
            f"The loss of this image falls by {number(-change)}; {number(-part.expected_change)} "
            "would be exact for an endlessly small step."
        )
    else:
        text = (
            f"The loss rises by {number(change)}: the step is too long for this image. An "
            f"endlessly small one would have lowered it by {number(-part.expected_change)}."
        )
    if part.predicted_after != predicted:
        text += f" The answer changes to {classes[part.predicted_after]}."
    return text


def votes(explanation: NeighborsExplanation) -> str:
    """Say how the neighbours elected their class."""
    classes = explanation.subject.classes
    winner = explanation.votes[explanation.predicted]
    text = (
        f"{classes[explanation.predicted]} has {number(winner)} of "
        f"{number(explanation.votes.sum())} votes"
    )
    if explanation.runner_up is None:
        return f"{text}: nobody votes for another class."
    other = explanation.votes[explanation.runner_up]
    text += f", {classes[explanation.runner_up]} {number(other)}"
    return f"{text}; of equals the first class wins." if other == winner else f"{text}."


def border(explanation: NeighborsExplanation) -> str:
    """Say how much of the distances lies in the border of the images."""
    shares = [
        neighbor.border_share
        for neighbor in explanation.neighbors
        if neighbor.border_share is not None
    ]
    if not shares:
        return ""
    mean = sum(shares) / len(shares)
    text = (
        f"The outer ring of {explanation.border_width} pixels holds "
        f"{percent(explanation.border_pixels, 1)} of the pixels and, on average over the "
        f"neighbours, {percent(mean, 1)} of the distance"
    )
    if mean > explanation.border_pixels:
        return f"{text}: the background has more than its share in the choice."
    return f"{text}: the choice rests on the centre."
