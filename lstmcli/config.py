"""Every setting: its name, default, checks and help text.

The command line, the TOML files and the model all read these dataclasses. They are frozen; an
invalid value raises UsageError when the object is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from numbers import Integral
from os import PathLike, fspath
from typing import Any, Self, get_type_hints

from lstmcli import defaults
from lstmcli.defaults import ARTICLE, OFF
from lstmcli.utils.errors import UsageError
from lstmcli.utils.settings import Settings, by_rule, did_you_mean, option_name, setting

EXECUTIONS = ("auto", "wavefront", "layered")
OPTIMIZERS = ("adagrad", "adam", "rmsprop", "sgd")
TASKS = ("echo", "copy", "parity", "adding", "multiplication", "order")
SEQUENCE_LENGTHS = {
    "copy": (50, 1),
    "adding": (100, 11),
    "multiplication": (100, 11),
    "order": (100, 10),
}
"""Default and minimum of `sequence_length`, for each task that has sequences."""
SIZE = ("layers", "state_size")
"""Settings that a run takes from the checkpoint of `init_from`."""
MOST_LEADS = 1_000
"""Most horizons of one model."""
CUT = ("batch_size", "bptt")
"""How a series is cut into windows; outside the article's task the data decides the default."""


of_drawn = partial(setting, source="drawn")
"""A setting of generated series: no effect with a dataset file."""
of_file = partial(setting, source="file")
"""A setting of dataset files: no effect with generated series."""
of_table = partial(setting, source="table")
"""A setting of tables: no effect with other files."""


@dataclass(frozen=True)
class ModelConfig(Settings):
    """The network."""

    layers: int = by_rule(
        f"Stacked LSTM layers (default: {ARTICLE['layers']}; file {defaults.LAYERS}; text "
        f"{defaults.TEXT_LAYERS}).",
        ge=1,
        le=1000,
    )
    state_size: int = by_rule(
        f"Units per layer (default: {ARTICLE['state_size']}; file "
        f"{defaults.UNITS} or {defaults.FEW_UNITS}; text {defaults.TEXT_UNITS}).",
        ge=1,
    )
    forget_bias: float = setting(1.0, "Initial bias of the forget gate.", metavar="BIAS")


