"""The parts of a sweep's answer, as they are saved and shown: headline, rows and caveats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from lstmcli.sweeps.axis import is_number
from lstmcli.sweeps.grid import words

HEADINGS = {"layers": "layers", "state_size": "units"}


@dataclass(frozen=True)
class AnswerRow:
    """A setting in the table of an answer.

    Attributes:
        setting: its values by column: what is compared, its state size, its tuned settings.
        solved: how many seeds solve the task, `2 of 8`; `None` if the Bayes loss is not known.
        loss: in the answer's `measure`; `None` if there is none.
        against: its comparison with the row that the answer's `against` names, in words.
        marked: whether it is the row that the answer names.
    """

    setting: Mapping[str, Any]
    solved: str | None
    loss: float | None
    against: str
    marked: bool = False


@dataclass(frozen=True)
class Answer:
    """A sweep's answer for one combination of the settings that are swept besides depth.

    Attributes:
        sentence: the whole answer in one sentence.
        headline: the answer in short: `3 layers are enough`.
        context: the data and sizes: `echo step 10, 4 units`.
        verdict: one of `enough`, `unknown`, `no better`, `alone` and `nothing`; empty for an older
            version's answer, which has only the sentence.
        short: the headline in about three words.
        where: the values of the other swept settings.
        measure: what the rows' `loss` is.
        against: what the rows are compared with; empty if there is only one row.
        rows: a row for each depth, the smallest first.
        caveats: further remarks, a sentence each.
        longer: for a tuned setting whose best value is at the end of its list, a longer list, by
            option: `{"learning-rate": "0.1,0.3,1"}`.
    """

    sentence: str
    headline: str
    context: str = ""
    verdict: str = ""
    short: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)
    measure: str = ""
    against: str = ""
    rows: Sequence[AnswerRow] = ()
    caveats: Sequence[str] = ()
    longer: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The headline with its context."""
        return f"{self.headline}  ({self.context})" if self.context else self.headline

    @property
    def record(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any] | str) -> Answer:
        """One that was kept; of an older version it is a sentence.

        Raises:
            KeyError, TypeError: it is none.
        """
        if isinstance(record, str):
            return cls(record, record)
        known = {each.name for each in fields(cls)}  # A newer version may have more.
        kept = {name: value for name, value in record.items() if name in known}
        return cls(**kept | {"rows": [AnswerRow(**row) for row in kept.get("rows", ())]})

    def table(self, star: str = "* ") -> tuple[list[str], list[list[str]]]:
        """Headings and cells.

        Args:
            star: the mark of the row that the answer names.
        """
        first, *others = self.rows[0].setting if self.rows else ["layers"]
        solved = any(row.solved for row in self.rows)
        headings = [
            *(HEADINGS.get(name, words(name)) for name in (first, *others)),
            *(["solved"] if solved else []),
            self.measure,
            *([self.against] if self.against else []),
        ]
        return headings, [self._cells(row, solved, star) for row in self.rows]

    def _cells(self, row: AnswerRow, solved: bool, star: str) -> list[str]:
        first, *others = row.setting.values()
        before = "" if is_number(first) else " " * len(star)
        return [
            f"{star if row.marked else before}{value_text(first)}",
            *map(value_text, others),
            *([row.solved or "-"] if solved else []),
            "-" if row.loss is None else _figure(row.loss),
            *([row.against] if self.against else []),
        ]


def value_text(value: Any) -> str:
    """A setting's value."""
    return f"{value:g}" if is_number(value) and value is not None else str(value)


def _figure(loss: float) -> str:
    """A loss to two or three digits."""
    return f"{loss:.3g}" if abs(loss) >= 0.1 else f"{loss:.2g}"
