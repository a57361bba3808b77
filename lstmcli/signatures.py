"""Signatures of the Python functions for editors and `help`, and how their errors name settings.

Everything below this module speaks of the command line: `--batch-size`, and `lstmcli eval RUN` in a
hint. Errors of a Python function speak of keywords, `batch_size=`, and of calls,
`lstmcli.evaluate(RUN)`.
"""

from __future__ import annotations

import functools
import inspect
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import Field
from itertools import chain
from typing import Any, TypeVar

from lstmcli.config import GROUPS, OF_SEVERAL_WORDS, ONE_IN_A_SWEEP, PATHS, SweepConfig
from lstmcli.utils.errors import LstmcliError
from lstmcli.utils.settings import Settings, setting_types

Verb = TypeVar("Verb", bound=Callable[..., Any])
OF_A_SWEEP: dict[str, type[Settings]] = {**GROUPS, "sweep": SweepConfig}
VERBS = {"eval": "evaluate"}
"""Commands that are called something else in Python."""
KEYWORD, REST = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD


def with_settings(
    *groups: str,
    leave_out: Collection[str] = (),
    lists: Collection[str] = (),
    in_memory: bool = False,
) -> Callable[[Verb], Verb]:
    """Adds a keyword for each setting of some groups to a function's visible signature.

    The function takes them as `**settings`, so it knows which ones the caller passed.

    Args:
        groups: names of tables of the config, or `sweep`.
        leave_out: settings that the function does not use.
        lists: groups whose settings may be lists of values.
        in_memory: whether `data` may be a table in memory.
    """

    def decorate(verb: Verb) -> Verb:
        signature = inspect.signature(verb)
        own = [each for each in signature.parameters.values() if each.kind is not REST]
        taken = {each.name for each in own} | set(leave_out)
        settings = [
            _keyword(spec, optional, group in lists, in_memory)
            for group in groups
            for spec, _, optional in setting_types(OF_A_SWEEP[group])
            if spec.name not in taken
        ]
        verb.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*own, *settings]
        )
        return verb

    return decorate


def _keyword(spec: Field[Any], optional: bool, several: bool, in_memory: bool) -> inspect.Parameter:
    own = str(spec.type).removesuffix(" | None")
    types = [own]
    if spec.name in chain(*PATHS.values()):
        types += ["PathLike[str]"] + ["InMemory"] * (in_memory and spec.name == "data")
    elif spec.name in OF_SEVERAL_WORDS:
        types.append("list[str]")
    elif several and own != "bool" and spec.name not in ONE_IN_A_SWEEP:
        types += ["str"] * ("str" not in own) + [f"Iterable[{own}]"]
    types += ["int"] * spec.metadata.get("or_number", False) + ["None"] * optional
    return inspect.Parameter(spec.name, KEYWORD, default=spec.default, annotation=" | ".join(types))


def with_keywords_in_errors(verb: Verb, verbs: Mapping[str, Callable[..., Any]]) -> Verb:
    """A verb whose errors speak of keywords and calls; a traceback shows the hint, too.

    Args:
        verb: what raises errors of the command line.
        verbs: all verbs by name.
    """

    @functools.wraps(verb)
    def call(*arguments: Any, **keywords: Any) -> Any:
        try:
            return verb(*arguments, **keywords)
        except LstmcliError as error:
            error.message = in_keywords(error.message, verbs)
            error.args = (error.message,)
            if error.hint:
                error.hint = in_keywords(error.hint, verbs)
                error.add_note(f"hint: {error.hint}")
            raise

    return call  # type: ignore[return-value]


def in_keywords(text: str, verbs: Mapping[str, Callable[..., Any]]) -> str:
    """A text about the command line, as one about Python.

    What has no counterpart there, a command such as `inspect` or an option such as `--config`,
    stays as it is.

    Args:
        text: with options and commands in backticks.
        verbs: all verbs by name.
    """
    signatures = {name: inspect.signature(verb).parameters for name, verb in verbs.items()}
    return re.sub(r"`([^`]+)`", lambda quoted: f"`{_in_python(quoted[1], signatures)}`", text)


Parameters = Mapping[str, inspect.Parameter]


def _in_python(quoted: str, signatures: Mapping[str, Parameters]) -> str:
    """Some words of a command line, or the same in Python where that can say it."""
    words: list[str] = []
    with suppress(ValueError):  # A file's name may have a quote.
        words = shlex.split(quoted) if re.match(r"--[a-z]|lstmcli ", quoted) else []
    if words[:1] == ["lstmcli"]:
        verb = VERBS.get(words[1], words[1])
        arguments = _arguments(words[2:], signatures[verb]) if verb in signatures else None
        return quoted if arguments is None else f"lstmcli.{verb}({', '.join(arguments)})"
    known = {name: each for verb in signatures.values() for name, each in verb.items()}
    return ", ".join((words and _arguments(words, known)) or [quoted])


def _arguments(words: list[str], known: Parameters) -> list[str] | None:
    """Options with their values as keyword arguments; `None` where one is no keyword."""
    found: list[str] = []
    option = None
    for word in words:
        if word.startswith("--"):
            option = word[2:].replace("-", "_")
            if option not in known:
                return None
            found.append(f"{option}={True if known[option].default is False else ''}")
        elif option and found[-1].endswith("="):
            found[-1] += _value(word)
        else:
            found.append(_value(word))
    return found


def _value(word: str) -> str:
    """A word of a command line in Python: a number, a text, or a name such as `FILE` to fill in."""
    return word if re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?|[A-Z]+", word) else repr(word)
