"""A page that needs nothing but itself: one HTML file, which opens from the disk.

Its policy lets a browser load nothing, and run no style and no script but the two whose checksums
it names. Without the script everything can be read; with it tables sort and commands are copied.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from lstmcli import __version__
from lstmcli.report import tables, vectors
from lstmcli.report.markup import add, document, element, raw

if TYPE_CHECKING:
    from matplotlib.figure import Figure


HALF_A_PAGE = 640
"""Pixels of a figure up to which two stand side by side."""
TALL = 100
"""Rows of a table up to which it is shown whole, without scrolling in its box."""
MANY = 9
"""Columns of a table above which they are set closer."""
ONE_LINE = 32
"""Characters of a cell up to which it is not broken."""


@dataclass(frozen=True)
class Text:
    """A paragraph; one that warns is marked by more than its colour."""

    text: str
    warns: bool = False


@dataclass(frozen=True)
class Table:
    """A table that sorts.

    Attributes:
        caption: what it is.
        headings: one for each column.
        rows: cells; the first of each names the row.
        marked: the numbers of rows that stand out.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Picture:
    """A figure with what it shows, in words, for who cannot see it."""

    figure: Figure
    title: str
    description: str


@dataclass(frozen=True)
class Command:
    """A command line to be pasted, and what it does."""

    does: str
    line: str


Part = Text | Table | Picture | Command


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading."""

    heading: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: what it is about.
        kind: what that is, above the title.
        answer: what came of it, in sentences: the first thing that is read.
        facts: names and values beside it.
        sections: the rest.
    """

    title: str
    kind: str
    answer: Sequence[str]
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]


def render(page: Page) -> str:
    """The page as HTML."""
    style, script = (files("lstmcli.report").joinpath(f"page.{kind}").read_text("utf-8")
                     for kind in ("css", "js"))  # fmt: skip
    sections = [section for section in page.sections if section.parts]
    bodies = [_section(number, section) for number, section in enumerate(sections, 1)]
    root = element(
        "html",
        _head(page, style, script, bodies),
        element(
            "body",
            element("a", "Skip to the answer", href="#answer", class_="skip"),
            _banner(page),
            _contents(sections),
            element("main", _answer(page), *bodies),
            element("footer", element("p", f"Written by lstmcli {__version__}.")),
            element("p", role="status", class_="unseen", id="status"),
            raw("script", script),
        ),
        lang="en",
    )
    return document(root)


def _head(page: Page, style: str, script: str, bodies: Sequence[Element]) -> Element:
    metadata = {
        "viewport": "width=device-width, initial-scale=1",
        "color-scheme": "light dark",
        "generator": f"lstmcli {__version__}",
    }
    return element(
        "head",
        element("meta", charset="utf-8"),
        element(
            "meta", http_equiv="Content-Security-Policy", content=_policy(style, script, bodies)
        ),
        *(element("meta", name=name, content=content) for name, content in metadata.items()),
        element("title", f"{page.title} - {page.kind}"),
        raw("style", style),
    )


