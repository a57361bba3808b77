"""How often intervals of forecasts hold, on five public series: `python benchmarks/intervals.py`.

Each series is trained on with a newcomer's command, and forecast twelve steps beyond its end. What
is printed is the share of the test part's values within intervals made from the validation part.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import data_files
import pandas as pd

import lstmcli
from lstmcli.inference import forecast

STEPS = 12


def elnino(path: Path) -> None:
    """Sea surface temperatures by month, 1950 to 2010."""
    from statsmodels.datasets import elnino as dataset

    years = dataset.load_pandas().data.set_index("YEAR").set_axis(range(1, 13), axis=1).stack()
    months = pd.to_datetime([f"{int(year)}-{month:02}" for year, month in years.index])
    pd.DataFrame({"month": months, "sst": years.to_numpy()}).to_csv(path, index=False)


def co2(path: Path) -> None:
    """Carbon dioxide on Mauna Loa by week, with weeks missing."""
    from statsmodels.datasets import co2 as dataset

    dataset.load_pandas().data.rename_axis("date").to_csv(path)


def nile(path: Path) -> None:
    """The flow of the Nile by year, 1871 to 1970."""
    from statsmodels.datasets import nile as dataset

    dataset.load_pandas().data.astype({"year": int}).to_csv(path, index=False)


def unemployment(path: Path) -> None:
    """Unemployment in the United States by quarter, 1959 to 2009."""
    from statsmodels.datasets import macrodata as dataset

    rates = dataset.load_pandas().data.unemp
    quarters = pd.period_range("1959Q1", periods=len(rates), freq="Q").to_timestamp()
    pd.DataFrame({"quarter": quarters, "unemp": rates}).to_csv(path, index=False)


SERIES = {
    "SUNACTIVITY": data_files.sunspots,
    "co2": co2,
    "volume": nile,
    "sst": elnino,
    "unemp": unemployment,
}


def main() -> None:
    """Prints a row for each series, and one for all values together."""
    print("| series | values | within the interval |\n| --- | --- | --- |")
    within = total = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for target, write in SERIES.items():
            file = Path(folder, f"{target}.csv")
            write(file)
            run = lstmcli.train(Path(folder, target), data=file, target=target, horizon=1)
            found = forecast.forecast(forecast.open_model(run.directory, None), STEPS)
            share, count = found.coverage or (0.0, 0)
            within, total = within + share * count, total + count
            print(f"| {target} | {count:,} | {share:.0%} |", flush=True)
    print(f"| together | {total:,.0f} | {within / total:.0%} |")


if __name__ == "__main__":
    sys.exit(main())
