"""The verbs for Python, with every setting that each takes: for editors and type checkers."""

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from lstmcli.api import Evaluation as Evaluation
from lstmcli.api import TrainedRun as TrainedRun
from lstmcli.data.series import Series
from lstmcli.data.table.memory import InMemory
from lstmcli.inference.export import Exported
from lstmcli.inference.forecast import Forecast
from lstmcli.probes.run import Probe
from lstmcli.sweeps.run import Result
from lstmcli.training.load import AnyPath

__version__: str
# [[[cog
# import lstmcli
# import stub
# print("__all__ = [", *(f'    "{name}",' for name in lstmcli.__all__), "]\n", sep="\n")
# print(*stub.verbs(), "", sep="\n")
# ]]]
__all__ = [
    "evaluate",
    "export",
    "forecast",
    "generate",
    "plot",
    "predict",
    "probe",
    "report",
    "runs",
    "sweep",
    "train",
]

def evaluate(
    checkpoint: AnyPath,
    data: AnyPath | InMemory | None = None,
    *,
    keep: bool = False,
    all_classes: bool = False,
    series_length: int = 50000,
    echo_step: int = 3,
    noise: float = 0.0,
    bits: int = 3,
    sequence_length: int | None = None,
    continues: bool = False,
    labels: str | PathLike[str] | None = None,
    encoding: str | None = None,
    data_seed: int | None = None,
    device: str = "auto",
    execution: str = "auto",
    threads: int | None = None,
    cache: bool = True,
) -> Evaluation: ...
def export(
    checkpoint: AnyPath,
    out: AnyPath,
    *,
    format: str | None = None,
    seed: int | None = None,
    stateful: bool = False,
    overwrite: bool = False,
) -> Exported: ...
def forecast(
    checkpoint: AnyPath,
    steps: int | None = None,
    *,
    data: AnyPath | InMemory | None = None,
    future: AnyPath | InMemory | None = None,
    seed: int | None = None,
    ensemble: bool = False,
) -> Forecast: ...
def generate(
    path: str | PathLike[str],
    *,
    overwrite: bool = False,
    task: str = "echo",
    series_length: int = 50000,
    echo_step: int = 3,
    classes: int = 2,
    noise: float = 0.0,
    bits: int = 3,
    sequence_length: int | None = None,
    order_symbols: int = 2,
    seed: int = 0,
) -> tuple[Series, dict[str, Any]]: ...
def plot(
    path: AnyPath,
    output: AnyPath | None = None,
) -> list[Path]: ...
def predict(
    checkpoint: AnyPath,
    data: AnyPath | InMemory,
    *,
    seed: int | None = None,
    ensemble: bool = False,
) -> pd.DataFrame: ...
def probe(
    checkpoint: AnyPath,
    data: AnyPath | None = None,
    *,
    gradient: bool = False,
    ablate: bool = False,
    lags: int = 40,
    steps: int = 50000,
    series_length: int = 50000,
    echo_step: int = 3,
    noise: float = 0.0,
    bits: int = 3,
    sequence_length: int | None = None,
    continues: bool = False,
    labels: str | PathLike[str] | None = None,
    encoding: str | None = None,
    data_seed: int | None = None,
) -> Probe: ...
def report(
    path: AnyPath,
    output: AnyPath | None = None,
) -> Path: ...
def runs(
    *directories: AnyPath,
) -> pd.DataFrame: ...
def sweep(
    out: AnyPath | None = None,
    *,
    compare: Mapping[str, Any] | str | None = None,
    tune: Mapping[str, Any] | Iterable[str] | None = None,
    overwrite: bool = False,
    layers: int | str | Iterable[int] | None = None,
    state_size: int | str | Iterable[int] | None = None,
    forget_bias: float | str | Iterable[float] = 1.0,
    task: str = "echo",
    series_length: int | str | Iterable[int] = 50000,
    echo_step: int | str | Iterable[int] = 3,
    classes: int | str | Iterable[int] = 2,
    noise: float | str | Iterable[float] = 0.0,
    bits: int | str | Iterable[int] = 3,
    sequence_length: int | str | Iterable[int] | None = None,
    order_symbols: int | str | Iterable[int] = 2,
    data: str | PathLike[str] | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
    val_data: str | PathLike[str] | None = None,
    test_data: str | PathLike[str] | None = None,
    val_from: str | None = None,
    test_from: str | None = None,
    continues: bool = False,
    inputs: str | list[str] | None = None,
    target: str | list[str] | None = None,
    group: str | None = None,
    horizon: str | int | Iterable[str | int] | None = None,
    categorical: str | list[str] | None = None,
    missing: str | None = None,
    predict: str | None = None,
    index: str | None = None,
    labels: str | PathLike[str] | None = None,
    calendar: str | list[str] | None = None,
    sort_index: bool = False,
    no_header: bool = False,
    na_values: str | list[str] | None = None,
    encoding: str | None = None,
    bptt: int | str | Iterable[int] | None = None,
    batch_size: int | str | Iterable[int] | None = None,
    epochs: int | str | Iterable[int] | None = None,
    optimizer: str | Iterable[str] | None = None,
    learning_rate: float | str | Iterable[float] | None = None,
    learning_rate_decay: float | str | Iterable[float] | None = None,
    decay_from: int | str | Iterable[int] | None = None,
    clip_norm: float | str | Iterable[float] | None = None,
    dropout: float | str | Iterable[float] | None = None,
    patience: int | str | Iterable[int] | None = None,
    init_from: str | PathLike[str] | None = None,
    extend_vocabulary: bool = False,
    until_solved: bool = False,
    seed: int = 0,
    data_seed: int | None = None,
    device: str = "auto",
    execution: str = "auto",
    threads: int | None = None,
    cache: bool = True,
    tensorboard: bool = False,
    seeds: str | int = "auto",
    match: str | None = None,
    margin: float = 0.01,
    jobs: int | None = None,
    backend: str = "local",
    address: str | None = None,
    gpu_share: float | None = None,
) -> Result: ...
def train(
    out: AnyPath | None = None,
    *,
    overwrite: bool = False,
    resume: AnyPath | None = None,
    other_device: bool = False,
    progress: bool | None = None,
    layers: int | None = None,
    state_size: int | None = None,
    forget_bias: float = 1.0,
    task: str = "echo",
    series_length: int = 50000,
    echo_step: int = 3,
    classes: int = 2,
    noise: float = 0.0,
    bits: int = 3,
    sequence_length: int | None = None,
    order_symbols: int = 2,
    data: str | PathLike[str] | InMemory | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
    val_data: str | PathLike[str] | None = None,
    test_data: str | PathLike[str] | None = None,
    val_from: str | None = None,
    test_from: str | None = None,
    continues: bool = False,
    inputs: str | list[str] | None = None,
    target: str | list[str] | None = None,
    group: str | None = None,
    horizon: str | int | None = None,
    categorical: str | list[str] | None = None,
    missing: str | None = None,
    predict: str | None = None,
    index: str | None = None,
    labels: str | PathLike[str] | None = None,
    calendar: str | list[str] | None = None,
    sort_index: bool = False,
    no_header: bool = False,
    na_values: str | list[str] | None = None,
    encoding: str | None = None,
    bptt: int | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    optimizer: str | None = None,
    learning_rate: float | None = None,
    learning_rate_decay: float | None = None,
    decay_from: int | None = None,
    clip_norm: float | None = None,
    dropout: float | None = None,
    patience: int | None = None,
    init_from: str | PathLike[str] | None = None,
    extend_vocabulary: bool = False,
    until_solved: bool = False,
    checkpoint_every: str = "1",
    seed: int = 0,
    data_seed: int | None = None,
    replicas: int = 1,
    device: str = "auto",
    execution: str = "auto",
    threads: int | None = None,
    cache: bool = True,
    tensorboard: bool = False,
) -> TrainedRun: ...

# [[[end]]]