@dataclass(frozen=True)
class DataConfig(Settings):
    """A task whose series are generated, or a dataset file instead."""

    task: str = of_drawn(
        "echo", "Task whose data is generated.", choices=TASKS, of_model=True, swept=False
    )
    series_length: int = of_drawn(50_000, "Length of a generated series.", ge=1, metavar="STEPS")
    echo_step: int = of_drawn(
        3,
        "Echo: delay of the label, in steps.",
        ge=0,
        tasks=("echo",),
        metavar="STEPS",
    )
    classes: int = of_drawn(
        2, "Echo: number of different symbols.", ge=2, tasks=("echo",), of_model=True
    )
    noise: float = of_drawn(
        0.0,
        "Echo: probability that a label is replaced by another symbol.",
        ge=0,
        lt=1,
        tasks=("echo",),
        metavar="P",
    )
    bits: int = of_drawn(
        3, "Parity: the label is the parity of the last N inputs.", ge=1, tasks=("parity",)
    )
    sequence_length: int | None = of_drawn(
        None,
        "Shortest sequence of the tasks copy (plus 20), adding, multiplication and order "
        "(default: 50 for copy, else 100).",
        ge=1,
        metavar="STEPS",
        tasks=("copy", "adding", "multiplication", "order"),
    )
    order_symbols: int = of_drawn(
        2,
        "Order: number of symbols to put in order, 2 or 3.",
        ge=2,
        le=3,
        tasks=("order",),
        of_model=True,
    )
    data: str | None = setting(
        None,
        "Table (.csv, .csv.gz, .tsv, .parquet), text (.txt), arrays (.npz), a folder, or a "
        "pattern: `'*.txt'`.",
        swept=False,
    )
    val_fraction: float = of_file(
        0.1,
        "Fraction of the file held out for validation, before the test part. Validation chooses "
        "the best checkpoint; 0: the last one is kept.",
        ge=0,
        lt=1,
        metavar="FRACTION",
    )
    test_fraction: float = of_file(
        0.1,
        "Fraction of the file held out for testing, at its end; 0: none.",
        ge=0,
        lt=1,
        metavar="FRACTION",
    )
    split_seed: int = of_file(0, "Seed of the random split of sequences into parts.", ge=0)
    val_data: str | None = of_file(None, "Separate file for validation.")
    test_data: str | None = of_file(None, "Separate file for testing.")
    val_from: str | None = of_table(
        None,
        "Date, or value of the index, at which the table's validation part begins.",
        metavar="DATE",
    )
    test_from: str | None = of_table(
        None,
        "Date, or value of the index, at which the table's test part begins.",
        metavar="DATE",
    )
    continues: bool = of_file(
        False,
        "The other file continues the training data: carry the network's state over to it.",
        of_model=False,
    )
    inputs: str | None = of_table(
        None,
        "Input columns: `temp,load` (default: all that fit).",
        several=True,
        metavar="COLUMNS",
    )
    target: str | None = of_table(
        None,
        "Column to predict, or several: `temp,load`.",
        several=True,
        metavar="COLUMN",
    )
    group: str | None = of_table(
        None, "Column that names the sequence of each row.", metavar="COLUMN"
    )
    horizon: str | int | None = of_table(
        None,
        "Steps to predict ahead: `24`, or `1-24` (default: 0).",
        pattern=r"[0-9]{1,18}|[1-9][0-9]{0,17}-[1-9][0-9]{0,17}",
        expected="a whole number of steps (`3`) or a range from 1 on (`1-24`)",
        metavar="STEPS",
        swept=True,
    )
    categorical: str | None = of_table(
        None,
        "Numeric columns that hold category codes: `id,code`.",
        several=True,
        metavar="COLUMNS",
    )
    missing: str | None = of_table(
        None,
        "Fill empty input cells with the last value before them (ffill) or with 0 (zero); default: "
        "ffill if few are empty.",
        choices=("ffill", "zero"),
    )
    predict: str | None = of_table(
        None,
        "With --horizon: predict the value (level), its change since the last value, or its "
        "residual from a linear autoregression (default: residual if the autoregression is clearly "
        "best in validation, else change if the last value beats the mean, else level).",
        choices=("change", "level", "residual"),
    )
    index: str | None = of_table(
        None,
        "Column that orders the rows; not an input (default: one of dates or row numbers).",
        metavar="COLUMN",
    )
    labels: str | None = of_table(
        None,
        "Table with the label of each sequence (with several files: of each file), by name.",
        of_model=False,
    )
    calendar: str | None = of_table(
        None,
        "Add the sine and cosine of the index's dates as inputs: `hour,weekday,month`.",
        pattern=r"(hour|weekday|month)(,(hour|weekday|month))*",
        expected="some of `hour`, `weekday` and `month`, with commas between them",
        several=True,
        metavar="NAMES",
    )
    sort_index: bool = of_table(False, "Sort the table's rows by the index.")
    no_header: bool = of_table(
        False, "The table has no header; its columns are called `0`, `1` and so on."
    )
    na_values: str | None = of_table(
        None,
        "Other values that mean an empty cell: `-999,unknown`.",
        several=True,
        metavar="VALUES",
    )
    encoding: str | None = of_file(
        None,
        "Encoding of a text or a CSV file: `windows-1252`, `utf-16` (default: UTF-8).",
        metavar="NAME",
        of_model=False,
    )

    def __post_init__(self) -> None:
        if isinstance(self.horizon, Integral) and not isinstance(self.horizon, bool):
            object.__setattr__(self, "horizon", str(self.horizon))
        super().__post_init__()
        if self.horizon is not None:
            object.__setattr__(self, "horizon", _horizon(str(self.horizon)))
        _check_encoding(self.encoding)
        if self.task == "echo" and self.echo_step >= self.series_length:
            raise UsageError(
                f"`--echo-step` must be below `--series-length` ({self.series_length}), "
                f"got {self.echo_step}"
            )
        held_out = [
            0 if file else fraction
            for file, fraction in (
                (self.val_data, self.val_fraction),
                (self.test_data, self.test_fraction),
            )
        ]
        if sum(held_out) >= 1:
            raise UsageError(
                "`--val-fraction` and `--test-fraction` must leave something to train on: expected "
                f"a sum below 1, got {self.val_fraction:g} + {self.test_fraction:g}",
                "give smaller fractions, or separate files with `--val-data` and `--test-data`",
            )
        least = SEQUENCE_LENGTHS.get(self.task, (1, 1))[1]
        if self.sequence_length is not None and self.sequence_length < least:
            raise UsageError(
                f"`--sequence-length` must be at least {least} for the task {self.task}, "
                f"got {self.sequence_length}"
            )

    @property
    def leads(self) -> Sequence[int]:
        """The horizons: how many steps ahead of its step each target lies."""
        first, _, last = str(self.horizon or 0).partition("-")
        return range(int(first), int(last or first) + 1)

    @property
    def resolved_sequence_length(self) -> int:
        """The setting, or the task's default; 0 for a task without sequences."""
        return self.sequence_length or SEQUENCE_LENGTHS.get(self.task, (0, 0))[0]


