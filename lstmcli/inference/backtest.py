"""Backtests: the errors, by steps ahead, of forecasts that begin at many steps of a part.

The baselines are the last value, the value one season earlier, and a linear autoregression whose
forecasts are fed back as the network's are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from lstmcli.data.baselines import Fitting, autoregression, seasons
from lstmcli.data.series import Series
from lstmcli.inference.forecast import Opened, errors_of, roller_of, truth_after
from lstmcli.inference.rollout import Floats, Indices, Inputs, Roller, truth
from lstmcli.utils.errors import FileError, UsageError

if TYPE_CHECKING:
    import pandas as pd


class AheadRow(TypedDict):
    """How wrong forecasts of a number are, so many steps ahead.

    Attributes:
        target: the number's column.
        ahead: how many steps ahead.
        predictor: `seed 0` and so on for the models, or the name of a forecast without a network.
        rmse: root mean square error in the number's own units.
        mae: mean absolute error in the number's own units.
        count: how many values these are of.
    """

    target: str
    ahead: int
    predictor: str
    rmse: float
    mae: float
    count: int


@dataclass(frozen=True)
class Backtest:
    """The errors of forecasts of a part.

    Attributes:
        targets: the names of the forecast columns.
        errors: of each forecaster, the truth minus the forecast: `[origins, steps, targets]`, NaN
            if the truth is not known. A model is called `seed 0`.
        notes: remarks, in words.
    """

    targets: list[str]
    errors: Mapping[str, Floats]
    notes: list[str]

    @property
    def origins(self) -> int:
        """The number of steps at which forecasts begin."""
        return len(next(iter(self.errors.values())))

    def rmse(self, target: int) -> dict[str, Floats]:
        """The root mean square error of each forecaster, in the target's units: `[steps]`."""
        return {
            name: np.sqrt(_means(np.square(errors[..., target])))
            for name, errors in self.errors.items()
        }

    def table(self) -> pd.DataFrame:
        """A row for each target, step ahead and forecaster: the columns of AheadRow."""
        import pandas as pd

        return pd.DataFrame(
            {
                "target": name,
                "ahead": step + 1,
                "predictor": predictor,
                "rmse": rmse,
                "mae": mae,
                "count": count,
            }
            for place, name in enumerate(self.targets)
            for predictor, errors in self.errors.items()
            for step, (rmse, mae, count) in enumerate(_figures(errors[..., place]))
        )


def backtest(opened: Opened, part: Series, steps: int) -> Backtest:
    """Forecasts a part from many of its steps.

    Args:
        opened: the models; each seed forecasts by itself.
        part: of a recording.
        steps: how many each time.

    Raises:
        UsageError: the target is classes.
        FileError: the part has no step that could be forecast.
    """
    schema = opened.schema
    if schema.classes is not None:
        raise UsageError(
            "`--ahead` scores forecasts of numbers, and the model predicts classes",
            "leave `--ahead` out: `eval` scores the classes",
        )
    errors: dict[str, Floats] = {}
    for seed in opened.model.seeds:
        found = errors_of(roller_of(opened.model, [seed]), part, steps)
        if found is None:
            raise FileError(
                f"the part is too short to forecast: it has {len(part):,} steps",
                "use a longer file, or a larger `--test-fraction` in training",
            )
        errors[f"seed {seed}"], origins = found.errors, found.origins
    fitting = None if opened.source is None else opened.source.fitting
    others, notes = _without_network(opened.roller, part, origins, steps, fitting)
    names = [column.name for column in schema.numeric_targets[:: len(opened.roller.leads)]]
    return Backtest(names, errors | others, notes)


def _without_network(
    roller: Roller, part: Series, origins: Indices, steps: int, fitting: Fitting | None
) -> tuple[dict[str, Floats], list[str]]:
    """The errors of the baselines, and notes on those that are missing."""
    series, schema = part.recording or part, roller.schema
    end = (part.offset if part.recording is not None else 0) + len(part)
    known = _filled(truth(series, roller.leads))
    happened = truth_after(series, roller, origins, steps, end)
    found = {"last value": happened - known[origins][:, np.newaxis]}
    notes = []
    training = None if fitting is None else fitting.training
    each = seasons.periods(schema, training)[:: len(roller.leads)]
    periods = sorted({period for period in each if period is not None})
    if periods:
        name = f"seasonal naive ({' or '.join(map(str, periods))} steps ago)"
        found[name] = happened - _seasonal(known, origins, steps, [period or 1 for period in each])
    else:
        notes.append("no seasonal naive: the training part has no season")
    linear = schema.autoregression
    if linear is None and fitting is not None and fitting.training is not None:
        linear = autoregression.fit(fitting.training, fitting.validation, fitting.bptt)
    if linear is None:
        notes.append("no linear autoregression: the training part is missing or has no inputs")
    else:
        alone = Roller(schema, roller.leads, [], linear)
        forecasts = alone.roll(Inputs.of(series), origins, steps)
        found["linear autoregression"] = happened - forecasts
    return found, notes


def _seasonal(known: Floats, origins: Indices, steps: int, periods: list[int]) -> Floats:
    """The value one season earlier, or several if that is needed: `[origins, steps, targets]`."""
    ahead = np.arange(1, steps + 1)
    columns = []
    for place, period in enumerate(periods):
        back = ahead - period * -(-ahead // period)
        rows = origins[:, np.newaxis] + back
        rows = np.where(rows >= 0, rows, origins[:, np.newaxis])  # Too young: the last value.
        columns.append(known[rows, place])
    return np.stack(columns, -1)


def _filled(values: Floats) -> Floats:
    """Each unknown value replaced by the last known one before it: `[steps, targets]`."""
    steps = np.arange(len(values))[:, np.newaxis]
    last = np.maximum.accumulate(np.where(np.isnan(values), 0, steps), 0)
    return np.take_along_axis(values, last, 0)


def _figures(errors: Floats) -> list[tuple[float, float, int]]:
    """RMSE, MAE and how many there are, by step ahead, of errors `[origins, steps]`."""
    rmse, mae = np.sqrt(_means(np.square(errors))), _means(np.abs(errors))
    counts = np.isfinite(errors).sum(0)
    return list(zip(rmse.tolist(), mae.tolist(), counts.tolist(), strict=True))


def _means(values: Floats) -> Floats:
    """Over the origins, of what is known: `[steps]`, NaN where nothing is."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0).sum(0) / known.sum(0))