def _policy(style: str, script: str, bodies: Sequence[Element]) -> str:
    """What a browser may do: read this page's own style and script, and images within it."""
    allowed = {
        "default-src": "'none'",
        "style-src": _checksum(style),
        "script-src": _checksum(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    if any(vectors.has_colour_scale(body) for body in bodies):
        allowed["img-src"] = "data:"
    return "; ".join(f"{name} {what}" for name, what in allowed.items())


def _checksum(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def _banner(page: Page) -> Element:
    facts = [
        element("div", element("dt", name), element("dd", value)) for name, value in page.facts
    ]
    return element(
        "header",
        element("p", page.kind, class_="kind"),
        element("h1", page.title),
        element("dl", *facts, class_="facts"),
    )


def _contents(sections: Sequence[Section]) -> Element:
    names = [("answer", "Answer")]
    names += [(f"section-{i}", section.heading) for i, section in enumerate(sections, 1)]
    links = [element("li", element("a", name, href=f"#{to}")) for to, name in names]
    return element("nav", element("ul", *links), aria_label="Contents")


def _answer(page: Page) -> Element:
    return element(
        "section",
        element("h2", "Answer", id="answer-heading"),
        *map(_sentence, page.answer),
        id="answer", aria_labelledby="answer-heading", class_="answer", tabindex="-1",
    )  # fmt: skip


def _sentence(text: str) -> Element:
    """A sentence whose beginning, up to its first colon or semicolon, stands out."""
    first, *rest = re.split(r"(?=[:;])", text, maxsplit=1)
    return element("p", element("strong", first), *rest)


def _section(number: int, section: Section) -> Element:
    name = f"section-{number}"
    made = element("section", id=name, aria_labelledby=f"{name}-heading")
    add(made, element("h2", section.heading, id=f"{name}-heading"))
    parts = [_part(f"{name}-{place}", part) for place, part in enumerate(section.parts, 1)]
    drawn = [part for part in parts if part.tag == "figure"]
    add(made, *([element("div", *drawn, class_="figures")] if drawn else []))
    add(made, *(part for part in parts if part.tag != "figure"))
    return made


def _part(name: str, part: Part) -> Element:
    match part:
        case Text():
            mark = [element("strong", "Note: ")] if part.warns else []
            return element("p", *mark, part.text, class_="warning" if part.warns else "text")
        case Table():
            return _table(name, part)
        case Picture():
            return _picture(name, part)
        case Command():
            return _command(name, part)


def _table(name: str, table: Table) -> Element:
    """A table in a box of its own, in which it scrolls where the page is too narrow."""
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.headings)
    kinds = [_kind_of(cells) for cells in columns]
    headings = [
        element("th", heading, scope="col", class_=kind)
        for heading, kind in zip(table.headings, kinds, strict=True)
    ]
    rows = [_row(cells, kinds, place in table.marked) for place, cells in enumerate(table.rows)]
    made = element(
        "table",
        element("thead", element("tr", *headings)),
        element("tbody", *rows),
        aria_labelledby=f"{name}-caption",
    )
    caption = element("p", table.caption, id=f"{name}-caption", class_="text")
    kind = "box" + " tall" * (len(rows) > TALL) + " dense" * (len(headings) > MANY)
    return element("div", caption, _box(made, f"{name}-caption", kind), class_="table")


def _kind_of(cells: Sequence[str]) -> str:
    """How a column is set: numbers, words on one line, or a text that is broken into lines."""
    if tables.is_numbers(cells):
        return "number"
    return "word" if max(map(len, cells), default=0) <= ONE_LINE else "long"


def _row(cells: Sequence[str], kinds: Sequence[str], marked: bool) -> Element:
    first, *others = cells
    return element(
        "tr",
        element("th", first, scope="row", class_=kinds[0]),
        *(element("td", cell, class_=kind) for cell, kind in zip(others, kinds[1:], strict=True)),
        **({"class_": "marked"} if marked else {}),
    )


def _picture(name: str, picture: Picture) -> Element:
    drawn = vectors.inline(picture.figure, name, picture.title, picture.description)
    kind = "scale" if vectors.has_colour_scale(drawn) else "lines"
    wide = " wide" if int(drawn.attrib["width"]) > HALF_A_PAGE else ""
    return element(
        "figure",
        _box(drawn, f"{name}-title"),
        element("figcaption", picture.description),
        class_=f"{kind}{wide}",
    )


def _box(content: Element, named_by: str, kind: str = "box") -> Element:
    """A region that scrolls: it can be reached by the keyboard, and has a name."""
    return element(
        "div", content, class_=kind, role="region", aria_labelledby=named_by, tabindex="0"
    )


def _command(name: str, command: Command) -> Element:
    return element(
        "div",
        element("p", command.does, id=name),
        element("pre", element("code", command.line)),
        class_="command",
    )
