"""Settings: dataclass fields with a help text and checks of their value."""

from __future__ import annotations

import functools
import numbers
import os
import re
import types
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any, get_args, get_type_hints

from lstmcli.utils.errors import FileError, UsageError

LARGEST = 2**63 - 1
"""Largest whole number that TOML and tables hold."""

LARGEST_FLOAT = 3.4e38
"""Largest number that a 32-bit float holds."""

BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "ge": ("at least", lambda value, bound: value >= bound),
    "gt": ("above", lambda value, bound: value > bound),
    "le": ("at most", lambda value, bound: value <= bound),
    "lt": ("below", lambda value, bound: value < bound),
}


OTHER_NAMES = {
    **dict.fromkeys(("lr", "learningrate", "eta", "alpha"), "learning_rate"),
    **dict.fromkeys(("hidden_size", "hidden", "units", "hidden_units"), "state_size"),
    **dict.fromkeys(("num_layers", "n_layers", "nlayers", "depth"), "layers"),
    **dict.fromkeys(("sequence_len", "seq_len", "window", "timesteps", "steps"), "bptt"),
    **dict.fromkeys(("num_epochs", "n_epochs", "max_epochs", "iterations"), "epochs"),
    **dict.fromkeys(("bs", "batch"), "batch_size"),
    **dict.fromkeys(("clip", "clipnorm", "max_norm", "gradient_clip_val"), "clip_norm"),
    **dict.fromkeys(("early_stopping", "early_stop"), "patience"),
    **dict.fromkeys(("output", "output_dir", "out_dir"), "out"),
    **dict.fromkeys(("random_seed", "random_state", "manual_seed"), "seed"),
    **dict.fromkeys(("validation_split", "val_split"), "val_fraction"),
    "replicas": "seeds",
}
"""Names of settings in Keras, PyTorch and others, and their names here."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question to append to an error about an unknown name: the name that was probably meant.

    Args:
        name: as it was given, with dashes or without.
        known: the valid names, in the same form.
    """
    import difflib

    plain = {each.lstrip("-").replace("-", "_"): each for each in known}
    asked = name.lstrip("-").replace("-", "_").lower()
    other = OTHER_NAMES.get(asked)
    near = [other] if other in plain else difflib.get_close_matches(asked, plain, 1, 0.75)
    return f"; did you mean `{plain[near[0]]}`?" if near else ""


def setting(default: Any, help: str, **checks: Any) -> Any:
    """A dataclass field with its help text and its checks.

    Args:
        default: the value if none is given.
        help: one line for `--help`.
        checks: any of `ge`, `gt`, `le`, `lt` (bounds), `choices` (allowed values) and `pattern` (a
            regular expression for the whole text, with `expected` as its description).
    """
    return field(default=default, metadata={"help": help, **checks})


def by_rule(help: str, **checks: Any) -> Any:
    """A field whose default depends on the data: `None` until the config is resolved.

    Its declared type is that of the resolved value; the help text says what the default is.
    """
    return field(default=None, metadata={"help": help, "by_rule": True, **checks})


def option_name(setting_name: str) -> str:
    """`state_size` -> `--state-size`."""
    return "--" + setting_name.replace("_", "-")


def _check(spec: Field[Any], expected: type, value: Any) -> None:
    name, checks = option_name(spec.name), spec.metadata
    accepted: Any = {int: numbers.Integral, float: numbers.Real}.get(expected, expected)
    if not isinstance(value, accepted) or isinstance(value, bool) != (expected is bool):
        kinds = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
        kind = kinds[expected]
        raise UsageError(f"`{name}` must be {kind}, got {_shown(value)}")
    if expected is int and value > LARGEST:
        raise UsageError(f"`{name}` must be at most {LARGEST} (2**63 - 1), got {value}")
    if (expected is float and abs(value) > LARGEST_FLOAT) or value != value:
        raise UsageError(f"`{name}` must be finite in 32 bits (below 3.4e38), got {value}")
    if isinstance(value, str) and "\0" in value:
        raise UsageError(f"`{name}` must have no zero byte, got {value!r}")
    for key, (words, holds) in BOUNDS.items():
        if key in checks and not holds(value, checks[key]):
            raise UsageError(f"`{name}` must be {words} {checks[key]}, got {value}")
    if "choices" in checks and value not in checks["choices"]:
        raise UsageError(f"`{name}` must be one of {', '.join(checks['choices'])}, got {value!r}")
    if "pattern" in checks and not re.fullmatch(checks["pattern"], str(value)):
        raise UsageError(f"`{name}` must be {checks['expected']}, got {value!r}")


def _shown(value: Any) -> str:
    """A value's `repr`, or only the type of a table or an array."""
    return f"a {type(value).__name__}" if hasattr(value, "shape") and value.shape else repr(value)


def check_path(value: Any) -> None:
    """Raises UsageError if data is not a path."""
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"`data` must be the path of a file here, got {_shown(value)}")


@dataclass(frozen=True)
class Settings:
    """A group of settings that checks itself."""

    def __post_init__(self) -> None:
        for spec, expected, optional in setting_types(type(self)):
            value = getattr(self, spec.name)
            if value is None and optional:
                continue
            if (
                isinstance(value, str)
                and not value
                and optional
                and not spec.metadata.get("by_rule")
            ):
                raise UsageError(f"`{option_name(spec.name)}` must not be empty")
            _check(spec, expected, value)
            if expected is str:
                _check_utf8(spec.name, value)
            if expected in (int, float):  # Also converts NumPy's numbers.
                object.__setattr__(self, spec.name, expected(value))


def _check_utf8(name: str, value: str) -> None:
    """Raises FileError (for a file name) or UsageError if a text is not valid UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(value).decode("utf-8", "backslashreplace")
        if name.endswith("data"):
            raise FileError(
                f"`{option_name(name)}`: the name `{shown}` is not UTF-8, which a run must record",
                "rename the file",
            ) from error
        raise UsageError(f"`{option_name(name)}` must be UTF-8, got `{shown}`") from error


@functools.cache
def _hints(group: Hashable) -> dict[str, Any]:
    return get_type_hints(group)


def setting_types(group: type[Settings]) -> Iterator[tuple[Field[Any], type, bool]]:
    """Yields each field of a group, the type of its value, and whether it may be `None`."""
    hints = _hints(group)  # type: ignore[arg-type]
    for spec in fields(group):
        hint = hints[spec.name]
        union = isinstance(hint, types.UnionType)
        optional = union or spec.metadata.get("by_rule", False)
        yield spec, get_args(hint)[0] if union else hint, optional