@dataclass(frozen=True)
class TrainingConfig(Settings):
    """How the network is trained."""

    bptt: int | None = setting(
        None,
        "Truncated backpropagation length (default: "
        f"{ARTICLE['bptt']} for echo, else {defaults.STEPS} or the longest sequence).",
        ge=1,
        metavar="STEPS",
    )
    batch_size: int | None = setting(
        None,
        f"Rows in a batch (default: {ARTICLE['batch_size']} for echo, else {defaults.ROWS}).",
        ge=1,
        metavar="ROWS",
    )
    epochs: int = by_rule(
        f"Passes over the data (default: {ARTICLE['epochs']}; file {defaults.FEWEST_EPOCHS} to "
        f"{defaults.MOST_EPOCHS}).",
        ge=1,
        mutable=True,
    )
    optimizer: str = by_rule(
        f"Optimizer (default: {ARTICLE['optimizer']}; file {defaults.OPTIMIZER}).",
        choices=OPTIMIZERS,
    )
    learning_rate: float = by_rule(
        f"Learning rate (default: {ARTICLE['learning_rate']}; file {defaults.RATE}; text "
        f"{defaults.TEXT_RATE}).",
        gt=0,
        metavar="RATE",
    )
    learning_rate_decay: float | None = setting(
        None,
        "Multiply the learning rate by this after each epoch (default: off).",
        gt=0,
        le=1,
        metavar="FACTOR",
    )
    decay_from: int | None = setting(
        None, "First epoch with a lower learning rate (default: 2).", ge=2, metavar="EPOCH"
    )
    clip_norm: float | None = setting(
        None,
        "Clip gradients to this global norm; 0: never (default: off; file "
        f"{defaults.CLIP_NORM:g}).",
        ge=0,
        metavar="NORM",
    )
    dropout: float | None = setting(
        None,
        "Fraction of a layer's outputs to drop (default: off).",
        gt=0,
        lt=1,
        metavar="FRACTION",
    )
    patience: int | None = setting(
        None,
        "Epochs without improvement before it stops; 0: never (default: off; file a tenth of "
        f"--epochs, at least {defaults.FEWEST_PATIENCE}).",
        ge=0,
        metavar="EPOCHS",
        mutable=True,
    )
    init_from: str | None = setting(
        None,
        "Start from the weights of this checkpoint, run or `.keras` file.",
        swept=False,
        metavar="FILE",
    )
    extend_vocabulary: bool = setting(
        False,
        "With --init-from: add the text's new characters to the model.",
        swept=False,
    )
    until_solved: bool = setting(
        False,
        "Stop once every seed has gone 99 % of the way from chance to the Bayes loss.",
        swept=False,
    )
    checkpoint_every: str = setting(
        "1",
        "Epochs between checkpoints, or seconds: `30s` (`0s`: as often as possible).",
        pattern=r"[1-9][0-9]{0,17}|([0-9]{1,18}|[0-9]{0,18}\.[0-9]{1,18})s",
        expected="a number of epochs (`5`) or of seconds (`30s`)",
        metavar="N|SECONDSs",
        swept=False,
        mutable=True,
    )

    def __post_init__(self) -> None:
        every: Any = self.checkpoint_every
        if type(every) is int:  # As one writes it in TOML.
            object.__setattr__(self, "checkpoint_every", str(every))
        super().__post_init__()
        if self.decay_from is not None and self.learning_rate_decay is None:
            raise UsageError(
                "`--decay-from` has no effect without `--learning-rate-decay`",
                "pass `--learning-rate-decay` too, or leave `--decay-from` out",
            )
        if self.extend_vocabulary and self.init_from is None:
            raise UsageError(
                "`--extend-vocabulary` has no effect without `--init-from`: a new model has the "
                "characters of its text",
                "pass `--init-from` too, or leave `--extend-vocabulary` out",
            )

    @property
    def rows(self) -> int:
        """Rows that a series is cut into: B. ValueError before the data has resolved it."""
        return _resolved("batch_size", self.batch_size)

    @property
    def steps(self) -> int:
        """Steps in a window: T. ValueError before the data has resolved it."""
        return _resolved("bptt", self.bptt)

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        first = (self.decay_from or 2) - 1
        return self.learning_rate * (self.learning_rate_decay or 1) ** max(0, epoch + 1 - first)


