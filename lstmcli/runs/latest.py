"""The link `latest`, which points at the newest run."""

from __future__ import annotations

import os
from pathlib import Path


def point(path: Path, root: Path) -> None:
    """Points `latest` at a new run under `runs`; a file system without links goes without."""
    if path.parent != root:
        return
    link, temporary = root / "latest", root / f".latest-{os.getpid()}"
    if link.exists() and not link.is_symlink():
        return  # Somebody else's.
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(path.name)
        temporary.replace(link)
    except OSError:
        temporary.unlink(missing_ok=True)


def followed(path: Path) -> Path:
    """Where a link leads now: it may lead elsewhere while somebody writes there."""
    try:
        real = path.resolve(strict=True) if path.is_symlink() else path
    except (OSError, RuntimeError):  # It leads nowhere, or to itself.
        real = path
    if real == path:
        return path
    here = Path.cwd().resolve()
    return real.relative_to(here) if real.is_relative_to(here) else real
