"""What any page is made of: text that is escaped, and colours that can be read."""

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

import lstmcli
from lstmcli.reporting import html as page_html
from lstmcli.reporting.figures import style
from pages import parsed

ROOT = Path(lstmcli.__file__).parent


@pytest.mark.parametrize("text", ["\x00\x1b[2J", "\u202eabc", "\ud800", "</title></style>"])
def test_any_text_and_attribute_survives_as_text(text, tmp_path):
    shown = page_html.element("p", text, title=text)
    (tmp_path / "x.html").write_text(page_html.html_document(shown), "utf-8")
    found = parsed(tmp_path / "x.html")
    assert found.counts == {"p": 1}
    assert found.values("title") == [found.text.strip()]
    assert found.text.strip().isprintable()


def luminance(colour):
    """Of WCAG 2.2."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_text_has_a_contrast_of_4_5_at_least(scheme):
    block = re.findall(r":root \{(.*?)\}", (ROOT / "reporting/page.css").read_text(), re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block[scheme]))
    grounds = [("ink", "quiet", "accent"), ("paper", "raised", "tint")]
    pairs = [(text, ground) for text in grounds[0] for ground in grounds[1]]
    for text, ground in [*pairs, ("ink", "caution-tint"), ("caution", "caution-tint")]:
        low, high = sorted(luminance(colours[each]) for each in (text, ground))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def contrast(one, other):
    low, high = sorted(luminance(to_hex(each)) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#14171b"], ids=["light", "dark"])
def test_lines_and_markers_have_a_contrast_of_3_at_least_for_up_to_10_depths(ground):
    named = [style.BLUE, style.ORANGE, style.GREEN, style.RED, style.PURPLE, style.GREY]
    colours = [*named, *(each for count in range(1, 11) for each in style.shades(count))]
    assert min(contrast(each, ground) for each in colours) >= 3
    assert f"--paper: {ground};" in (ROOT / "reporting/page.css").read_text()


@pytest.mark.parametrize("count", range(2, 11))
def test_no_two_depths_have_the_same_colour_and_line(count):
    found = [to_hex(each) for each in style.shades(count)]
    assert len(set(found)) == count
