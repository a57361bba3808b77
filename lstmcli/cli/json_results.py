"""What `--json` prints: a type for each result, of which its JSON Schema is made.

Nothing of this is loaded when a command runs: the types are for mypy and for the documentation.
A number that is not known, or that JSON cannot hold (NaN, infinity), is `null`.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

from lstmcli.data.outputs import OutputRow
from lstmcli.data.schema import Schema
from lstmcli.inference.backtest import AheadRow
from lstmcli.probes.ablation import AblationRow
from lstmcli.probes.gradient import GradientRow
from lstmcli.probes.memory import MemoryRow
from lstmcli.reporting.runs import RunRow
from lstmcli.sweeps.answer_parts import Answer
from lstmcli.sweeps.summary import SettingRow
from lstmcli.training.metrics import EpochRow

SETTINGS = "settings"
"""In an annotation: an object that has any of the settings, by name."""
Settings = Annotated[dict[str, Any], SETTINGS]


class TrainResult(TypedDict):
    """`lstmcli train`: how a run has ended.

    Attributes:
        run: the run directory.
        status: `running`, `completed`, `interrupted`, `failed` or `diverged`.
        results: the last row of `metrics.csv` of each seed.
    """

    run: str
    status: str
    results: list[Annotated[dict[str, Any], EpochRow]]


class VerifyResult(TypedDict):
    """`lstmcli train --verify`: whether this machine gives the same bits twice.

    Attributes:
        verified: whether it does.
        epochs: how many epochs were trained twice.
        differences: what differs.
    """

    verified: bool
    epochs: int
    differences: list[str]


Setting = TypedDict("Setting", {"value": Any, "from": str})
Setting.__doc__ = """A setting.

Attributes:
    value: its value; `null` where it is off.
    from: the option or the file that it comes from, or `default`, or the rule for files.
