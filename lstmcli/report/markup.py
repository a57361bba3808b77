"""HTML as a tree of elements: what is put into it cannot become markup.

Text and attributes are escaped where the tree is written, and nowhere else, by the standard
library; what does not print is made visible first (`terminal.visible`). So a column's name or a
path may hold what it likes.
"""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from lstmcli.report.terminal import visible

Content = Element | str


def element(tag: str, *children: Content, **attributes: str) -> Element:
    """An element, its attributes named as in HTML but for the sign between their words.

    Args:
        tag: its name.
        children: elements, and texts between them.
        attributes: by name; `class_` is `class`, `aria_label` is `aria-label`.
    """
    names = {name: name.rstrip("_").replace("_", "-") for name in attributes}
    made = Element(tag, {names[name]: visible(value) for name, value in attributes.items()})
    add(made, *children)
    return made


def add(parent: Element, *children: Content) -> None:
    """Puts elements and texts at the end of an element."""
    for child in children:
        if isinstance(child, Element):
            parent.append(child)
        elif len(parent):
            parent[-1].tail = (parent[-1].tail or "") + visible(child)
        else:
            parent.text = (parent.text or "") + visible(child)


def raw(tag: str, code: str) -> Element:
    """A style or a script of the program's own: browsers read neither as text."""
    made = Element(tag)
    made.text = code
    return made


def document(root: Element) -> str:
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
