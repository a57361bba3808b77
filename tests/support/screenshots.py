"""Pictures of what lstmcli shows: a sweep's answer, the view of a run that trains, and a page.

`python tests/support/screenshots.py [FOLDER]` trains what they show, some minutes on two cores, and
writes `docs/images/`. What it trains is in FOLDER; a sweep that is there already is not run again.
A page is pictured by Chromium or Chrome, without a window.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

from terminal import Terminal

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
SWEEP = (
    "lstmcli sweep --data room.csv --target room --inputs room --horizon 1 --calendar hour "
    "--layers 1-3 --state-size 16 --learning-rate 0.01 --seeds 8 --margin 0.1 --out depth"
)
TRAIN = "lstmcli train --layers 3 --echo-step 10 --epochs 30 --out echo"
COLUMNS = {"answer": 88, "live": 100}
WRONG, SHARE_WRONG = re.compile(r"(\d+) of (\d+) wrong"), 0.1
"""What the view of a run says below its rows, and the share at which it is pictured."""
CURVE = re.compile(r"[\u2800-\u28ff\u2504]+")
FRAME = re.compile(r"\r(?:\x1b\[1A|\x1b\[2K|\r)+")
"""How a view goes back to its first line, to be drawn anew."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PAGE = (1280, 1260)
"""Pixels."""
COLOURS = 128
"""Of a page's picture: so many make a file of some 100 kB."""


def main(folder):
    """Writes all pictures; what they show is trained in a folder."""
    browser = find_browser()
    IMAGES.mkdir(exist_ok=True)
    os.chdir(folder)
    if not Path("room.csv").exists():
        subprocess.run([sys.executable, ROOT / "examples" / "room.py"], check=True)
    run(SWEEP, COLUMNS["answer"])
    # Nothing is trained by the second call, so that the answer is all there is to see.
    answer = FRAME.split(run(SWEEP, COLUMNS["answer"]))[-1]
    write_svg("answer", SWEEP, answer)
    write_svg("live", TRAIN, frame_of(run(f"{TRAIN} --overwrite", COLUMNS["live"])))
    run("lstmcli report depth --output page.html", COLUMNS["answer"])
    picture_page(browser, Path("page.html"), IMAGES / "page.png")


def find_browser():
    """The path of a browser that can run without a window."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        names = ", ".join(f"`{name}`" for name in BROWSERS)
        sys.exit(
            f"error: a page is pictured by Chromium or Chrome, and none of {names} is installed\n"
            "hint: on Debian: `apt-get install chromium`"
        )
    return found


def run(command, columns):
    """All that a command writes to a terminal."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    with Terminal(*shlex.split(command)[1:], columns=columns, env=environment) as terminal:
        screen = terminal.until(seconds=3600)
        if terminal.code:
            sys.exit(f"error: `{command}` ended with {terminal.code}:\n{screen}")
        return terminal.output


def frame_of(output):
    """What the view of a run showed when about so many of its predictions were wrong."""
    counts = {frame: WRONG.search(frame) for frame in FRAME.split(output)}
    shares = {frame: int(found[1]) / int(found[2]) for frame, found in counts.items() if found}
    if not shares:
        sys.exit("error: the run had ended before its view was drawn: train for more epochs")
    return min(reversed(shares), key=lambda frame: abs(shares[frame] - SHARE_WRONG))


def write_svg(name, command, output):
    """Writes what a terminal shows below a command, drawn by rich."""
    console = Console(
        record=True, width=COLUMNS[name], file=io.StringIO(), color_system="truecolor",
        force_terminal=True,
    )  # fmt: skip
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
    shown = re.sub(r"\x1b\[\?\d+[hl]|\r(?=\n)", "", output)  # Else a line ends before its text.
    text = Text.from_ansi(shown.strip("\n"))
    text.highlight_regex(CURVE, "white")  # Apart, as its characters may be wider than the others.
    console.print(text)
    drawn = console.export_svg(title="lstmcli", unique_id=name)
    # No font is fetched from elsewhere: the reader's own monospaced one is used.
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    lines = (line.rstrip() for line in drawn.splitlines())
    (IMAGES / f"{name}.svg").write_text("\n".join(filter(None, lines)) + "\n")


def picture_page(browser, page, picture):
    """Writes the upper end of a page as a browser shows it."""
    with tempfile.TemporaryDirectory() as profile:
        options = (
            "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--user-data-dir={profile}", f"--window-size={PAGE[0]},{PAGE[1]}",
            f"--screenshot={picture}",
        )  # fmt: skip
        subprocess.run(
            [browser, *options, page.resolve().as_uri()], check=True, stderr=subprocess.DEVNULL
        )
    with Image.open(picture) as shown:
        small = shown.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(temporary)
