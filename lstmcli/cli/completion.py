"""What a shell completes beyond commands and options: choices, and the directories of runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path


def one_of(choices: Collection[str], several: bool = False) -> Callable[[str], list[str]]:
    """Completes one of some values, or the last one of a list with commas."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",") if several else ("", "", incomplete)
        return [before + comma + each for each in choices if each.startswith(last)]

    return complete


def run_directories(incomplete: str) -> list[str]:
    """The runs and sweeps that begin as typed, in `runs` or in the directory that was typed.

    If there are none the shell completes files, as for other commands.
    """
    from lstmcli.training.run_dir import ROOT, holds_records

    typed, slash, _ = incomplete.rpartition("/")
    folders = [typed + slash] if slash else [f"{ROOT}/", ""]
    paths = [path for folder in folders for path in _inside(folder) if path.startswith(incomplete)]
    return [path for path in paths if holds_records(Path(path))]


def _inside(folder: str) -> Iterator[str]:
    """The entries of a directory, as names that begin with what was typed."""
    with suppress(OSError):
        for path in sorted(Path(folder or ".").iterdir()):
            yield folder + path.name