"""


class ConfigResult(TypedDict):
    """`lstmcli train --print-config`: all settings that have an effect, by name.

    Attributes:
        model: settings of the model.
        data: settings of the data.
        training: settings of the training.
        run: settings of the run.
    """

    model: dict[str, Setting]
    data: dict[str, Setting]
    training: dict[str, Setting]
    run: dict[str, Setting]


OUTPUT = Annotated[dict[str, Any], OutputRow, frozenset({"seed", "predictor"})]


class SeedScore(TypedDict):
    """The score of one seed's model.

    Attributes:
        seed: the seed.
        loss: mean loss of the steps.
        accuracy: share of the steps guessed right; of classes.
        bayes_loss: Bayes loss of the task, where that is known.
        bayes_accuracy: the accuracy that goes with it.
        gap: excess loss: the loss minus the oracle's on the same labels.
        labels: how many steps were scored.
        rmse: root mean square error in the target's own units; of one number.
        mae: mean absolute error in the target's own units; of one number.
        bits_per_character: the loss in bits; of text.
        outputs: the errors of each of several numbers.
    """

    seed: int
    loss: float
    accuracy: float | None
    bayes_loss: float | None
    bayes_accuracy: float | None
    gap: float | None
    labels: int
    rmse: NotRequired[float | None]
    mae: NotRequired[float | None]
    bits_per_character: NotRequired[float | None]
    outputs: NotRequired[list[OUTPUT]]


class BaselineScore(TypedDict):
    """The score of a baseline.

    Attributes:
        name: what it is called.
        loss: its loss on the same steps.
        accuracy: share of the steps guessed right; of classes.
        rmse: root mean square error in the target's own units; of one number.
        mae: mean absolute error in the target's own units; of one number.
        bits_per_character: the loss in bits; of text.
        outputs: the errors of each of several numbers.
    """

    name: str
    loss: float
    accuracy: float | None
    rmse: NotRequired[float | None]
    mae: NotRequired[float | None]
    bits_per_character: NotRequired[float | None]
    outputs: NotRequired[list[OUTPUT]]


class EvalResult(TypedDict):
    """`lstmcli eval`: how good a checkpoint's models are.

    Attributes:
        checkpoint: the checkpoint file.
        data: what they were scored on.
        results: the score of each seed.
        references: the scores of baselines; not of generated data.
        epochs: the epoch at which each seed's model was saved.
    """

    checkpoint: str
    data: str
    results: list[SeedScore]
    references: NotRequired[list[BaselineScore]]
    epochs: list[int]


class EvalAheadResult(TypedDict):
    """`lstmcli eval --ahead`: how wrong forecasts are, by how far ahead.

    Attributes:
        checkpoint: the checkpoint file.
        data: what was forecast.
        ahead: the largest number of steps ahead.
        origins: how many steps were forecast from.
        results: one for each number, step ahead and predictor.
    """

    checkpoint: str
    data: str
    ahead: int
    origins: int
    results: list[Annotated[dict[str, Any], AheadRow]]


class BestTrial(TypedDict):
    """A sweep's best trial.

    Attributes:
        run: its run directory.
        seed: its seed.
    """

    run: str
    seed: int


class SweepResult(TypedDict):
    """`lstmcli sweep`: the answer, and what it rests on.

    Attributes:
        sweep: the sweep directory.
        answer: the answer to all questions, in words.
        summary: the rows of `summary.csv`, the swept settings among the columns.
        best: the best trial, which other commands take; `null` if there is none.
        parts: the answer to each question.
    """

    sweep: str
    answer: str
    summary: list[Annotated[dict[str, Any], SettingRow, SETTINGS]]
    best: BestTrial | None
    parts: list[Annotated[dict[str, Any], Answer]]


class PlannedSetting(TypedDict):
    """A setting that is to be trained.

    Attributes:
        setting: its name.
        parameters: weights of the network.
        labels: labels that are scored in an epoch.
        outside: share of the labels that truncated backpropagation cannot reach; `null` if it is
            not known.
        state: numbers in the carried state of a row.
        seeds: how many seeds.
        seconds: about how long all of them take.
    """

    setting: str
    parameters: int
    labels: int
    outside: float | None
    state: int
    seeds: int
    seconds: int


class SweepPlan(TypedDict):
    """`lstmcli sweep --dry-run`: what would be trained.

    Attributes:
        sweep: the sweep directory.
        settings: all settings.
        trials: how many trials there are.
        to_run: how many of them are not trained yet.
        seconds: about how long these take with all workers.
    """

    sweep: str
    settings: list[PlannedSetting]
    trials: int
    to_run: int
    seconds: int


class Floor(TypedDict):
    """The Bayes loss of a dataset.

    Attributes:
        batch_size: in how many rows the data are cut for it.
        bptt: steps of a window.
        bayes_loss: the Bayes loss, in nats per step.
        bayes_accuracy: the accuracy that goes with it.
    """

    batch_size: int
    bptt: int
    bayes_loss: float
    bayes_accuracy: float


class TaskBaseline(TypedDict):
    """What a task costs without memory.

    Attributes:
        of: whose loss it is.
        loss: the loss.
    """

    of: str
    loss: float


class GenerateResult(TypedDict):
    """`lstmcli generate`: what was written. The settings of the task stand beside.

    Attributes:
        file: the file.
        sha256: checksum of the data.
        name: the task.
        seed: the seed.
        floor: the Bayes loss of the whole file; of the tasks where it is known.
        baseline: what needs no memory; of all tasks but the echo.
        steps: how many steps; of tasks with sequences.
        sequences: how many sequences.
        classes: how many classes; not of numbers.
        order_symbols: how many symbols the answer depends on; of the task `order`.
    """

    file: str
    sha256: str
    name: str
    seed: int
    floor: NotRequired[Floor]
    baseline: NotRequired[TaskBaseline]
    steps: NotRequired[int]
    sequences: NotRequired[int]
    classes: NotRequired[int]
    order_symbols: NotRequired[int]


class Position(TypedDict):
    """How far a run was trained.

    Attributes:
        epoch: epochs completed.
        window: windows completed of the next epoch.
        step: windows completed in all.
    """

    epoch: int
    window: int
    step: int


class BestEpoch(TypedDict):
    """The best epoch of a seed.

    Attributes:
        seed: the seed.
        epoch: the epoch with the lowest validation loss.
        val_loss: that loss.
    """

    seed: int
    epoch: int
    val_loss: float | None


class Layer(TypedDict):
    """A layer of a network.

    Attributes:
        layer: its name: `lstm.0` is the lowest, `dense` the output layer.
        tensors: the shape of each of its tensors.
        parameters: how many weights they hold.
    """

    layer: str
    tensors: dict[str, list[int]]
    parameters: int


class InspectResult(TypedDict):
    """`lstmcli inspect`: what a checkpoint holds.

    Attributes:
        checkpoint: the checkpoint file.
        version: the version of lstmcli that wrote it.
        kind: `last`, or `best`: each seed as it was in its own best epoch.
        position: how far the run was trained.
        seeds: the seeds.
        data_seeds: the seeds of their data.
        best: the best epoch of each seed.
        elapsed_seconds: seconds of the run until then.
        config: the settings, by group.
        features: inputs of the network at each step.
        classes: outputs of the network at each step.
        schema: the columns that it was trained on.
        layers: the layers, the output layer last.
        parameters: weights of the network.
        state_shape: shape of the carried state: `[layers, 2, batch, state]`.
        state: the carried state of each seed.
    """

    checkpoint: str
    version: str
    kind: str
    position: Position
    seeds: list[int]
    data_seeds: list[int]
    best: list[BestEpoch]
    elapsed_seconds: float
    config: dict[str, Settings]
    features: int
    classes: int
    schema: Annotated[dict[str, Any], Schema]
    layers: list[Layer]
    parameters: int
    state_shape: list[int]
    state: dict[str, list[list[list[list[float]]]]]


class ProbeOfCheckpoint(TypedDict):
    """What was measured of a checkpoint.

    Attributes:
        checkpoint: the checkpoint file.
        data: what its networks were given.
        probe: `memory`, `gradient` or `ablation`.
        results: the columns of the probe.
    """

    checkpoint: str
    data: str
    probe: str
    results: (
        list[Annotated[dict[str, Any], MemoryRow]]
        | list[Annotated[dict[str, Any], GradientRow]]
        | list[Annotated[dict[str, Any], AblationRow]]
    )


class ProbeResult(TypedDict):
    """`lstmcli probe`: what was measured.

    Attributes:
        probes: one for each checkpoint.
    """

    probes: list[ProbeOfCheckpoint]


class Trials(TypedDict, total=False):
    """Of a sweep.

    Attributes:
        trials: how many trials a sweep has.
    """

    trials: int


class RunsResult(TypedDict):
    """`lstmcli runs`: the runs and sweeps that there are.

    Attributes:
        runs: one for each, with its settings; with `--columns`, those alone.
    """

    runs: list[Annotated[dict[str, Any], RunRow, Trials, SETTINGS]]


class RunsCompared(TypedDict):
    """`lstmcli runs RUN RUN ...`: runs side by side.

    Attributes:
        runs: their directories.
        settings: of each setting that differs, its value in each run.
        ends: how each run has ended: the same of its status and its losses.
    """

    runs: list[str]
    settings: dict[str, list[Any]]
    ends: dict[str, list[Any]]


class PlotResult(TypedDict):
    """`lstmcli plot`: the figures.

    Attributes:
        figures: the files that were written.
    """

    figures: list[str]


class Tensor(TypedDict):
    """An input or an output of an exported model.

    Attributes:
        name: its name.
        shape: its shape: `batch` and `steps` may be any number.
        columns: its columns.
        about: what its numbers are.
    """

    name: str
    shape: list[int | str]
    columns: list[str]
    about: str


class ExportResult(TypedDict):
    """`lstmcli export`: the model that was written.

    Attributes:
        file: the file, or the directory of a SavedModel.
        checkpoint: the checkpoint file.
        lstmcli: the version of lstmcli.
        seed: whose model it is.
        layers: LSTM layers.
        state_size: units of a layer.
        features: inputs of the network at each step.
        predicts: what the network gives of a number: its `level`, `change` or `residual`.
        inputs: what the model takes.
        outputs: what it gives.
        schema: the columns that it was trained on.
        format: `keras`, `onnx`, `safetensors` or `saved_model`.
    """

    file: str
    checkpoint: str
    lstmcli: str
    seed: int
    layers: int
    state_size: int
    features: int
    predicts: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    schema: Annotated[dict[str, Any], Schema]
    format: str


class DevicesResult(TypedDict):
    """`lstmcli devices`: the devices of this machine.

    Attributes:
        devices: their names, as `--device` takes them.
        auto: which one `auto` is, for a large model.
    """

    devices: list[str]
    auto: str


RESULTS: dict[str, Any] = {
    "train": TrainResult,
    "train-verify": VerifyResult,
    "train-print-config": ConfigResult,
    "eval": EvalResult,
    "eval-ahead": EvalAheadResult,
    "sweep": SweepResult,
    "sweep-dry-run": SweepPlan,
    "generate": Annotated[dict[str, Any], GenerateResult, SETTINGS],
    "inspect": InspectResult,
    "probe": ProbeResult,
    "runs": RunsResult,
    "runs-compared": RunsCompared,
    "plot": PlotResult,
    "export": ExportResult,
    "devices": DevicesResult,
}
"""What is printed, by the name of its schema."""
