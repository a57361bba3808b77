"""The sections of a page: settings, provenance, commands and figures."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lstmcli.config import (
    CUT,
    DEPTHS,
    DRAWN,
    GROUPS,
    NOT_SWEPT,
    OF_TASKS,
    OF_THE_FILE,
    Config,
    SweepConfig,
)
from lstmcli.defaults import ARTICLE, BY_RULE
from lstmcli.reporting import plot
from lstmcli.reporting.html import Command, Picture, Table, Text
from lstmcli.sweeps import grid, overview, tuning
from lstmcli.sweeps.axis import is_number
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.errors import FileError, shell_quote
from lstmcli.utils.settings import Settings, option_name, setting_types

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lstmcli.sweeps.load import Finished

DEFAULT = re.compile(r"\s*\(default: ([^()]*)\)")


class Setting(NamedTuple):
    """A setting.

    Attributes:
        name, value, default, help: as the config has them.
        follows: whether its value may have been derived from the data; whether it was given is not
            recorded.
    """

    name: str
    value: Any
    default: Any
    help: str
    follows: bool = False

    @property
    def changed(self) -> bool:
        """Whether it is known to differ from its default."""
        return not self.follows and self.value != self.default


def settings_of(config: Config) -> list[Setting]:
    """Every setting of a run that has an effect."""
    unused = {*(OF_THE_FILE if config.data.data is None else DRAWN)}
    unused |= {name for name in OF_TASKS if config.data.task not in OF_TASKS[name]}
    found = [each for name in GROUPS for each in settings_of_group(getattr(config, name))]
    return [_by_rule(each, config) for each in found if each.name not in unused]


def settings_of_group(group: Settings) -> list[Setting]:
    """The settings of a group."""
    return [
        Setting(spec.name, getattr(group, spec.name), spec.default, spec.metadata["help"])
        for spec, _, _ in setting_types(type(group))
    ]


def _by_rule(setting: Setting, config: Config) -> Setting:
    """A setting with the default that follows from the data."""
    if setting.name not in BY_RULE:
        return setting
    drawn = config.data.data is None
    if drawn and (setting.name not in CUT or config.data.task == "echo"):
        return setting._replace(default=ARTICLE.get(setting.name))
    return setting._replace(follows=True)


def settings_table(settings: list[Setting]) -> Table:
    """The settings, those that differ from their defaults marked."""
    rows = [
        [
            option_name(each.name),
            _setting_text(each.value, each.help),
            _setting_text(each.default, each.help),
            "changed" if each.changed else "",
            DEFAULT.sub("", each.help),
        ]
        for each in settings
    ]
    return Table(
        "Every setting. Those that differ from their defaults are marked.",
        ["option", "value", "default", "differs", "meaning"],
        rows,
        frozenset(place for place, each in enumerate(settings) if each.changed),
    )


def _setting_text(value: Any, help: str) -> str:
    """A value; if it is not set, the default that its help names."""
    if value is None:
        known = DEFAULT.search(help)
        return known[1] if known else "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def setting_options(settings: list[Setting]) -> list[str]:
    """The command-line options that give these settings."""
    return [
        word
        for each in settings
        if (each.changed or each.follows) and each.value is not None
        for word in _option(each.name, each.value)
    ]


def _option(name: str, value: Any) -> list[str]:
    flag = option_name(name)
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    text = str(value)
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]


NAMES = {
    "status": "status",
    "error": "error",
    "version": "lstmcli",
    "python": "Python",
    "device": "device",
    "threads": "threads",
    "instruction_set": "instruction set",
    "seeds": "seeds",
    "data_seeds": "data seeds",
    "data": "data",
    "data_sha256": "SHA-256 of the data",
    "target": "target",
    "classes": "classes",
    "rows": "rows (batch size)",
    "steps": "steps of a window",
    "dropped_steps": "steps that fill no window",
    "started": "started (UTC)",
    "ended": "ended (UTC)",
    "elapsed_seconds": "seconds in all",
}
"""Readable names of the fields of `run.json`, in the order of the table."""
OF_A_RUN = ("status", "seeds", "data_seeds", "data", "started", "ended", "elapsed_seconds", "error")
"""Fields that a sweep's runs need not share; a sweep has them elsewhere, or in sum."""
MOST = 8
"""The most values of a field that are shown."""
WHOLE, DIGITS = 2, 12
"""Checksums that are shown whole, and digits of each where there are more."""


def read_provenance(path: Path) -> dict[str, Any]:
    """What a run's `run.json` says.

    Raises:
        FileError: it is damaged.
    """
    return RunDirectory(path).read_status()


