"""Results on standard output: as JSON, or as text for people."""

from __future__ import annotations

import json
import math
from typing import Any

import typer


def print_json(result: Any) -> None:
    """Prints one JSON object; numbers that JSON cannot hold (NaN, infinity) become null."""
    typer.echo(json.dumps(_finite(result), indent=2, default=str))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