@dataclass(frozen=True)
class RunConfig(Settings):
    """Seeds, replicas, and where the program runs."""

    seed: int = setting(0, "Seed of the weights and of the data.", ge=0, of_model=True, swept=False)
    data_seed: int | None = of_drawn(
        None, "Seed of the data only (default: --seed).", ge=0, swept=False
    )
    replicas: int = setting(
        1,
        "Seeds to train at once, from --seed on.",
        ge=1,
        of_model=True,
        swept=False,
    )
    device: str = setting(
        "auto",
        "auto (the faster), cpu, gpu, gpu:1.",
        pattern=r"auto|(cpu|gpu)(:[0-9]+)?",
        expected="`auto`, `cpu`, `gpu` or one such as `gpu:1`",
        metavar="DEVICE",
        completed=("auto", "cpu", "gpu"),
        of_tensorflow=True,
        swept=False,
    )

    execution: str = setting(
        "auto",
        "Order of the computation; auto: by the size of the model.",
        choices=EXECUTIONS,
        of_tensorflow=True,
        swept=False,
    )
    threads: int | None = setting(
        None,
        "Number of threads (default: 1 for tiny models, else one per core).",
        ge=1,
        le=1024,
        of_tensorflow=True,
        swept=False,
    )
    cache: bool = setting(
        True,
        "Keep compiled programs for later runs.",
        of_tensorflow=True,
        swept=False,
        mutable=True,
    )

    tensorboard: bool = setting(
        False,
        "Also write TensorBoard event files into the run directory.",
        of_model=True,
        swept=False,
        mutable=True,
    )

    @property
    def seeds(self) -> list[int]:
        """The seed of each replica."""
        return [self.seed + replica for replica in range(self.replicas)]

    @property
    def data_seeds(self) -> list[int]:
        """The seed of each replica's data."""
        first = self.seed if self.data_seed is None else self.data_seed
        return [first + replica for replica in range(self.replicas)]


@dataclass(frozen=True)
class SweepConfig(Settings):
    """The settings of a sweep, besides those of its runs."""

    seeds: str = setting(
        "auto",
        "Seeds per setting, starting at --seed; auto: as many as the answer needs.",
        pattern=r"auto|[1-9]\d*",
        expected="a whole number from 1 on, or `auto`",
        or_number=True,
        metavar="N|auto",
    )
    match: str | None = setting(
        None,
        "Choose each depth's state size so that all have as many parameters (params) or state "
        "values (state) as a model of the default depth with --state-size.",
        choices=("params", "state"),
    )
    margin: float = setting(
        0.01,
        "How much worse a depth may be and still be enough: a fraction of the way from chance to "
        "the Bayes loss or, if that is unknown, of the best baseline's loss.",
        gt=0,
        lt=1,
        metavar="FRACTION",
    )
    jobs: int | None = setting(None, "Worker processes (default: one per core).", ge=1)
    backend: str = setting("local", "Where workers run.", choices=("local", "ray"))
    address: str | None = setting(
        None,
        "Address of the Ray cluster (default: one that runs on this machine, else a new one).",
        metavar="HOST:PORT",
    )
    gpu_share: float | None = setting(
        None,
        "On Ray: fraction of a GPU for each trial that uses one (default: all of it).",
        gt=0,
        le=1,
        metavar="FRACTION",
    )

    @property
    def fixed_seeds(self) -> int | None:
        """How many seeds each setting has; `None` if the sweep decides."""
        return None if self.seeds == "auto" else int(self.seeds)

    def __post_init__(self) -> None:
        if isinstance(self.seeds, Integral) and not isinstance(self.seeds, bool):
            object.__setattr__(self, "seeds", str(self.seeds))
        super().__post_init__()
        for name in ("address", "gpu_share"):
            if getattr(self, name) is not None and self.backend != "ray":
                raise UsageError(
                    f"`{option_name(name)}` has no effect without `--backend ray`",
                    f"pass `--backend ray` too, or leave `{option_name(name)}` out",
                )


