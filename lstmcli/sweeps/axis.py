"""The setting that a sweep compares, depth or another one, and the words for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lstmcli.config import NOT_SWEPT, ONE_IN_A_SWEEP, ModelConfig, TrainingConfig
from lstmcli.sweeps import grid
from lstmcli.sweeps.grid import words
from lstmcli.utils.errors import UsageError, plural
from lstmcli.utils.settings import option_name, setting_types

COUNTED = {"layers": ("layer", "depth"), "state_size": ("unit", "size")}
"""Columns whose values are counts: the noun, and the word for one of the values."""


@dataclass(frozen=True)
class Axis:
    """What is compared.

    Attributes:
        column: of the setting that is compared.
        ordered: whether a smaller value that is enough is preferred; names have no order.
    """

    column: str = "layers"
    ordered: bool = True

    @property
    def alternative(self) -> str:
        """The word for one of its values: `depth`."""
        if self.column in COUNTED:
            return COUNTED[self.column][1]
        return "value" if self.ordered else words(self.column)

    @property
    def alternatives(self) -> str:
        """Its plural: `depths`."""
        return f"{self.alternative}s"

    @property
    def question(self) -> str:
        """The question: `how many layers are enough`."""
        counted = COUNTED.get(self.column)
        if counted:
            return f"how many {counted[0]}s are enough"
        return f"which {words(self.column)} is {'enough' if self.ordered else 'best'}"

    def named(self, value: Any) -> str:
        """A value: `3 layers`."""
        if self.column in COUNTED:
            return f"{value:.0f} {plural(value, COUNTED[self.column][0])}"
        return f"{words(self.column)} {value:g}" if is_number(value) else str(value)

    def listed(self, values: Sequence[Any]) -> str:
        """Some values: `1, 2 and 3 layers`."""
        *first, last = values
        texts = [f"{value:g}" if is_number(value) else str(value) for value in first]
        return " and ".join(filter(None, [", ".join(texts), self.named(last)]))

    def verb(self, value: Any, several: str) -> str:
        """The verb's form for a value: 1 layer `is`, 2 layers `are`."""
        return verb(value if self.column in COUNTED else 1, several)


DEPTH = Axis()
"""What is compared by default."""


def axis_of(name: str | None) -> Axis:
    """What is compared, by the name of a setting; depth without one."""
    return Axis(grid.column(name), grid.kinds()[name] is not str) if name else DEPTH


def parsed(given: str | Mapping[str, Any] | None) -> tuple[str, list[Any]] | None:
    """The setting that is to be compared, and its values, from `state-size=4,8`.

    Raises:
        UsageError: it is no such text, the setting cannot be compared, or has one value alone.
    """
    if given is None:
        return None
    if isinstance(given, str):
        option, _, text = given.partition("=")
        given = {option.strip(): text} if text.strip() else {}
    example = "as in `--compare state-size=4,8,16`"
    if len(given) != 1:
        raise UsageError("`--compare` takes one setting and its values", example)
    [(option, asked)] = given.items()
    name = option.replace("-", "_")
    own = {
        spec.name for group in (ModelConfig, TrainingConfig) for spec, *_ in setting_types(group)
    }
    if name not in own - {*NOT_SWEPT, *ONE_IN_A_SWEEP}:
        raise UsageError(
            f"`--compare` cannot compare {option!r}: expected a setting of the model or of the "
            "training, as losses on other data say nothing",
            example,
        )
    values = grid.values(name, asked)
    if len(values) < 2:
        raise UsageError(
            f"`--compare` takes several values, got {values[0]} alone",
            f"`{option_name(name)} {values[0]}` sets it for all trials",
        )
    return name, values


def verb(count: float, several: str) -> str:
    """`are`, `do` or `have` as it goes with a count."""
    singular = {"are": "is", "do": "does", "have": "has"}
    return singular[several] if count == 1 else several


def is_number(value: Any) -> bool:
    """Whether a setting's value is a number, not a name."""
    return not isinstance(value, str | bool)
