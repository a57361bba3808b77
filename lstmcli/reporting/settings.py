"""Settings as a table, beside their defaults, and as the options that say the same."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from lstmcli.config import CUT, DRAWN, GROUPS, OF_TASKS, OF_THE_FILE, Config
from lstmcli.defaults import ARTICLE, BY_RULE
from lstmcli.report.page import Table
from lstmcli.settings import Settings, option_name, setting_types

DEFAULT = re.compile(r"\s*\(default: ([^()]*)\)")


class Setting(NamedTuple):
    """A setting.

    Attributes:
        name, value, default, help: as the config has them.
        follows: whether its value may have followed from the data: files have it resolved, and what
            was said is not known any more.
    """

    name: str
    value: Any
    default: Any
    help: str
    follows: bool = False

    @property
    def changed(self) -> bool:
        """Whether it is known to differ from what it is where nothing is said."""
        return not self.follows and self.value != self.default


def of(config: Config) -> list[Setting]:
    """Every setting of a run that has an effect."""
    unused = {*(OF_THE_FILE if config.data.data is None else DRAWN)}
    unused |= {name for name in OF_TASKS if config.data.task not in OF_TASKS[name]}
    found = [each for name in GROUPS for each in of_group(getattr(config, name))]
    return [_by_rule(each, config) for each in found if each.name not in unused]


def of_group(group: Settings) -> list[Setting]:
    """The settings of a group."""
    return [
        Setting(spec.name, getattr(group, spec.name), spec.default, spec.metadata["help"])
        for spec, _, _ in setting_types(type(group))
    ]


def _by_rule(setting: Setting, config: Config) -> Setting:
    """What follows from the data: the article's for what is drawn; else it is the file's own."""
    if setting.name not in BY_RULE:
        return setting
    drawn = config.data.data is None
    if drawn and (setting.name not in CUT or config.data.task == "echo"):
        return setting._replace(default=ARTICLE.get(setting.name))
    return setting._replace(follows=True)


def table(settings: list[Setting]) -> Table:
    """The settings, those that differ from their defaults marked."""
    rows = [
        [
            option_name(each.name),
            _text(each.value, each.help),
            _text(each.default, each.help),
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


def _text(value: Any, help: str) -> str:
    """A value; of one that is not set, what its help says of that."""
    if value is None:
        known = DEFAULT.search(help)
        return known[1] if known else "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def options(settings: list[Setting]) -> list[str]:
    """The words of a command line that make the settings what they are."""
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
