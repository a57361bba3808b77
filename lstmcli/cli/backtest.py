"""`lstmcli eval --ahead`: the errors of forecasts that begin at many steps of the test part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from lstmcli.cli.output import print_json, print_sentence, print_table, say
from lstmcli.utils.errors import UsageError
from lstmcli.utils.files import check_figure_ending, check_figure_replaceable
from lstmcli.utils.terminal import escape_unprintable

if TYPE_CHECKING:
    from lstmcli.cli.json_results import EvalAheadResult
    from lstmcli.inference.backtest import Backtest

MOST_ROWS = 24
"""The most steps ahead that a table shows."""


def run(
    checkpoint: Path, given: Mapping[str, Any], ahead: int, output: Path | None, as_json: bool
) -> None:
    """Forecasts from many steps, and prints the errors.

    Args:
        checkpoint: a checkpoint or a run directory.
        given: settings that were typed.
        ahead: how many steps ahead.
        output: where a figure goes.
        as_json: whether the table is printed as JSON.

    Raises:
        LstmcliError: a setting, the checkpoint or the data cannot be used.
    """
    from lstmcli.inference import forecast as forecasting
    from lstmcli.inference.backtest import backtest

    if ahead < 1:
        raise UsageError(f"`--ahead` must be at least 1, got {ahead}")
    if output is not None:
        check_figure_ending(output)
        check_figure_replaceable(output)
    settings = dict(given)
    data = settings.pop("data", None)
    opened = forecasting.open_model(
        checkpoint, None if data is None else Path(data), settings=settings, all_seeds=True
    )
    part = opened.series if data is not None else opened.test_part()
    found = backtest(opened, part, ahead)
    for note in dict.fromkeys([*opened.notes, *found.notes]):
        say("note", note)
    name = opened.name if data is not None else f"{opened.name} (test part)"
    if output is not None:
        _draw(found, name, output)
    if as_json:
        table = found.table()
        result: EvalAheadResult = {
            "checkpoint": str(opened.path),
            "data": name,
            "ahead": ahead,
            "origins": found.origins,
            "results": table.astype(object).where(table.notna(), None).to_dict("records"),
        }
        print_json(result)
        return
    typer.echo(f"checkpoint: {escape_unprintable(str(opened.path))}")
    print_sentence(
        f"data: {escape_unprintable(name)}, forecast from {found.origins:,} of its steps"
    )
    _print(found)


def _print(found: Backtest) -> None:
    """A table for each target: RMSE by steps ahead, and over all steps."""
    for place, target in enumerate(found.targets):
        errors = found.rmse(place)
        print_sentence(f"rmse of {escape_unprintable(target)}, in its own units, by steps ahead:")
        steps = len(next(iter(errors.values())))
        shown = _shown(steps)
        rows = [
            [str(step + 1), *(_figure(each[step]) for each in errors.values())] for step in shown
        ]
        overall = (np.sqrt(np.nanmean(np.square(each))) for each in errors.values())
        print_table(["ahead", *errors], [*rows, ["all", *map(_figure, overall)]])


def _shown(steps: int) -> list[int]:
    """Which steps ahead are shown: all if they are few, else evenly spaced ones."""
    if steps <= MOST_ROWS:
        return list(range(steps))
    return sorted(set(np.linspace(0, steps - 1, MOST_ROWS // 2).astype(int).tolist()))


def _figure(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.5g}"


def _draw(found: Backtest, name: str, output: Path) -> None:
    from lstmcli.reporting.figures import style
    from lstmcli.reporting.figures.forecast import backtest_figure

    panels = {target: found.rmse(place) for place, target in enumerate(found.targets)}
    title = f"{style.shown(name, 60)}: errors of forecasts"
    explained = (
        f"Root mean square errors of forecasts from {found.origins:,} steps, by steps ahead."
    )
    style.save(backtest_figure(title, explained, panels), output)
