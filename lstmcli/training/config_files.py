"""Settings from TOML files: several on top of each other, and where each value comes from."""

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
    """What some files say together.

    Attributes:
        tables: the settings by group, as `Config.build` takes them.
        origins: of each setting the file that has the last word.
    """

    tables: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Path] = field(default_factory=dict)

    def add(self, saved: Mapping[str, Any], path: Path) -> ConfigFiles:
        """These and another file's settings, which win.

        What a run has saved is all there is to say: nothing of before is left.
        """
        before = ConfigFiles() if is_resolved(saved) else self
        tables, origins = {**before.tables}, {**before.origins}
        _check_one_source(saved, path, before)
        for group, table in saved.items():
            known = tables.get(group, {})
            if not isinstance(table, Mapping) or not isinstance(known, Mapping):
                tables[group] = (
                    table if isinstance(known, Mapping) else known
                )  # `Config.build` has a word for it.
                continue
            tables[group] = {**known, **table}
            origins |= {FORMERLY.get(str(name), str(name)): path for name in table}
        return ConfigFiles(tables, origins)

    def found(self) -> dict[str, Any]:
        """The settings, with the paths of files as they are found from here.

        Raises:
            FileError: data is not there.
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
    """Raises UsageError where a file names a task, and one before it a file of data."""
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
    """Reads files of settings, of which the later win.

    Raises:
        UsageError: one is missing or is not TOML.
    """
    found = ConfigFiles()
    for path in paths:
        found = found.add(run_dir.read_config(path), path)
    return found


def with_origins(
    config: Config, files: ConfigFiles, given: Mapping[str, Any]
) -> dict[str, dict[str, tuple[Any, str]]]:
    """Every setting that has an effect, by group, each with where it comes from, in words.

    Args:
        config: the settings, resolved.
        files: those that were read from files.
        given: those that were typed.
    """

    def origin(name: str) -> str:
        if name in given:
            return option_name(name)
        if name in files.origins:
            return str(files.origins[name])
        if name in OFF and is_resolved(files.tables):  # It was off once, and is not named there.
            return str(next(iter(files.origins.values())))
        return BY_RULE if config.data.data and DEFAULTS[name] is None else DEFAULT

    return {
        group: {name: (value, origin(name)) for name, value in table.items()}
        for group, table in config.to_dict().items()
    }
