"""Tables of a sweep's results, for the terminal and for its page."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.sweeps.grid import SIZES, words
from lstmcli.sweeps.summary import GUESS

if TYPE_CHECKING:
    import pandas as pd

Rows = list[list[str]]
OF_A_TRIAL = {
    "seed": "seed",
    "status": "status",
    "epochs": "epochs",
    "solved": "solved",
    "epochs_to_solve": "epochs to solve",
    "best_val_loss": "best val loss",
    "test_loss": "test loss",
    "test_accuracy": "accuracy",
    "bayes_loss": "Bayes loss",
    "gap": "excess loss",
    "reference": "baseline",
    "reference_loss": "its loss",
    "epoch_seconds": "s/epoch",
    "error": "error",
}
"""The columns of `trials.csv` that people read, and what they call them."""
SHORT = {"gap": ".3g", "epoch_seconds": ".3g", "bayes_loss": ".3g", "reference_loss": ".3g"}


def summary_table(summary: pd.DataFrame, swept: Sequence[str]) -> tuple[list[str], Rows]:
    """Headings and cells of `summary.csv`, in figures that people read.

    All depths of a combination of the other settings stand together; what needs no network is last.

    Args:
        summary: the columns of `summary.csv`.
        swept: the columns of the settings that were swept besides depth.
    """
    others = [name for name in swept if name != "state_size"]
    headings = ["layers", "size", "params", "solved", "test loss", "95 %", "epochs", "p"]
    rows = [
        [
            *(text(row[name]) for name in others),
            f"{row.layers:.0f}",
            f"{row.state_size:.0f}",
            f"{row.parameters:,.0f}",
            "-" if isnan(row.solve_rate) else f"{row.solve_rate * row.seeds:.0f}/{row.seeds:.0f}",
            number(row.iqm, "#.3g"),
            "-" if isnan(row.ci_low) else f"{row.ci_low:.2g} to {row.ci_high:.2g}",
            number(row.epochs_to_solve, ".0f"),
            number(row.p_value, ".2g"),
        ]
        for _, row in summary.iterrows()
    ]
    rows += _reference_rows(summary, others, len(headings))
    return [*map(words, others), *headings], rows


def _reference_rows(summary: pd.DataFrame, others: list[str], headings: int) -> Rows:
    """A row for what is known without a network: one for all settings, or one for each group."""
    known = summary[summary.reference.notna() & (summary.reference != GUESS)]
    alike = len(known[["reference", "reference_loss"]].drop_duplicates()) == 1
    found = known.drop_duplicates([*([] if alike else others), "reference", "reference_loss"])
    return [
        [
            *("-" if alike else text(row[name]) for name in others),
            str(row.reference),
            *["-"] * 3,
            number(row.reference_loss, "#.3g"),
            *["-"] * (headings - 5),
        ]
        for _, row in found.iterrows()
    ]


def trials_table(trials: pd.DataFrame, swept: Sequence[str]) -> tuple[list[str], Rows]:
    """Headings and cells of `trials.csv`; a column without a value is left out.

    Args:
        trials: its columns.
        swept: the columns of the settings that were swept besides depth.
    """
    keys = [*(name for name in swept if name not in SIZES), *SIZES]
    headings = {name: words(name) for name in keys} | OF_A_TRIAL
    known = [name for name in headings if trials[name].notna().any()]
    columns = [[_figure(name, value) for value in trials[name]] for name in known]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return [headings[name] for name in known], rows


def _figure(name: str, value: Any) -> str:
    """A cell of a column: what is there, to as many digits as mean something."""
    import pandas as pd

    if pd.isna(value):
        return "-"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format(value, SHORT.get(name, ".6g"))
    return str(value)


def text(value: object) -> str:
    """A setting's value."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def number(value: float, form: str) -> str:
    """A figure, or `-` where there is none."""
    return "-" if isnan(value) else format(value, form)
