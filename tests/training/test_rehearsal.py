"""What is compiled on its first call is there before training begins."""

import json
import subprocess
import sys

import pytest

CODE = """
import sys, json
from nnlab.training.rehearsal import rehearse_unseen
from nnlab.training.settings import Settings

rehearse_unseen(Settings.of(json.loads(sys.argv[1])))

from nnlab.core.plain_kernels import take_steps, write_scores
print(len(take_steps.signatures), len(write_scores.signatures))
"""


@pytest.mark.parametrize(("settings", "plain"), [
    ({"model": "softmax"}, True), ({"model": "mlp", "optimizer": "adam"}, True),
    ({"model": "mlp", "batch_norm": True, "augment": "flip"}, False),
])  # fmt: skip
def test_a_rehearsal_without_data_readies_the_code_of_such_a_training(settings, plain):
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(settings)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == (["1", "1"] if plain else ["0", "0"])
