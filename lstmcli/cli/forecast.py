"""`lstmcli forecast`: forecasts beyond the end of the data, with intervals."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.options import PATH_OPTION, CheckpointPath
from lstmcli.cli.output import say
from lstmcli.utils.errors import UsageError
from lstmcli.utils.files import (
    FIGURE_MARKS,
    check_figure_replaceable,
    check_replaceable,
    write_atomically,
)

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.inference.forecast import Forecast

SHOWN_BEFORE = 4
"""The figure shows this many times the forecast's steps of the past, and at least LEAST_BEFORE."""
LEAST_BEFORE = 60


def forecast(
    checkpoint: CheckpointPath,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Steps to forecast (default: the model's horizon)."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Forecast from the end of this file instead of the training file.", **PATH_OPTION
        ),
    ] = None,
    future: Annotated[
        Path | None,
        typer.Option(
            help="Table of inputs that are known in advance, a row for each step.", **PATH_OPTION
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write the table (.csv) or a figure (.png, .svg, .pdf) to this file.",
            **PATH_OPTION,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Seed of the model (default: that with the lowest validation loss)."
        ),
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Forecast with the mean of all seeds' models.")
    ] = False,
) -> None:
    """Forecast beyond the end of the data, with intervals.

    A model with a horizon forecasts that many steps from the past alone. For further steps its
    forecasts are fed back as inputs, and the calendar continues; other inputs come from `--future`.
    The 80 % intervals come from the errors of such forecasts on the validation part, for each step
    ahead. How many values of the test part they contain is reported. TensorFlow is not needed.
    """
    from lstmcli.inference import forecast as forecasting

    if steps is not None and steps < 1:
        raise UsageError(f"`--steps` must be at least 1, got {steps}")
    if output is not None:
        _check_output(output)
    opened = forecasting.open_model(checkpoint, data, seed, ensemble)
    for note in dict.fromkeys(opened.notes):
        _note(note)
    found = forecasting.forecast(opened, steps, future)
    table = found.table
    text = table.to_csv(index=False)
    if output is not None and output.suffix.lower() == ".csv":
        write_atomically(output, text.encode())
    elif output is not None:
        _draw(found, table, output)
    sys.stdout.write(text)
    sys.stdout.flush()
    for note in _interval_notes(found):
        _note(note)


def _interval_notes(found: Forecast) -> list[str]:
    """Notes on the intervals."""
    from lstmcli.inference.ahead import unknown_inputs
    from lstmcli.inference.forecast import FEW, FEWEST

    opened = found.opened
    if opened.schema.classes is not None:
        return []
    if found.counts is None:
        why = "is missing or has changed" if opened.source is None else "does not exist"
        return [f"no intervals: they need errors on the validation part, which {why}"]
    least = int(found.counts.min())
    notes = []
    if least < FEWEST:
        notes.append(
            f"the last steps have no interval: the validation part gives fewer than {FEWEST} "
            "errors that far ahead"
        )
    elif least < FEW:
        notes.append(
            f"the intervals of the last steps come from only {least} errors, as the validation "
            "part is short for so many steps"
        )
    if outside := found.outside:
        notes.append(
            f"{outside} of the forecasts lie outside their intervals: on the validation part "
            "nearly all errors that far ahead had the same sign"
        )
    if found.coverage is not None:
        share, count = found.coverage
        notes.append(
            f"80 % intervals, from errors on the validation part for each step ahead; on the test "
            f"part they contained {100 * share:.0f} % of {count:,} values"
        )
    if opened.roller.rows_ahead(len(found.values)) and (others := unknown_inputs(opened.schema)):
        names = ", ".join(f"`{name}`" for name in others)
        notes.append(f"those errors were measured with the true values of {names} as inputs")
    return notes


def _check_output(output: Path) -> None:
    """Checks that the table or the figure can be written there."""
    endings = (".csv", *FIGURE_MARKS)
    if output.suffix.lower() not in endings:
        raise UsageError(
            f"`--output` must end with {', '.join(endings)}, got `{output.name}`",
            "the ending decides the file format",
        )
    if output.suffix.lower() == ".csv":
        check_replaceable(output, _is_own, "holds no forecast")
    else:
        check_figure_replaceable(output)


def _is_own(path: Path) -> bool:
    """Whether a file's first line is that of a forecast."""
    with path.open("rb") as file:
        first = file.readline(1 << 12).decode("utf-8", "replace").strip()
    names = first.split(",")[1:]
    return bool(names) and names[0].startswith("prediction")


def _draw(found: Forecast, table: pd.DataFrame, output: Path) -> None:
    """Draws the last part of the data with the forecast."""
    import numpy as np

    from lstmcli.inference.rollout import truth
    from lstmcli.reporting.figures import style
    from lstmcli.reporting.figures.forecast import forecast_figure

    opened, series = found.opened, found.opened.series
    if opened.schema.classes is not None:
        raise UsageError(
            "cannot draw a figure: the model predicts classes, not numbers",
            "`--output FILE.csv` writes the table",
        )
    count = max(LEAST_BEFORE, SHOWN_BEFORE * len(table))
    values = truth(series, opened.roller.leads)[-count:]
    index = opened.schema.index
    labels = series.labels.get((index.name or "index") if index else "", np.arange(len(series)))
    if found.ahead.name == "step":
        labels = np.arange(len(series))
    bounds = None if found.low is None or found.high is None else (found.low, found.high)
    names = [column.name for column in found.targets]
    title = f"{', '.join(style.shown(name) for name in names)}: the next {len(table)} steps"
    explained = "80 % intervals come from the errors of such forecasts on the validation part."
    if found.coverage is not None:
        explained += f" On the test part they contained {100 * found.coverage[0]:.0f} % of values."
    figure = forecast_figure(
        title,
        explained if bounds else "",
        names,
        (labels[-len(values) :], values),
        (found.ahead.labels, found.values),
        bounds,
    )
    style.save(figure, output)


def _note(text: str) -> None:
    say("note", text)
