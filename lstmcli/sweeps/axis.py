"""What the settings of a question differ in, depth or another one, and the words for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lstmcli.sweeps.grid import words

COUNTED = {"layers": ("layer", "depth"), "state_size": ("unit", "size")}
"""Columns whose values are counts: of what, and what one of them is called."""


@dataclass(frozen=True)
class Axis:
    """What is compared.

    Attributes:
        column: of the setting that differs.
        ordered: whether less of it is better, if it is enough; names have no order.
    """

    column: str = "layers"
    ordered: bool = True

    @property
    def alternative(self) -> str:
        """What one of its values is called: no other `depth` is better."""
        return COUNTED[self.column][1] if self.column in COUNTED else words(self.column)

    @property
    def alternatives(self) -> str:
        """Several of them: `depths`."""
        return f"{self.alternative}s"

    @property
    def question(self) -> str:
        """What is asked: `how many layers are enough`."""
        counted = COUNTED.get(self.column)
        if counted:
            return f"how many {counted[0]}s are enough"
        return f"which {self.alternative} is {'enough' if self.ordered else 'best'}"

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
        """What goes with a value: 1 layer `is`, 2 layers `are`."""
        return verb(value if self.column in COUNTED else 1, several)


def plural(count: float, word: str) -> str:
    """`1 seed`, `2 seeds`."""
    return word if count == 1 else f"{word}s"


def verb(count: float, several: str) -> str:
    """`are`, `do` or `have` as it goes with a count."""
    singular = {"are": "is", "do": "does", "have": "has"}
    return singular[several] if count == 1 else several


def is_number(value: Any) -> bool:
    """Whether a setting's value has a size, and is no name."""
    return not isinstance(value, str | bool)