def provenance_table(status: Mapping[str, Any]) -> Table:
    """The provenance of a run."""
    known = [field for field in NAMES if status.get(field) is not None]
    rows = [[NAMES[field], _value(field, status)] for field in known]
    libraries = status.get("libraries") or {}
    rows += [[name, _text(version)] for name, version in libraries.items()]
    return Table("What the results depend on.", ["what", "value"], rows)


def provenance_of_many(statuses: Sequence[Mapping[str, Any]]) -> Table:
    """The provenance of a sweep: the values of each field over its runs."""
    flat = [{**each, **(each.get("libraries") or {})} for each in statuses]
    libraries = {name: name for each in statuses for name in each.get("libraries") or {}}
    fields = {field: name for field, name in NAMES.items() if field not in OF_A_RUN} | libraries
    rows = [[name, _all(field, flat)] for field, name in fields.items()]
    rows += [["status of its runs", _counts(flat)], *_times(statuses)]
    return Table("What the results depend on.", ["what", "value"], [row for row in rows if row[1]])


def _all(field: str, statuses: Sequence[Mapping[str, Any]]) -> str:
    found = {_value(field, each) for each in statuses if each.get(field) is not None}
    more = len(found) - MOST
    return "; ".join(sorted(found)[:MOST]) + (f"; and {more} others" if more > 0 else "")


def _counts(statuses: Sequence[Mapping[str, Any]]) -> str:
    found = [str(each.get("status")) for each in statuses]
    return ", ".join(f"{found.count(name)} {name}" for name in sorted(set(found)))


def _times(statuses: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    started = [str(each["started"]) for each in statuses if each.get("started")]
    ended = [str(each["ended"]) for each in statuses if each.get("ended")]
    return [
        ["first started (UTC)", _time(min(started, default=""))],
        ["last ended (UTC)", _time(max(ended, default=""))],
    ]


def _value(field: str, status: Mapping[str, Any]) -> str:
    """A field's value; of many checksums only the first digits."""
    value = status[field]
    if field == "data_sha256" and isinstance(value, list) and len(value) > WHOLE:
        value = [str(each)[:DIGITS] for each in value]
        return f"{_text(value)} (the first {DIGITS} digits of each)"
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return _range(value) or ", ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return _time(value)
    return f"{value:,}" if isinstance(value, int) else json.dumps(value)


def _range(values: Sequence[Any]) -> str | None:
    """`0 to 7` for several whole numbers in a row."""
    numbers = all(isinstance(each, int) for each in values)
    if numbers and len(values) > 2 and values == list(range(values[0], values[0] + len(values))):
        return f"{values[0]} to {values[-1]}"
    return None


def _time(text: str) -> str:
    """A time of `run.json` in a readable form; any other text unchanged."""
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}" if "T" in text else text
    except ValueError:
        return text


AGAIN = "again"
"""A directory without neighbouring sweeps, whose finished trials would be reused."""


def commands_of_run(path: Path, config: Config) -> list[Command]:
    """Commands about a run.

    Args:
        path: its directory, as it was given: the commands work from the same place.
        config: its settings, with paths that are valid there.
    """
    train = shlex.join(["lstmcli", "train", *setting_options(settings_of(config))])
    return [
        *_from_where(path),
        Command("Train it again, in a new directory.", train),
        Command(
            "The same, from the run's saved settings.",
            f"lstmcli train --config {shell_quote(RunDirectory(path).config)}",
        ),
        *_about(path),
    ]


def commands_of_sweep(path: Path, config: Config, found: Finished) -> list[Command]:
    """Commands about a sweep; arguments as those of `of_run`."""
    words = [*_sweep_options(config, found), *_compared(found)]
    again = shlex.join(["lstmcli", "sweep", *words])
    return [
        *_from_where(path),
        Command(
            "Train every trial again, in a new directory, without the existing ones.",
            f"{again} --out {shell_quote(path.parent / AGAIN / path.resolve().name)}",
        ),
        Command(
            "Finish or extend this sweep: more "
            f"{found.axis.alternatives} and more seeds add to it.",
            f"{again} --out {shell_quote(path)}",
        ),
        *(
            [Command("Score its best trial on data that it has not seen.",
                     f"lstmcli eval {shell_quote(path)}")] if found.best else []
        ),
        *_about(path)[-1:],
    ]  # fmt: skip


def _compared(found: Finished) -> list[str]:
    """The options that say what is compared instead of depth."""
    if found.compared is None:
        return []
    return ["--compare", f"{option_name(found.compared)[2:]}={_values(found)}"]