@dataclass(frozen=True)
class ProbeConfig(Settings):
    """How a trained model is probed."""

    lags: int = setting(40, "Largest lag to look at, in steps.", ge=1)
    steps: int = setting(50_000, "Use at most this many steps of the series.", ge=1)


DEPTHS = "1-5"
"""Default of `--layers` in a sweep."""


@dataclass(frozen=True)
class Config:
    """All settings of one training run; TOML has a table for each group."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        if self.data.data is None:  # With a file, the defaults depend on its length.
            sized = self.training.init_from is None
            of_article = {name: ARTICLE[name] for name in ARTICLE if name not in CUT}
            self._fill(of_article if sized else _without(of_article, SIZE))
        rows, steps = (getattr(self.training, name) or ARTICLE[name] for name in CUT)
        window = rows * steps
        if self.data.data is None and self.data.task == "echo" and self.data.series_length < window:
            raise UsageError(
                f"`--series-length` must hold one window of `--batch-size` x `--bptt` = {window} "
                f"steps, got {self.data.series_length}",
                f"pass `--series-length {window}` or more, or use smaller windows",
            )

    def resolved(self, defaults: Mapping[str, Any]) -> Self:
        """A copy in which defaults replace the settings that are not set."""
        config = replace(self)
        config._fill(defaults)
        return config

    def _fill(self, defaults: Mapping[str, Any]) -> None:
        for name, group in vars(self).items():
            unset = {
                key: defaults[key]
                for key in vars(group).keys() & defaults.keys()
                if getattr(group, key) is None
            }
            object.__setattr__(self, name, replace(group, **unset))

    def replaced(self, **given: Any) -> Self:
        """A copy with some settings replaced.

        Raises:
            UsageError: as `build` does.
        """
        check_effect(given, self.data.data, self.data.task)
        return replace(
            self,
            **{
                name: replace(
                    group, **{key: given[key] for key in vars(group).keys() & given.keys()}
                )
                for name, group in vars(self).items()
            },
        )

    @classmethod
    def build(cls, saved: Mapping[str, Any] | None = None, **given: Any) -> Self:
        """Makes a config from saved tables and single settings; single settings override tables.

        Args:
            saved: `{"model": {"layers": 3}, …}`, as `to_dict` returns and a TOML file holds.
            given: settings by name, of any group.

        With a dataset, saved settings of generated series are ignored. A setting that is missing
        in what a run has saved is off.

        Raises:
            UsageError: an unknown name, an invalid value, or a setting without effect.
        """
        tables, given = _tables(saved or {}), plain_settings(given)
        saved_data = tables.get("data", {})
        data = given.get("data", saved_data.get("data"))
        check_effect(given, data, given.get("task", saved_data.get("task", DataConfig.task)))
        owners = {spec.name: name for name, group in GROUPS.items() for spec in fields(group)}
        for name, value in given.items():
            if name not in owners:
                raise UsageError(f"there is no setting `{name}`{did_you_mean(name, owners)}")
            tables.setdefault(owners[name], {})[name] = value
        if tables.get("data", {}).get("data") is not None:
            if is_resolved(saved or {}):
                tables["training"] = OFF | tables["training"]
                if "horizon" in tables["data"]:  # The only kind of target in older versions.
                    tables["data"].setdefault("predict", "level")
            tables = {group: _without(table, DRAWN) for group, table in tables.items()}
        groups: dict[str, Any] = {
            name: group(**tables.get(name, {})) for name, group in GROUPS.items()
        }
        return cls(**groups)

    def value(self, name: str) -> Any:
        """The value of a setting of any group."""
        owner = next(each for each in vars(self).values() if name in vars(each))
        return getattr(owner, name)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Every setting that has an effect, by group.

        Settings that are off are left out (TOML has no null), and with a dataset those of generated
        series.
        """
        tables = {
            group: {
                name: value
                for name, value in table.items()
                if value is not None and (value or name not in FLAGS)
            }
            for group, table in asdict(self).items()
        }
        unused = OF_THE_FILE if self.data.data is None else DRAWN
        unused = (*unused, *(name for name in OF_TASKS if self.data.task not in OF_TASKS[name]))
        if not self.data.continues:
            unused = (*unused, "continues")  # Older versions do not have it.
        if self.data.task == "echo":
            unused = (*unused, "task")  # Older versions have no other task.
        return {group: _without(table, unused) for group, table in tables.items()}


