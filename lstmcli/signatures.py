"""What the verbs for Python take: a keyword for each setting, as an editor and `help` show it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import Field
from itertools import chain
from typing import Any, TypeVar

from lstmcli.config import GROUPS, OF_SEVERAL_WORDS, ONE_IN_A_SWEEP, PATHS, SweepConfig
from lstmcli.utils.settings import Settings, setting_types

Verb = TypeVar("Verb", bound=Callable[..., Any])
OF_A_SWEEP: dict[str, type[Settings]] = {**GROUPS, "sweep": SweepConfig}
KEYWORD, REST = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD


def with_settings(
    *groups: str,
    leave_out: Collection[str] = (),
    lists: Collection[str] = (),
    in_memory: bool = False,
) -> Callable[[Verb], Verb]:
    """Shows a keyword for each setting of some groups in a verb's signature, after its own.

    The verb takes them as `**settings`, so that what was given can be told from what was not.

    Args:
        groups: names of tables of the config, or `sweep`.
        leave_out: settings that the verb has no use for.
        in_memory: whether data may be a table in memory.
        lists: groups of which a setting may be a list of values.
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
