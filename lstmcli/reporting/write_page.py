"""Writes the page of a run or a sweep to a file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from lstmcli.reporting import run_page, sections, sweep_page
from lstmcli.reporting.html import Page, render_page
from lstmcli.sweeps.sweep_dir import SweepDirectory
from lstmcli.training.load import AnyPath
from lstmcli.training.run_dir import REPORT, RunDirectory
from lstmcli.utils import kinds
from lstmcli.utils.errors import FileError, UsageError, shell_quote
from lstmcli.utils.files import (
    check_writable,
    is_unchanged_page,
    page_with_checksum,
    write_atomically,
)
from lstmcli.utils.locks import lock

ELSEWHERE = "write it elsewhere with `--output FILE`"


def report(path: AnyPath, output: AnyPath | None = None) -> Path:
    """Writes the HTML page about a run or a sweep, completely or not at all.

    Args:
        path: its directory.
        output: the file; by default `report.html` in that directory. An existing file is replaced
            only if it is a page that lstmcli wrote and nobody has changed.

    Returns:
        The file.

    Raises:
        UsageError: the file cannot be written or is something else, or another process is writing
            to its directory.
        FileError: there is neither a run nor a sweep, or its files are damaged.
    """
    path = Path(path)
    page_of = _kind(path)
    file = Path(output) if output else path / REPORT
    _check_replaceable(file)
    content = page_with_checksum(render_page(page_of(path)))
    within = file.parent.resolve() == path.resolve()
    with lock(path) if within else nullcontext():
        _check_replaceable(file)
        write_atomically(file, content)
    return file


def _kind(path: Path) -> Callable[[Path], Page]:
    """What makes the page of a directory."""
    if SweepDirectory(path).config.is_file():
        return sweep_page.page
    if RunDirectory(path).holds_run():
        return run_page.page
    if RunDirectory(path).status.is_file():
        sections.read_provenance(path)  # What is damaged is named as that.
    wrong = kinds.mismatch(path, "the directory of a run or a sweep", kinds.RUN, kinds.SWEEP)
    folder = kinds.directory_of(path)
    raise FileError(
        wrong or f"`{path}` is not the directory of a run or a sweep",
        f"`lstmcli report {shell_quote(folder)}` writes the page of the directory that it is in"
        if folder
        else "name a directory that `lstmcli train` or `lstmcli sweep` has made",
    )


def _check_replaceable(file: Path) -> None:
    check_writable(file, ELSEWHERE)
    if file.exists() and not is_unchanged_page(file):
        raise UsageError(
            f"`{file}` already exists, and `lstmcli report` did not write it, or it has changed "
            "since",
            ELSEWHERE,
        )