GROUPS: dict[str, type[Settings]] = get_type_hints(Config)
DEFAULTS: dict[str, Any] = {
    spec.name: spec.default for group in GROUPS.values() for spec in fields(group)
}
"""The default of each setting, in the order in which all lists show them."""


def named(holds: Callable[[Mapping[str, Any]], bool]) -> tuple[str, ...]:
    """The names of the settings whose field metadata satisfies a condition."""
    specs = [spec for group in GROUPS.values() for spec in fields(group)]
    return tuple(spec.name for spec in specs if holds(spec.metadata))


OF_TASKS: dict[str, tuple[str, ...]] = {
    spec.name: spec.metadata["tasks"] for spec in fields(DataConfig) if "tasks" in spec.metadata
}
"""Settings that only some tasks have, and those tasks."""
OF_TABLES = named(lambda it: it.get("source") == "table")
OF_THE_FILE = named(lambda it: it.get("source") in ("file", "table"))
DRAWN = named(lambda it: it.get("source") == "drawn")
OF_THE_CHECKPOINT = named(lambda it: it.get("of_model", it.get("source") in ("file", "table")))
"""Settings of the data and of the run that are fixed once a model is trained."""
OF_TENSORFLOW = named(lambda it: it.get("of_tensorflow", False))
"""Settings of a run that have no effect in commands that do not use TensorFlow."""
ONE_IN_A_SWEEP = named(lambda it: not it.get("swept", it.get("source") not in ("file", "table")))
"""Settings that are the same in all trials of a sweep."""
NOT_SWEPT = ("replicas", "checkpoint_every")
"""Settings of a run that a sweep chooses itself."""
MUTABLE = named(lambda it: it.get("mutable", False))
"""Settings that may change when a run is resumed: an epoch's bits do not depend on them."""
OF_SEVERAL_WORDS = named(lambda it: it.get("several", False))
"""Settings that are lists, separated by commas."""
PATHS = {"data": ("data", "val_data", "test_data", "labels"), "training": ("init_from",)}
"""The settings that name files, by group."""
FLAGS = ("sort_index", "no_header", "extend_vocabulary", "tensorboard")
"""Settings that are on or off, and saved only when on."""
FORMERLY = {"schedule": "execution"}
"""Former names of settings, which are still read, and their names today."""


def plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as files hold them: today's names, paths as text, lists of names with commas."""
    return {FORMERLY.get(name, name): _plain(name, value) for name, value in settings.items()}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, PathLike):
        return fspath(value)
    if name in OF_SEVERAL_WORDS and isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return value


def _resolved(name: str, value: int | None) -> int:
    if value is None:
        raise ValueError(f"`{name}` is not resolved yet: `datasets.open_source` does it")
    return value


