"""Settings from TOML files: merged in order, each with its origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lstmcli.config import DEFAULTS, FORMERLY, PATHS, Config, is_resolved
from lstmcli.defaults import OFF
from lstmcli.training import run_dir
from lstmcli.utils.errors import UsageError, shell_quote
from lstmcli.utils.settings import option_name

DEFAULT, BY_RULE = "default", "default for this data"


@dataclass(frozen=True)
class ConfigFiles:
    """The merged settings of several files.

    Attributes:
        tables: the settings by group, as `Config.build` takes them.
        origins: the file that each setting comes from.
    """

    tables: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Path] = field(default_factory=dict)

    def add(self, saved: Mapping[str, Any], path: Path) -> ConfigFiles:
        """Merges the settings of another file, which override these.

        The saved settings of a run are complete, so they replace all earlier ones.
        """
        before = ConfigFiles() if is_resolved(saved) else self
        tables, origins = {**before.tables}, {**before.origins}
        _check_one_source(saved, path, before)
        for group, table in saved.items():
            known = tables.get(group, {})
            if not isinstance(table, Mapping) or not isinstance(known, Mapping):
                tables[group] = (
                    table if isinstance(known, Mapping) else known
                )  # `Config.build` reports it.
                continue
            tables[group] = {**known, **table}
            origins |= {FORMERLY.get(str(name), str(name)): path for name in table}
        return ConfigFiles(tables, origins)

    def found(self) -> dict[str, Any]:
        """The settings, with paths relative to the current directory.

        Raises:
            FileError: a data file is missing.
        """
        tables = dict(self.tables)
        for group, names in PATHS.items():
            table = tables.get(group)
            if not isinstance(table, Mapping):
                continue
            for name in table.keys() & set(names):
                named = {group: {name: table[name]}}
                table = {
                    **table,
                    **run_dir.with_paths_from(named, self.origins[name].parent)[group],
                }
            tables[group] = table
        return tables


def _check_one_source(saved: Mapping[str, Any], path: Path, before: ConfigFiles) -> None:
    """Raises UsageError if a file names a task and an earlier one names a data file."""
    now, then = (each.get("data", {}) for each in (saved, before.tables))
    if not isinstance(now, Mapping) or not isinstance(then, Mapping):
        return
    if "task" in now and "data" not in now and "data" in then:
        raise UsageError(
            f"`{path}` names a task and `{before.origins['data']}` a file of data: a run has one "
            "of them",
            f"leave one of the two out: `--config {shell_quote(path)}`",
        )


def read(paths: Sequence[Path]) -> ConfigFiles:
    """Reads settings files; later files override earlier ones.

    Raises:
        UsageError: a file is missing or is not TOML.
    """
    found = ConfigFiles()
    for path in paths:
        found = found.add(run_dir.read_config(path), path)
    return found


def with_origins(
    config: Config, files: ConfigFiles, given: Mapping[str, Any]
) -> dict[str, dict[str, tuple[Any, str]]]:
    """Every setting that has an effect, by group, with its value and its origin in words.

    Args:
        config: the resolved settings.
        files: the settings read from files.
        given: the settings from the command line.
    """

    def origin(name: str) -> str:
        if name in given:
            return option_name(name)
        if name in files.origins:
            return str(files.origins[name])
        if name in OFF and is_resolved(files.tables):  # A saved config does not list what is off.
            return str(next(iter(files.origins.values())))
        return BY_RULE if config.data.data and DEFAULTS[name] is None else DEFAULT

    return {
        group: {name: (value, origin(name)) for name, value in table.items()}
        for group, table in config.to_dict().items()
    }
