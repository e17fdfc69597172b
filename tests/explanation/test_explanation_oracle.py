"""Every number of an explanation, and every number on its page, by PyTorch autograd as well."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from nnlab import pages
from nnlab.core.activations import ACTIVATIONS
from nnlab.core.layers import LAYERS
from nnlab.core.losses import LOSSES
from nnlab.explanation.page import page_values
from nnlab.explanation.record import record
from nnlab.training.standardization import STANDARDIZATIONS

pytest.importorskip("torch", reason="the oracle is not installed: pip install .[oracle]")
pytestmark = pytest.mark.oracle
TOLERANCE = 1e-6

CASES = [
    {"model": "softmax", "l2": 1e-3, "l1": 1e-5, "standardize": "none"},
    {"model": "softmax", "label_smoothing": 0.1, "class_weight": "1,2,3,1,2,3,1,2,3,0.5"},
    {"model": "svm", "delta": 2.0, "l2": 1e-2, "standardize": "pixel"},
    {"model": "svm", "loss": "squared_hinge", "class_weight": "balanced",
     "standardize": "mean_image"},
    {"model": "mlp", "hidden": "20,15", "batch_norm": True, "dropout": 0.4, "l2": 1e-3},
    {"model": "mlp", "hidden": "20,15", "layer_norm": True, "activation": "gelu",
     "standardize": "zca"},
    {"model": "mlp", "hidden": "12,12,12,12,12,12", "activation": "sigmoid"},
    *({"model": "mlp", "hidden": "16", "activation": name} for name in ACTIVATIONS),
]  # fmt: skip


def differences(found, expected, path="explanation"):
    """Yield every place at which two records differ, numbers by more than the tolerance."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), path
        for key in expected:
            yield from differences(found[key], expected[key], f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), path
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif isinstance(expected, float) and not isinstance(found, bool):
        if not abs(found - expected) <= TOLERANCE * max(1.0, abs(expected)):
            yield f"{path}: {found!r} is not {expected!r}"
    elif found != expected:
        yield f"{path}: {found!r} is not {expected!r}"


def numbers_of(explanation):
    """The full values of all numbers on the page, in order."""
    template, values = page_values(explanation)
    return re.findall(r'<data value="([^"]+)"', pages.render(template, **values))


@pytest.fixture(scope="module")
def route():
    sys.path.insert(0, str(Path(__file__).parent))
    import torch
    import torch_route

    torch.set_num_threads(1)
    yield torch_route
    sys.path.pop(0)


@pytest.mark.parametrize("settings", CASES, ids=lambda case: "-".join(map(str, case.values())))
@pytest.mark.parametrize("kind", ["fashion", "coloured"])
def test_every_number_agrees_with_pytorch(route, trained_run, explained, request, settings, kind):
    images, labels = request.getfixturevalue(kind)
    run = trained_run((images, labels), **settings)
    for index in (2, 11):
        label = int(labels[index])
        found = explained(run, images[index], label)
        expected = route.explain(run, images[index], label, images, found)
        wrong = list(differences(record(found), record(expected)))
        assert wrong == [], f"{len(wrong)} numbers differ"
        on_page, by_torch = numbers_of(found), numbers_of(expected)
        assert len(on_page) == len(by_torch) > 150
        np.testing.assert_allclose(
            np.array(on_page, float), np.array(by_torch, float), rtol=TOLERANCE, atol=TOLERANCE
        )


def test_the_cases_have_every_loss_layer_and_standardization():
    kinds = {case.get("loss", {"svm": "hinge"}.get(case["model"], "softmax")) for case in CASES}
    assert kinds == set(LOSSES)
    assert {case.get("standardize", "channel") for case in CASES} == set(STANDARDIZATIONS)
    used = {"linear", *(case.get("activation", "relu") for case in CASES)}
    used |= {name for name in ("dropout", "batch_norm", "layer_norm")
             if any(case.get(name) for case in CASES)}  # fmt: skip
    assert used == set(LAYERS)


def test_a_wrong_number_is_found(trained_run, explained, fashion):
    run = trained_run(fashion, model="softmax", l2=1e-3, l1=1e-5, standardize="none")
    good = record(explained(run, fashion[0][2], 3))
    bad = record(explained(run, fashion[0][2], 3))
    bad["scores"]["evidence"][4]["pixels"][9][9] += 3e-6
    assert list(differences(bad, good)) != []
