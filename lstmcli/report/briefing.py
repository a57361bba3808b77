"""What settings make possible, in a few lines that explain their words."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from lstmcli.report import words

if TYPE_CHECKING:
    from lstmcli.config import Config
    from lstmcli.preflight import DataFacts, Preflight


LONG = 10
"""Seconds of compiling from which on they are told."""
PREDICTS = {
    "change": "predicts the change from the last value",
    "residual": "predicts the residual of a linear autoregression",
}


def lines(found: Preflight) -> list[str]:
    """What there is to know before training, a line for each thing."""
    settings = of_settings(found.config)
    return [settings, *of_data(found.data), of_model(found), f"time: {of_time(found)}"]


def of_settings(config: Config) -> str:
    """What is trained and how, as it was given or follows from the data."""
    model, training = config.model, config.training
    said = [
        f"{model.layers:,} layer{'s' * (model.layers != 1)} of {_units(model.state_size)}",
        f"{training.optimizer} at {training.learning_rate:g}",
        f"gradient norm up to {training.clip_norm:g}" if training.clip_norm else "",
        _epochs(training.epochs),
        f"patience {training.patience:,}" if training.patience else "",
        PREDICTS.get(config.data.predict or "", ""),
    ]
    return "settings: " + ", ".join(filter(None, said))


def _units(count: int) -> str:
    return f"{count:,} unit{'s' * (count != 1)}"


def _epochs(count: int) -> str:
    return f"{count:,} epoch{'s' * (count != 1)}"


def of_data(data: DataFacts) -> list[str]:
    """What the data and its windows make possible."""
    return [_labels(data), _reach(data), _losses(data)]


def folded(line: str, columns: int | None) -> str:
    """A line broken between words where it is wider than the terminal, and indented."""
    if not columns:
        return line
    indent = " " * (line.index(":") + 2)
    return textwrap.fill(line, columns, subsequent_indent=indent, break_on_hyphens=False)


def warning(data: DataFacts) -> str | None:
    """What makes learning hopeless, with what may help; `None` where nothing does."""
    if data.outside is None or data.outside < 1:
        return None
    return (
        f"every label has its source before its window of {_steps(data.bptt)}: no gradient tells "
        "the network to keep it in its state, and only luck does; try a larger `--bptt`"
    )


def share(part: float | None) -> str:
    """A share as a percentage: 0 % and 100 % only where it is none and all; `-` if not known."""
    if part is None:
        return "-"
    percent = 100 * part
    if 0 < percent < 1:
        return "<1 %"
    return ">99 %" if 99 < percent < 100 else f"{percent:.0f} %"


def of_time(found: Preflight) -> str:
    """`about 10 s of training for 100 epochs, and some seconds to compile and draw`."""
    epochs = _epochs(found.epochs)
    seeds = f" of {found.seeds:,} seeds" if found.seeds > 1 else ""
    which = f"{epochs}{seeds}"
    if found.done:
        which = f"the {which} that {'are' if found.epochs != 1 else 'is'} left"
    if not found.epochs:
        return "none: no epoch is left"
    seconds = duration(max(1.0, found.training))
    if found.compiling < LONG:
        return f"about {seconds} of training for {which}, and some seconds to compile and draw"
    compiling = duration(found.compiling)
    return f"about {seconds} of training for {which}, and {compiling} to compile"


def going_on(epoch: int, window: int, windows: int) -> str:
    """Where a run that is resumed goes on.

    Args:
        epoch: epochs completed.
        window: windows done of the next.
        windows: of an epoch.
    """
    if window:
        return f"resuming within epoch {epoch + 1:,}, after window {window:,} of {windows:,}"
    return f"resuming after epoch {epoch:,}" if epoch else "resuming before the first epoch"


def duration(seconds: float) -> str:
    """`8 s`, `3 min`, `2.5 h`: no more digits than a guess has."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def of_model(found: Preflight) -> str:
    """Parameters against labels."""
    labels = found.data.labels / found.parameters
    each = f"{labels:,.0f}" if labels >= 10 else f"{labels:.2g}"
    return f"model: {found.parameters:,} parameters, with {each} labels an epoch for each of them"


def _labels(data: DataFacts) -> str:
    """How the data is cut."""
    text = (
        f"data: {data.labels:,} labels an epoch, in {data.windows:,} windows of "
        f"{data.rows:,} rows x {_steps(data.bptt)}"
    )
    if data.dropped:
        text += f" ({data.dropped:,} steps at the rows' ends fill no window: not used)"
    return text


def _reach(data: DataFacts) -> str:
    """Whose source a window leaves out, or how far a gradient goes."""
    longest = ""
    if data.longest is not None:
        longest = f"; the longest sequence has {_steps(data.longest)}"
    if data.outside is None:
        return f"reach: gradients go back to the start of a window, {_steps(data.bptt)} at most" + (
            longest
        )
    if data.outside == 0:
        return f"reach: every label has its source in its window{longest}"
    counted = ""
    if data.longest is None:  # Then it is so many steps of every window.
        counted = f" ({data.outside * data.bptt:.0f} of {_steps(data.bptt)})"
    return (
        f"reach: {share(data.outside)} of the labels{counted} have their source before their "
        f"window, where no gradient leads{longest}"
    )


def _losses(data: DataFacts) -> str:
    """Chance, and what is best."""
    chance = f"loss: {words.loss(data.schema, data.chance.loss)} is chance ({data.chance.name})"
    if data.best is None:
        return chance
    loss = words.loss(data.schema, data.best.loss)
    if data.best.name == "floor":
        return f"{chance}, {loss} the floor (the best that can be expected)"
    name = words.baseline(data.schema, data.best.name)
    return f"{chance}, {loss} needs no network ({name})"


def _steps(count: int) -> str:
    return f"{count:,} step{'s' if count != 1 else ''}"
