"""The figures of a sweep, drawn from its tables: which there are, and their titles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lstmcli.report.figures.curves import curves_figure
from lstmcli.report.figures.depth import depth_figure
from lstmcli.report.figures.heat_map import heat_map
from lstmcli.report.figures.settings import varied

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PER_STEP = "nats per step"


def sweep_figures(
    trials: pd.DataFrame,
    summary: pd.DataFrame,
    curves: pd.DataFrame,
    swept: Sequence[str],
    task: str = "",
    unit: str = PER_STEP,
) -> dict[str, Figure]:
    """The figures `depth` and `curves`; none of a sweep without a result.

    Args:
        trials: the columns of `trials.csv`; the chance is drawn if there is a column `chance`.
        summary: the columns of `summary.csv`.
        curves: the columns of `curves.csv`.
        swept: names of the settings that were swept besides depth and size. With one of them,
            `depth` is a heat map of the solve rate and of the gap by depth and that setting.
        task: what was learned, for the titles: `echo after 3 steps`.
        unit: what losses are in.
    """
    if summary.iqm.isna().all():
        return {}
    title = _title(task, summary, curves)
    if "chance" in trials:
        keys = ["layers", "state_size", *swept]
        curves = curves.merge(trials[[*keys, "chance"]].drop_duplicates(keys), on=keys, how="left")
    if len(swept) == 1 and summary.layers.nunique() > 1 and summary.state_size.nunique() == 1:
        depth = heat_map(trials, summary, swept[0], title, unit)
    else:
        depth = depth_figure(trials, summary, varied(summary, swept), title, unit)
    return {"depth": depth, "curves": curves_figure(curves, varied(curves, swept), title, unit)}


def _title(task: str, summary: pd.DataFrame, curves: pd.DataFrame) -> str:
    seeds, epochs = int(summary.seeds.max()), int(curves.epoch.max())
    words = f"{seeds} seed{'s' * (seeds != 1)}"
    if "epochs_set" not in summary:  # Else a legend has them.
        words += f", {epochs} epoch{'s' * (epochs != 1)}"
    return f"{task[:1].upper()}{task[1:]}: {words}" if task else words.capitalize()
