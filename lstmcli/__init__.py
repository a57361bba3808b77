"""A command-line laboratory for stacked LSTMs, and its verbs for Python.

`lstmcli.train`, `predict` and the others are loaded when they are first used: importing the package
loads neither TensorFlow nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = [
    "evaluate",
    "export",
    "forecast",
    "generate",
    "plot",
    "predict",
    "probe",
    "report",
    "runs",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module `lstmcli` has no attribute `{name}`")
    return import_module("lstmcli.api").for_python(name)
