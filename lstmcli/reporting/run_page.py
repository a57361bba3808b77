"""The page about a run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.config import Config
from lstmcli.data.baselines import Baseline
from lstmcli.data.schema import Schema, plain
from lstmcli.data.tasks import described
from lstmcli.reporting import formatting, sections
from lstmcli.reporting.html import Page, Section, Table, Text
from lstmcli.training import checkpoint_files, load, metrics, run_dir
from lstmcli.training.load import RunMismatchError
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.errors import FileError

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

MOST_SEEDS = 4
"""The most seeds that have a sentence each."""
WHAT = "what"
"""The heading of the column with the rows' names."""
HEADINGS = {"bayes_loss": "Bayes loss", "val_gap": "val excess loss"}
"""Columns of `metrics.csv` whose headings differ from their names."""
MOST_ROWS = 1000
"""The most rows of a table; of more epochs, evenly spaced ones are shown."""


def page(path: Path) -> Page:
    """The page about the run in a directory.

    Raises:
        FileError: a file of it is damaged.
        UsageError: its configuration is.
    """
    status, config = sections.read_provenance(path), _config(path)
    schema = _schema(path, status)
    table = _metrics(RunDirectory(path), status)
    baselines = [Baseline.of(each) for each in status.get("references") or []]
    answer = _answer(table, schema, baselines, status)
    return Page(
        title=path.resolve().name,
        kind="lstmcli run",
        answer=answer,
        facts=_facts(config, status),
        sections=[
            Section("Figures", sections.drawn_figures(path)),
            Section(
                "Results",
                [*_notes(status), *_each_number(path), *_results(table, schema, baselines)],
            ),
            Section("Settings", [sections.settings_table(sections.settings_of(config))]),
            Section("Provenance", [sections.provenance_table(status)]),
            Section("Commands", sections.commands_of_run(path, config)),
        ],
    )


def _config(path: Path) -> Config:
    known = run_dir.read_config(RunDirectory(path).config)
    with suppress(FileError):  # Where the dataset was is worth knowing too.
        known = run_dir.with_paths_from(known, path)
    return Config.build(known)


def _metrics(run: RunDirectory, status: Mapping[str, Any]) -> pd.DataFrame:
    """The table of epochs; `None` is an unmeasured cell.

    Raises:
        FileError: it is damaged, or has fewer rows than the run had written.
    """
    # Before the rows are read: a run that is going on adds some.
    checkpoint_files.check_tables(run)
    table = metrics.read_epochs(run.metrics)
    there, done = 0 if table.empty else int(table.epoch.max()), status.get("epochs") or 0
    if there < done:
        raise FileError(
            f"`{run.metrics}` has lost rows: it ends with epoch {there}, and `{run.status}` has "
            f"{done} epochs",
            "restore the whole table",
        )
    return table.astype(object).where(table.notna(), None)


def _schema(path: Path, status: Mapping[str, Any]) -> Schema:
    """What the model's columns are; without a checkpoint they have no names and no units."""
    try:
        return load.read_own_checkpoint(path)[1].schema
    except RunMismatchError:
        raise
    except FileError:
        pass
    return plain(1, status.get("classes") or 2)


def _facts(config: Config, status: Mapping[str, Any]) -> list[tuple[str, str]]:
    model, seeds = config.model, status.get("seeds", [])
    return [
        ("Status", str(status.get("status"))),
        ("Data", described(config.data)),
        ("Layers", f"{model.layers} of {model.state_size} units"),
        ("Epochs", f"{status.get('epochs', 0)} of {config.training.epochs}"),
        ("Seeds", str(len(seeds))),
    ]


def _answer(
    table: pd.DataFrame, schema: Schema, baselines: Sequence[Baseline], status: Mapping[str, Any]
) -> list[str]:
    """How the seeds compare with the best baseline, then what `train` says of each."""
    if table.empty:
        return [f"The run is {status.get('status')}: no epoch has been completed."]
    last, best = _last(table), _best(table)
    sentences = [
        f"seed {row['seed']}: {formatting.outcome(schema, row)}; "
        f"{_lowest(schema, best, row['seed'])}"
        for row in last[:MOST_SEEDS]
    ]
    if len(last) > MOST_SEEDS:
        sentences.append(f"The table has the other {len(last) - MOST_SEEDS} seeds.")
    return [_compared(last, best, schema, baselines), *sentences]


def _compared(
    last: Sequence[Row], best: Mapping[int, Row], schema: Schema, baselines: Sequence[Baseline]
) -> str:
    """How many seeds beat the best baseline, and the median of their lowest validation losses."""
    baseline = min(_without_network(schema, baselines), key=lambda each: each.loss)
    name = schema.target_kind.baseline_name(baseline.name)
    losses = [best[row["seed"]]["val_loss"] if row["seed"] in best else math.inf for row in last]
    beaten = sum(loss < baseline.loss for loss in losses)
    if len(last) == 1:
        who = f"seed {last[0]['seed']} {'beats' if beaten else 'does not beat'}"
    else:
        who = f"{beaten or 'none'} of {len(last)} seeds {'beats' if beaten < 2 else 'beat'}"
    lost = "" if beaten else "Nothing was learned that is worth a network: "
    its = (
        "the median of their lowest validation losses"
        if losses[1:]
        else "its lowest validation loss"
    )
    found = statistics.median(losses)
    loss = formatting.loss(schema, found) if math.isfinite(found) else "not finite"
    against = formatting.loss(schema, baseline.loss)
    return f"{lost}{who} `{name}`, the best baseline: {its} is {loss}, against {against}"


