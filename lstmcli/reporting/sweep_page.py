"""The page about a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lstmcli.config import OF_THE_FILE, PATHS, Config
from lstmcli.reporting import formatting, sections
from lstmcli.reporting.html import Page, Part, Section, Table, Text
from lstmcli.sweeps import load, overview, summary
from lstmcli.sweeps.answer_parts import Answer
from lstmcli.sweeps.load import Finished
from lstmcli.sweeps.trial import Status
from lstmcli.training import run_dir
from lstmcli.training.run_dir import RunDirectory
from lstmcli.utils.errors import FileError

MOST_TRIALS = 1000
"""Rows of the table of trials."""


def page(path: Path) -> Page:
    """The page about the sweep in a directory.

    Raises:
        FileError: a file of it is damaged, or no trial has ended.
        UsageError: its settings are.
    """
    found = load.read(path)
    config = _config(found)
    statuses = [
        sections.read_provenance(folder)
        for folder in sorted(found.directory.settings.glob("*"))
        if RunDirectory(folder).status.is_file()
    ]
    return Page(
        title=path.resolve().name,
        kind="lstmcli sweep",
        answer=[part for answer in found.answers for part in _answer(answer)],
        facts=_facts(config, found),
        sections=[
            Section("Figures", sections.drawn_figures(path)),
            Section(_compared(found), [*_notes(found), _summary(found)]),
            Section("Trials", [_trials(found)]),
            Section("Settings", [sections.settings_table(sections.of_a_sweep(config, found))]),
            Section("Provenance", [sections.provenance_of_many(statuses)]),
            Section("Commands", sections.commands_of_sweep(path, config, found)),
        ],
    )


def _config(found: Finished) -> Config:
    """The settings that all trials share."""
    tables = {group: dict(found.identity.get(group, {})) for group in ("model", "data", "training")}
    tables = _with_files(tables, found.files)
    with suppress(FileError):  # Where the dataset was is worth knowing too.
        tables = run_dir.with_paths_from(tables, found.directory.path)
    if depths := found.identity.get("match", {}).get("layers"):
        tables["model"]["layers"] = depths
    first = int(found.trials.seed.min())
    shift = found.identity.get("run", {}).get("data_seed_minus_seed")
    return Config.build(tables, seed=first, data_seed=None if shift is None else first + shift)


def _with_files(tables: dict[str, dict[str, Any]], files: Mapping[str, str]) -> dict[str, Any]:
    """Paths in place of the checksums by which a sweep knows its files."""
    if "data" not in files:
        for name in ("data", *OF_THE_FILE):
            tables["data"].pop(name, None)
    for group, names in PATHS.items():
        tables[group] |= {name: files[name] for name in names if name in files}
    return tables


def _compared(found: Finished) -> str:
    """What stands beside each other: `Depths`."""
    return found.axis.alternatives.capitalize()


def _facts(config: Config, found: Finished) -> list[tuple[str, str]]:
    trials = found.trials
    ended = int(trials.test_loss.notna().sum())
    task = formatting.task(config.data, found.swept)
    return [
        ("Task", f"{task[:1].upper()}{task[1:]}"),
        (_compared(found), str(trials[found.axis.column].nunique())),
        ("Seeds", str(found.seeds)),
        ("Trials", f"{ended} of {len(trials)} with a result{_dropped(found)}"),
        (
            "Epochs",
            str(config.training.epochs) if "epochs" not in found.identity["swept"] else "several",
        ),
    ]


def _dropped(found: Finished) -> str:
    """How many trials were not to have one."""
    statuses = found.trials.status
    tuning = int(statuses.isin([Status.TRIED, Status.DROPPED]).sum())
    dropped = int((statuses == Status.DROPPED).sum())
    return f", {tuning} to tune by, of which {dropped} ended early" if tuning else ""


def _notes(found: Finished) -> list[Text]:
    """How many trials have no result, and why the first has none."""
    failed = summary.without_result(found.trials)
    if failed.empty:
        return []
    first = failed.error.iloc[0]
    text = f"{len(failed)} of {len(found.trials)} trials have no result; the first: {first}"
    return [Text(text, warns=True)]


def _answer(answer: Answer) -> list[str | Part]:
    """An answer's headline, its table, what else is to be said, and all of it in a sentence."""
    if not answer.rows:  # Of an older version.
        return [answer.sentence]
    headings, rows = answer.table(star="")
    marked = frozenset(place for place, row in enumerate(answer.rows) if row.marked)
    caption = "The results behind the answer."
    caption += " The marked one is what the answer names." if marked else ""
    return [
        Text(answer.title, strong=True),
        Table(caption, headings, rows, marked),
        *map(Text, answer.caveats),
        Text(f"In a sentence: {answer.sentence}."),
    ]


def _summary(found: Finished) -> Table:
    headings, rows = overview.summary_table(found.summary, found.swept)
    which = found.axis.alternative
    enough = found.summary.enough.astype("boolean").fillna(False)
    return Table(
        f"Each {which}, from summary.csv: the interquartile mean of the test losses (one above a "
        "guess's counts as that) and its 95 % interval, the median number of epochs to solve the "
        f"task, and the p-value against the {which} that the answer names. A {which} that is "
        "enough is marked.",
        headings,
        rows,
        frozenset(place for place, each in enumerate(enough) if each),
    )


def _trials(found: Finished) -> Table:
    headings, rows = overview.trials_table(found.trials, found.swept)
    more = f" The first {MOST_TRIALS:,} of {len(rows):,}." if len(rows) > MOST_TRIALS else ""
    return Table(f"Each trial, from trials.csv.{more}", headings, rows[:MOST_TRIALS])
