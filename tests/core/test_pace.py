"""What a window takes on a GPU, beside what was read on the one that was tried."""

import pytest

from lstmcli.config import Config
from lstmcli.core import pace
from lstmcli.model_spec import ModelSpec

BITS = ModelSpec(numbers=1, symbols=(), outputs=2)
TEXT = ModelSpec(numbers=0, symbols=(96,), outputs=96)
ARTICLE = 666  # Windows in an epoch.
MEASURED = [
    (379 / ARTICLE, BITS, {}),
    (401 / ARTICLE, BITS, {"replicas": 8}),
    (2070 / ARTICLE, BITS, {"execution": "layered"}),
    (5.1, TEXT, {"layers": 1, "state_size": 512, "batch_size": 32, "bptt": 64}),
    (7.1, TEXT, {"layers": 2, "state_size": 256, "batch_size": 64, "bptt": 64}),
    (26.6, TEXT, {"layers": 2, "state_size": 1024, "batch_size": 128, "bptt": 128}),
]


@pytest.mark.parametrize(("milliseconds", "spec", "settings"), MEASURED)
def test_a_window_on_a_gpu_takes_about_what_was_measured(milliseconds, spec, settings):
    config = Config.build(**{"batch_size": 5, "bptt": 15} | settings)
    told = 1e3 * pace.window_seconds(config, spec, "gpu:0")
    assert milliseconds / 1.25 < told < milliseconds * 1.25
