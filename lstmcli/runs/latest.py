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