def _values(found: Finished) -> str:
    values = sorted(found.trials[found.axis.column].unique())
    return ",".join(f"{each:g}" if is_number(each) else str(each) for each in values)


def _sweep_options(config: Config, found: Finished) -> list[str]:
    """The options for what is tuned, or for a fixed learning rate."""
    tuned = {grid.setting_of(name): name for name in found.tuned}
    apart = {*tuned, found.compared}
    plain = [each for each in of_a_sweep(config, found) if each.name not in apart]
    words = setting_options(plain)
    for name, column in tuned.items():
        values = ",".join(map(overview.text, sorted(found.trials[column].dropna().unique())))
        words += ["--tune", f"{option_name(name)[2:]}={values}"]
    rate = option_name(tuning.BY_DEFAULT)
    if tuning.BY_DEFAULT not in apart and rate not in words:
        words += [rate, f"{config.training.learning_rate:g}"]
    return words


def _from_where(path: Path) -> list[Command]:
    """The command that changes to the right directory, if the paths depend on it."""
    if path.is_absolute():
        return []
    here = Path.cwd()
    does = "Go to the directory in which this page was written: the paths below start there."
    return [Command(does, f"cd {shell_quote(here)}")]


def _about(path: Path) -> list[Command]:
    return [
        Command("Score it on data that it has not seen.", f"lstmcli eval {shell_quote(path)}"),
        Command("Show what its checkpoint holds.", f"lstmcli inspect {shell_quote(path)}"),
        Command("Write this page again.", f"lstmcli report {shell_quote(path)}"),
    ]


def of_a_sweep(config: Config, found: Finished) -> list[Setting]:
    """The settings of a sweep: those of its trials, some with several values, and its own."""
    identity, depths = found.identity, sorted(found.trials.layers.unique())
    lists = {name: ",".join(map(str, values)) for name, values in identity["swept"].items()}
    for column in found.tuned:
        values = sorted(found.trials[column].dropna().unique())
        lists[grid.setting_of(column)] = f"{','.join(map(overview.text, values))} (tuned)"
    lists["layers"] = _depths([int(each) for each in depths])
    if found.compared:
        lists[found.compared] = _values(found)
    own = SweepConfig(
        seeds=str(found.seeds),
        match=identity.get("match", {}).get("size"),
        margin=found.margin,
    )
    return [
        _listed(each, lists)
        for each in [*settings_of(config), *settings_of_group(own)]
        if each.name not in NOT_SWEPT
    ]


def _listed(setting: Setting, lists: dict[str, str]) -> Setting:
    if setting.name not in lists:
        return setting
    default = DEPTHS if setting.name == "layers" else setting.default
    return setting._replace(value=lists[setting.name], default=default, follows=False)


def _depths(depths: list[int]) -> str:
    """`1-5`, or `1,2,4`."""
    if len(depths) > 1 and depths == list(range(depths[0], depths[-1] + 1)):
        return f"{depths[0]}-{depths[-1]}"
    return ",".join(map(str, depths))


SHOWN = {
    "depth": "Test loss by setting: a point for each seed, and the interquartile mean with its "
    "95 % interval. The table below has the numbers.",
    "curves": "Validation loss by epoch: for each setting the median over the seeds, and the "
    "middle half of them.",
    "loss": "Training and validation loss by epoch, with the Bayes loss, chance or baselines. "
    "The table of epochs has the numbers.",
}
"""Descriptions of figures, by name, for readers who cannot see them."""
HEAT_MAP = (
    "By depth and the other setting that was swept: how many seeds solve the task, and the median "
    "excess loss (the loss minus the best predictor's). The table of trials has the numbers."
)
WINDOW = (
    "The loss, and beside it some steps of the validation series: inputs, labels or targets, and "
    "the best checkpoint's predictions. The table of epochs has the losses' numbers."
)


def drawn_figures(path: Path) -> list[Picture | Text]:
    """The figures of a run or a sweep, or why there are none."""
    try:
        drawn = plot.draw(path)
    except FileError as error:
        return [Text(error.message)]
    shown = dict(drawn.figures)
    if drawn.main not in SHOWN:  # A window, which has the loss beside it.
        shown.pop("loss", None)
    return [
        *(
            Picture(figure, name.replace("_", " ").capitalize(), _shown(name, figure))
            for name, figure in shown.items()
        ),
        *map(Text, drawn.notes),
    ]


def _shown(name: str, figure: Figure) -> str:
    if name == "depth" and any(axes.images for axes in figure.axes):
        return HEAT_MAP
    return SHOWN.get(name, WINDOW)
