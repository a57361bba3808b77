"""Results as HTML for a notebook: sentences, tables and figures."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LAST_ROWS = 10
"""Rows shown of a longer table."""


def to_html(
    sentences: Iterable[str],
    table: pd.DataFrame | None = None,
    figures: Iterable[Path] = (),
    answers: Iterable[tuple[str, Sequence[str], Sequence[Sequence[str]], Iterable[str]]] = (),
) -> str:
    """The HTML for `_repr_html_` of a result.

    Args:
        sentences: a paragraph each.
        table: its last rows are shown.
        figures: PNG files; those that do not exist are left out.
        answers: the headline, the headings, the rows and the caveats of each.
    """
    import pandas as pd

    parts = [f"<p>{escape(sentence)}</p>" for sentence in sentences]
    if table is not None and len(table):
        shown = table.tail(LAST_ROWS).dropna(axis="columns", how="all")
        parts.append(shown.to_html(index=False, border=0, float_format="{:.4g}".format))
    for headline, headings, rows, caveats in answers:
        parts.append(f"<p><b>{escape(headline)}</b></p>")
        if rows:
            shown = pd.DataFrame(rows, columns=pd.Index(headings))
            parts.append(shown.to_html(index=False, border=0))
        parts += [f"<p>{escape(caveat)}</p>" for caveat in caveats]
    for figure in figures:
        if figure.is_file():
            content = b64encode(figure.read_bytes()).decode()
            parts.append(
                f'<img alt="{escape(figure.stem, quote=True)}" style="max-width:100%" '
                f'src="data:image/png;base64,{content}">'
            )
    return "\n".join(parts)