def _without_network(schema: Schema, baselines: Sequence[Baseline]) -> list[Baseline]:
    """The baselines; for a task without any, chance."""
    guess = Baseline(*schema.target_kind.chance(baselines))
    known = any(each.name == "mean" for each in baselines)
    return [*baselines] if known else [*baselines, guess]


def _lowest(schema: Schema, best: Mapping[int, Row], seed: int) -> str:
    if seed not in best:
        return "no validation loss was finite"
    loss = formatting.loss(schema, best[seed]["val_loss"])
    return f"the lowest validation loss is {loss}, in epoch {best[seed]['epoch']}"


def _last(table: pd.DataFrame) -> list[Row]:
    """Each seed's last row."""
    rows: list[Row] = (
        table.drop_duplicates("seed", keep="last").sort_values("seed").to_dict("records")
    )
    return rows


def _best(table: pd.DataFrame) -> dict[int, Row]:
    """Each seed's first row of its lowest validation loss: what `best.safetensors` is of."""
    known = table[table.val_loss.notna()].astype({"val_loss": float})
    places = known.groupby("seed").val_loss.idxmin()
    rows: list[Row] = table.loc[places].to_dict("records")
    return {row["seed"]: row for row in rows}


def _notes(status: Mapping[str, Any]) -> list[Text]:
    """Warnings: seeds that ended worse than chance, or an incomplete run."""
    found = []
    if worse := status.get("worse_than_chance"):
        found.append(f"worse than chance at the end: seed {', '.join(map(str, worse))}")
    if status.get("status") != "completed":
        found.append(f"the run is not complete: it is {status.get('status')}")
    if status.get("bayes_loss") is None:
        found += status.get("omitted_references") or []
    return [Text(text, warns=True) for text in found]


def _results(
    table: pd.DataFrame, schema: Schema, baselines: Sequence[Baseline]
) -> list[Table | Text]:
    if table.empty:
        return []
    return [_beside(table, schema, baselines), *_epochs(table)]


def _each_number(path: Path) -> Iterator[Table]:
    """A table for each seed of the errors of each of several numbers.

    Raises:
        FileError: `targets.csv` is damaged.
    """
    run = RunDirectory(path)
    if not run.targets.is_file():
        return
    found = metrics.read_table(
        run.targets, ["ahead", "loss", "rmse", "mae", "labels"], whole=["labels"]
    )
    for seed in found.seed.dropna().astype(int).unique()[:MOST_SEEDS]:
        headings, cells = formatting.outputs_table(
            formatting.beside_baselines(found, seed), MOST_ROWS
        )
        yield Table(
            f"Validation errors on each target, in its own units, seed {seed}.", headings, cells
        )


def _beside(table: pd.DataFrame, schema: Schema, baselines: Sequence[Baseline]) -> Table:
    """The last and the best epoch of each seed, then the Bayes loss or the baselines."""
    best = _best(table)
    rows = []
    for last in _last(table):
        rows.append(_validated(f"seed {last['seed']}, last epoch", schema, last))
        if last["seed"] in best:
            rows.append(_validated(f"seed {last['seed']}, best epoch", schema, best[last["seed"]]))
    floor = table.bayes_loss.iloc[-1]
    if floor is not None:
        expected = schema.target_kind.figures(floor, None, None)
        rows.append({WHAT: "Bayes loss (expected)", **expected})
    for each in _without_network(schema, baselines if floor is None else ()):
        name = f"baseline: {schema.target_kind.baseline_name(each.name)}"
        rows.append({WHAT: name, **formatting.baseline_figures(schema, each)})
    headings = [name for name in rows[0] if any(row.get(name, "-") != "-" for row in rows)]
    cells = [[row.get(name, "-") for name in headings] for row in rows]
    beside = "baselines, which need no network."
    if floor is not None:
        beside = (
            "Bayes loss, the lowest that any model can expect. Excess loss: the loss minus the "
            "best predictor's on the same labels."
        )
    return Table(f"Validation, compared with the {beside}", headings, cells)


def _validated(name: str, schema: Schema, row: Row) -> dict[str, str]:
    """A row of figures, by heading."""
    loss, excess = row["val_loss"], row.get("val_gap")
    loss = float("nan") if loss is None else loss
    figures = schema.target_kind.figures(loss, row["val_accuracy"], None)
    return {
        WHAT: name,
        "epoch": str(row["epoch"]),
        **figures,
        "excess loss": "-" if excess is None else f"{excess:.2g}",
    }


def _epochs(table: pd.DataFrame) -> list[Table | Text]:
    """The rows of `metrics.csv`, or of as many of its epochs as a page can hold."""
    names = [name for name in table if table[name].notna().any()]
    shown = _thinned(table)
    rows = [[_cell(row[name]) for name in names] for row in shown.to_dict("records")]
    headings = [HEADINGS.get(str(name), str(name).replace("_", " ")) for name in names]
    more = "" if len(shown) == len(table) else f" {len(shown):,} of {len(table):,} rows are shown."
    return [Table(f"The losses by epoch, from metrics.csv.{more}", headings, rows)]


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    """At most about MOST_ROWS rows: evenly spaced epochs, the first, the last and the best ones."""
    if len(table) <= MOST_ROWS:
        return table
    every = -(-len(table) // MOST_ROWS)
    kept = {1, int(table.epoch.max()), *(row["epoch"] for row in _best(table).values())}
    return table[(table.epoch % every == 0) | table.epoch.isin(kept)].iloc[: 2 * MOST_ROWS]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