def _horizon(text: str) -> str | int:
    """A horizon as TOML and tables hold it: an integer, or a range as the text `1-24`.

    Raises:
        UsageError: a range is empty or too long.
    """
    first, _, last = text.partition("-")
    if not last or int(first) == int(last):
        return int(first)
    further = int(last) - int(first)
    if not 0 < further < MOST_LEADS:
        turned = 0 < -further < MOST_LEADS
        raise UsageError(
            f"`--horizon {text}` must be a range of up to {MOST_LEADS:,} steps, the smaller number "
            "first",
            f"pass `--horizon {last}-{first}`" if turned else "pass a shorter range",
        )
    return f"{int(first)}-{int(last)}"


def _check_encoding(encoding: str | None) -> None:
    """Raises UsageError if Python has no text encoding of that name."""
    try:
        "".encode(encoding or "utf-8")
    except (LookupError, UnicodeError) as error:
        raise UsageError(
            f"`--encoding` must be the name of a text encoding, got `{encoding}`",
            "common ones are utf-8, utf-16, windows-1252, iso-8859-1, shift_jis and gb18030",
        ) from error


def is_resolved(saved: Mapping[str, Any]) -> bool:
    """Whether the settings were saved by a run (all defaults resolved), not written by hand."""
    tables = (table for table in saved.values() if isinstance(table, Mapping))
    return {name for table in tables for name in table} >= ARTICLE.keys()


def _without(table: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name not in names}


def check_effect(given: Mapping[str, Any], data: str | None, task: str) -> None:
    """Raises an error if a setting that was given has no effect.

    Args:
        given: settings by name.
        data: the dataset file, if there is one.
        task: what is generated if there is none.

    Raises:
        UsageError: a setting that was given has no effect.
    """
    for fraction, file in (
        ("val_fraction", "val_data"),
        ("test_fraction", "test_data"),
        ("val_fraction", "val_from"),
        ("test_fraction", "test_from"),
        ("val_from", "val_data"),
        ("test_from", "test_data"),
    ):
        if given.get(fraction) is not None and given.get(file) is not None:
            raise UsageError(
                f"`{option_name(fraction)}` has no effect with `{option_name(file)}`, which "
                "already defines that part",
                f"leave `{option_name(fraction)}` out",
            )
    if given.get("val_fraction") == 0:
        for name in ("patience", "until_solved"):
            if given.get(name):
                raise UsageError(
                    f"`{option_name(name)}` has no effect with `--val-fraction 0`: there is no "
                    "validation loss to decide when to stop",
                    f"leave `{option_name(name)}` out, or pass a larger `--val-fraction`",
                )
    for name in OF_THE_FILE if data is None else DRAWN:
        if given.get(name) is not None:
            option = f"`{option_name(name)}`"
            if data is None:
                raise UsageError(
                    f"{option} has no effect without `--data`: it applies to files",
                    f"leave {option} out, or name a dataset with `--data`",
                )
            raise UsageError(
                f"{option} has no effect with the dataset `{data}`: it applies to generated data",
                f"leave {option} out",
            )
    if data is None and task in TASKS:
        _check_of_task(given, task)


def _check_of_task(given: Mapping[str, Any], task: str) -> None:
    """Raises UsageError if a setting that was given belongs to another task."""
    for name, tasks in OF_TASKS.items():
        if given.get(name) is not None and task not in tasks:
            raise UsageError(
                f"`{option_name(name)}` has no effect with `--task {task}`: it applies to "
                + ", ".join(tasks),
                f"leave `{option_name(name)}` out",
            )


def _tables(saved: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Saved tables with today's names of settings.

    Raises:
        UsageError: a table or a setting is unknown.
    """
    tables = {}
    for name, table in saved.items():
        known = [spec.name for spec in fields(GROUPS[name])] if name in GROUPS else None
        if known is None or not isinstance(table, Mapping):
            raise UsageError(
                f"the configuration has an unknown table `{name}`",
                f"the tables are {', '.join(f'[{group}]' for group in GROUPS)}, as in the "
                "`config.toml` of a run",
            )
        tables[name] = plain_settings(table)
        for key in tables[name]:
            if key not in known:
                raise UsageError(
                    f"the configuration has an unknown setting `{key}` in [{name}]"
                    f"{did_you_mean(key, known)}",
                    f"[{name}] has {', '.join(known)}",
                )
    return tables
