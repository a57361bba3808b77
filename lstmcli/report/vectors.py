"""A figure of matplotlib as SVG within a page: small, named, and without a style of its own."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from lstmcli.report.markup import element

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT: Any = {"svg.fonttype": "none", "svg.hashsalt": "lstmcli"}
"""Text stays text (small, found by a search, read aloud), and the same figure gives the same
bytes."""
FONTS = "'DejaVu Sans', Verdana, sans-serif"
"""The font that the figure was laid out with, and one as wide, which most machines have."""
PIXELS_A_POINT = 96 / 72
FONT = re.compile(r"(?P<before>.*?)(?P<size>[\d.]+px)\s+(?P<family>.*)")
LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
REFERENCE = re.compile(r"url\(#([^)]*)\)")


def inline(figure: Figure, name: str, title: str, description: str) -> Element:
    """A figure as an SVG element that may stand in a page beside others.

    A policy that forbids inline styles leaves it as it is: its styles become attributes.

    Args:
        figure: of matplotlib.
        name: begins each of its identifiers, so that those of several figures differ.
        title: its name for who cannot see it.
        description: what it shows.
    """
    root = _plain(ElementTree.fromstring(_drawn(figure)))
    _rename(root, name)
    width, height = (float(root.attrib[side].rstrip("pt")) for side in ("width", "height"))
    root.attrib |= {
        "width": f"{width * PIXELS_A_POINT:.0f}",
        "height": f"{height * PIXELS_A_POINT:.0f}",
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-description",
    }
    root.insert(0, element("title", title, id=f"{name}-title"))
    root.insert(1, element("desc", description, id=f"{name}-description"))
    return root


def has_colour_scale(drawn: Element) -> bool:
    """Whether colours in a figure stand for numbers, so that they may not be changed."""
    return next(drawn.iter("image"), None) is not None


def _drawn(figure: Figure) -> bytes:
    import matplotlib as mpl

    content = io.BytesIO()
    with mpl.rc_context(FORMAT):
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    return content.getvalue()


def _plain(found: Element) -> Element:
    """The element without namespaces, styles, metadata and needless digits."""
    made = Element(_local(found.tag))
    for name, value in found.attrib.items():
        made.attrib |= _styles(value) if name == "style" else {_local(name): _short(name, value)}
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


def _short(name: str, value: str) -> str:
    """Coordinates to a hundredth of a point; what is no coordinate as it is."""
    if _local(name) in ("d", "x", "y", "transform", "points"):
        return LONG_NUMBER.sub(lambda number: f"{float(number[0]):.2f}", value)
    return value


def _rename(root: Element, name: str) -> None:
    """Begins the identifiers that something refers to with a name, and drops the others."""
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
