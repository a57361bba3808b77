"""A self-contained HTML page that opens from the disk, with its figures as SVG.

It is built as a tree of elements, so that no text can become markup.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from lstmcli import __version__
from lstmcli.reporting import text_table
from lstmcli.utils.terminal import escape_unprintable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HALF_A_PAGE = 640
"""Figures of at most this many pixels' width stand side by side."""
TALL = 100
"""Tables with more rows than this scroll in a box."""
MANY = 9
"""Tables with more columns than this are set more closely."""
ONE_LINE = 32
"""Cells with more characters than this are broken into lines."""


@dataclass(frozen=True)
class Text:
    """A paragraph: plain, strong, or a warning, which begins with `Note:`."""

    text: str
    warns: bool = False
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table that sorts.

    Attributes:
        caption: what it is.
        headings: one for each column.
        rows: cells; the first of each row is its name.
        marked: the numbers of highlighted rows.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Picture:
    """A figure, with a description for readers who cannot see it."""

    figure: Figure
    title: str
    description: str


@dataclass(frozen=True)
class Command:
    """A command line to paste, and what it does."""

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
        title: the name of the run or sweep.
        kind: `lstmcli run` or `lstmcli sweep`, above the title.
        answer: the results in sentences and tables, at the top of the page.
        facts: names and values below the title.
        sections: the rest.
    """

    title: str
    kind: str
    answer: Sequence[str | Part]
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]


def render_page(page: Page) -> str:
    """The page as HTML."""
    style, script = (files("lstmcli.reporting").joinpath(f"page.{kind}").read_text("utf-8")
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
    return html_document(root)


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
    """The content security policy: only the page's own style, script and embedded images."""
    allowed = {
        "default-src": "'none'",
        "style-src": _checksum(style),
        "script-src": _checksum(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    if any(has_colour_scale(body) for body in bodies):
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
        *(
            _sentence(part) if isinstance(part, str) else _part(f"answer-{place}", part)
            for place, part in enumerate(page.answer, 1)
        ),
        id="answer", aria_labelledby="answer-heading", class_="answer", tabindex="-1",
    )  # fmt: skip


def _sentence(text: str) -> Element:
    """A sentence with its beginning, up to the first colon or semicolon, in bold."""
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
            text = element("strong", part.text) if part.strong else part.text
            return element("p", *mark, text, class_="warning" if part.warns else "text")
        case Table():
            return _table(name, part)
        case Picture():
            return _picture(name, part)
        case Command():
            return _command(name, part)


def _table(name: str, table: Table) -> Element:
    """A table in a box, in which it scrolls if the page is too narrow."""
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
    """A column's CSS class: numbers, words on one line, or text that is broken into lines."""
    if text_table.is_numbers(cells):
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
    drawn = inline_svg(picture.figure, name, picture.title, picture.description)
    kind = "scale" if has_colour_scale(drawn) else "lines"
    wide = " wide" if int(drawn.attrib["width"]) > HALF_A_PAGE else ""
    return element(
        "figure",
        _box(drawn, f"{name}-title"),
        element("figcaption", picture.description),
        class_=f"{kind}{wide}",
    )


def _box(content: Element, named_by: str, kind: str = "box") -> Element:
    """A scrollable region with a name, which the keyboard can reach."""
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


Content = Element | str


def element(tag: str, *children: Content, **attributes: str) -> Element:
    """An element; attributes are named as in HTML, with `_` instead of `-`.

    Args:
        tag: its name.
        children: elements, and texts between them.
        attributes: by name; `class_` is `class`, `aria_label` is `aria-label`.
    """
    names = {name: name.rstrip("_").replace("_", "-") for name in attributes}
    made = Element(
        tag, {names[name]: escape_unprintable(value) for name, value in attributes.items()}
    )
    add(made, *children)
    return made


def add(parent: Element, *children: Content) -> None:
    """Appends elements and texts to an element."""
    for child in children:
        if isinstance(child, Element):
            parent.append(child)
        elif len(parent):
            parent[-1].tail = (parent[-1].tail or "") + escape_unprintable(child)
        else:
            parent.text = (parent.text or "") + escape_unprintable(child)


def raw(tag: str, code: str) -> Element:
    """A `style` or `script` element with the program's own code, which is not escaped."""
    made = Element(tag)
    made.text = code
    return made


def html_document(root: Element) -> str:
    """The whole document, each block on a line of its own."""
    for block in root.iter():
        if block.tag in (
            "head",
            "body",
            "header",
            "main",
            "nav",
            "section",
            "figure",
            "tr",
            "meta",
        ):
            block.tail = (block.tail or "") + "\n"
    text = ElementTree.tostring(root, encoding="unicode", method="html")
    return f"<!DOCTYPE html>\n{text}\n"


FORMAT: Any = {"svg.fonttype": "none", "svg.hashsalt": "lstmcli"}
"""Text stays text (small, found by a search, read aloud), and the same figure gives the same
bytes."""
FONTS = "'DejaVu Sans', Verdana, sans-serif"
"""The font that figures are laid out with, then a common one of the same width."""
PIXELS_A_POINT = 96 / 72
FONT = re.compile(r"(?P<before>.*?)(?P<size>[\d.]+px)\s+(?P<family>.*)")
LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
GREY = re.compile(r"#([0-9a-f]{2})\1\1")
REFERENCE = re.compile(r"url\(#([^)]*)\)")


def inline_svg(figure: Figure, name: str, title: str, description: str) -> Element:
    """A figure as an SVG element that can share a page with others.

    Its styles become attributes, as the page's policy forbids inline styles.

    Args:
        figure: of matplotlib.
        name: prefix of its identifiers, so that those of several figures differ.
        title: its name for readers who cannot see it.
        description: what it shows.
    """
    root = _plain(ElementTree.fromstring(_drawn(figure)))
    _rename(root, name)
    width, height = (float(root.attrib[side].rstrip("pt")) for side in ("width", "height"))
    root.attrib |= {
        "width": f"{width * PIXELS_A_POINT:.0f}",
        "height": f"{height * PIXELS_A_POINT:.0f}",
        "fill": "currentColor",  # Of what is black: matplotlib leaves it out.
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-description",
    }
    root.insert(0, element("title", title, id=f"{name}-title"))
    root.insert(1, element("desc", description, id=f"{name}-description"))
    return root


def has_colour_scale(drawn: Element) -> bool:
    """Whether colours in a figure stand for numbers, so that they must not be changed."""
    return next(drawn.iter("image"), None) is not None


def _drawn(figure: Figure) -> bytes:
    import matplotlib as mpl

    content = io.BytesIO()
    with mpl.rc_context(FORMAT):
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    return content.getvalue()


def _plain(found: Element) -> Element:
    """The element without namespaces, styles, metadata and superfluous digits."""
    made = Element(_local(found.tag))
    for name, value in found.attrib.items():
        attributes = _styles(value) if name == "style" else {_local(name): _short(name, value)}
        made.attrib |= {key: _on_any_ground(each) for key, each in attributes.items()}
    made.text = found.text
    for child in found:
        if _local(child.tag) not in ("metadata", "style"):
            made.append(_plain(child))
    made.tail = found.tail
    return made


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _styles(text: str) -> dict[str, str]:
    """A style as presentation attributes: `fill: none; font: 8px sans` has three."""
    found: dict[str, str] = {}
    for declaration in text.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font" and (font := FONT.fullmatch(value)):
            weight = "bold" if re.search(r"bold|[6-9]00", font["before"]) else None
            slant = "italic" if re.search("italic|oblique", font["before"]) else None
            known = {"font-weight": weight, "font-style": slant, "font-size": font["size"]}
            found |= {key: each for key, each in known.items() if each} | {"font-family": FONTS}
        elif name:
            found[name] = value
    return found


def _on_any_ground(value: str) -> str:
    """A grey as a mixture of the page's text and background colours, for light and dark pages."""
    if not (grey := GREY.fullmatch(value)):
        return value
    ink = 100 - 100 * int(grey[1], 16) / 255
    return f"color-mix(in srgb, currentColor {ink:.0f}%, var(--paper))"


def _short(name: str, value: str) -> str:
    """Coordinates to a hundredth of a point; what is no coordinate as it is."""
    if _local(name) in ("d", "x", "y", "transform", "points"):
        return LONG_NUMBER.sub(lambda number: f"{float(number[0]):.2f}", value)
    return value


def _rename(root: Element, name: str) -> None:
    """Prefixes the identifiers that are referred to, and drops the others."""
    used = set()
    for each in root.iter():
        for key, value in each.attrib.items():
            if key == "href" and value.startswith("#"):
                used.add(value[1:])
                each.attrib[key] = f"#{name}-{value[1:]}"
            elif found := REFERENCE.search(value):
                used.add(found[1])
                each.attrib[key] = REFERENCE.sub(rf"url(#{name}-\1)", value)
    for each in root.iter():
        if (known := each.attrib.pop("id", None)) in used:
            each.attrib["id"] = f"{name}-{known}"
