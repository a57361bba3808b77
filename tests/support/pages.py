"""Shared by tests of pages: a parsed page, and a browser that shows it."""

import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

VOID = {"meta", "br", "hr", "img", "input", "link"}
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


class Parsed(HTMLParser):
    """Tags with their attributes, the text, and the rows of tables by their caption."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self._open = [], [], []
        self.styles, self.scripts = [], []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        kind = self._open[-1] if self._open else ""
        {"style": self.styles, "script": self.scripts}.get(kind, self.texts).append(data)

    @property
    def counts(self):
        return Counter(tag for tag, _ in self.tags)

    @property
    def text(self):
        return "".join(self.texts)

    def values(self, *names):
        return [found[name] for _, found in self.tags for name in names if name in found]


def parsed(path):
    return Parsed(Path(path).read_text("utf-8"))


def chromium():
    """A headless browser and its driver (Debian's `chromium` and `chromium-driver`)."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    programs = [
        next(filter(None, map(shutil.which, names)), None)
        for names in (("chromium", "google-chrome", "chrome"), ("chromedriver",))
    ]
    if None in programs:
        pytest.skip("no Chromium with its driver: `apt-get install chromium chromium-driver`")
    options = selenium.ChromeOptions()
    for each in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(each)
    options.binary_location = programs[0]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = selenium.ChromeService(executable_path=programs[1])
    return selenium.Chrome(options=options, service=service)


def show(browser, path, size="desktop", scheme="light"):
    """Opens a page from the disk, on a screen of a size and in a colour scheme."""
    width, height = SIZES[size]
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
    media = [{"name": name, "value": value} for name, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    browser.get(Path(path).resolve().as_uri())
