"""What a run takes of the memory is counted before it begins: held against measured peaks."""

import pytest

from lstmcli.config import Config
from lstmcli.core import memory_use, optimizers
from lstmcli.utils import memory
from lstmcli.utils.errors import UsageError

CUT = {"batch_size": 500, "bptt": 100, "state_size": 2}
MEASURED = [
    ({"series_length": 1000}, 0.974),
    ({"state_size": 3000, "series_length": 75}, 2.447),
    ({"state_size": 3000, "series_length": 75, "optimizer": "sgd"}, 1.858),
    ({"state_size": 3000, "series_length": 75, "optimizer": "adam"}, 3.036),
    ({"layers": 3, "state_size": 2000, "series_length": 75}, 4.003),
    ({"state_size": 64, "batch_size": 2000, "bptt": 100, "series_length": 200_000}, 1.553),
    ({"state_size": 64, "batch_size": 32, "bptt": 64, "series_length": 2048, "classes": 20_000},
     1.933),
    ({"state_size": 2000, "batch_size": 64, "series_length": 960}, 1.714),
    ({"state_size": 1, "batch_size": 1000, "bptt": 300, "series_length": 6_000_000, "replicas": 4},
     2.706),
    ({**CUT, "series_length": 20_000_000}, 2.270),
]  # fmt: skip
"""Settings, and the peak of a run's process in GB: figures of `benchmarks/memory.py`."""


def resolved(settings):
    return Config.build(**{"layers": 1, "epochs": 1, "batch_size": 5, "bptt": 15, **settings})


def widths(config):
    """Features and outputs: two classes are a number, more are one-hot."""
    classes = config.data.classes
    return (1 if classes == 2 else classes), classes


@pytest.mark.parametrize(("settings", "gigabytes"), MEASURED)
def test_what_is_counted_is_within_a_fifth_of_what_was_measured(settings, gigabytes):
    config = resolved(settings)
    counted = memory_use.needed(config, *widths(config)) / 1e9
    assert gigabytes / 1.2 < counted < gigabytes * 1.2


def test_the_slots_that_are_counted_are_those_that_optimizers_keep():
    kept = {name: len(each.slots) for name, each in optimizers.OPTIMIZERS.items()}
    assert kept == memory_use.SLOTS


def test_a_model_is_refused_for_what_it_takes_at_its_peak(monkeypatch):
    """Its three copies would fit, and the run would have ended there."""
    monkeypatch.setattr(memory, "installed", lambda: 25_000_000_000)
    config = resolved({"state_size": 20_000})
    with pytest.raises(UsageError, match=r"would take 65\.0 GB of memory, but .* has 25\.0 GB"):
        memory_use.check_model(config, 1, 2)
    memory_use.check_model(resolved({"state_size": 10_000}), 1, 2)


def test_a_small_run_is_never_refused_for_what_every_run_takes(monkeypatch):
    monkeypatch.setattr(memory, "installed", lambda: 500_000_000)
    config = resolved({})
    memory.check_series(config.data.series_length)
    memory_use.check_model(config, 1, 2)
