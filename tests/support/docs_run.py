"""The outputs that README and the documentation show, written by the program.

`python tests/support/docs_run.py PAGE` writes those of a page anew; without a page, of all.

A `console` block is run: a line that begins with `$ ` is a command, the lines below it are what it
prints. So is a `pycon` block: `>>> ` and `... ` are Python. The blocks of a page are run in order,
in one new folder that holds `examples`, and in one Python. A comment `<!-- $ command -->` is run,
and not shown. `sh` and `python` blocks are not run: what installs something, needs a cluster or a
GPU, or takes long.
"""

import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
import tty
from difflib import SequenceMatcher
from functools import partial
from itertools import zip_longest
from math import isclose
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(
    r"^<!-- (?P<hidden>\$ .*?) -->$|^```(?P<kind>console|pycon)\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
PROGRESS = re.compile(r"^(epoch \d+/\d+  .*\n(?=epoch )|\d+ of \d+  .*\n)", re.MULTILINE)
"""Lines in place of a bar: all but the last one of a run, all of a sweep."""
NEVER_THE_SAME = re.compile(
    r"\d{4}-\d\d-\d\d([ T-]?\d\d:?\d\d(:?\d\d)?)?|\d+:\d\d(\.\d|:\d\d)?"
    r"|[\d.,]+ (s|ms|min|h|minutes?|hours?|seconds?|[KMG]i?B)\b"
)
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


def pages():
    """README and every page of the documentation in which something is run."""
    found = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    return [page for page in found if BLOCK.search(page.read_text())]


def commands(text):
    """Every command that a page shows or runs, but those that it shows to be errors."""
    text = text.replace("\\\n", " ")
    for kind, block in re.findall(r"^```(console|sh)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        lines = block.splitlines()
        for line, after in zip_longest(lines, lines[1:], fillvalue=""):
            if (kind == "sh" or line.startswith("$ ")) and not after.startswith("error: "):
                yield line.removeprefix("$ ")
    yield from re.findall(r"^<!-- \$ (.*?) -->$", text, re.MULTILINE)


def run_page(text):
    """A page with the outputs of its blocks as they are now.

    Raises:
        RuntimeError: a command has failed that does not end with `|| true` or `; echo $?`.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        with Runner(Path(folder)) as runner:
            return BLOCK.sub(runner.block, text)


class Runner:
    """Runs the blocks of a page, one after the other."""

    def __init__(self, folder):
        self._folder = folder
        self._bin = tempfile.TemporaryDirectory()
        entry = "from lstmcli.__main__ import main; main()"
        python = shlex.quote(sys.executable)
        for name, arguments in {"lstmcli": f"-c '{entry}'", "python": ""}.items():
            script = Path(self._bin.name) / name
            script.write_text(f'#!/bin/sh\nexec {python} {arguments} "$@"\n')
            script.chmod(0o755)
        path = os.pathsep.join([self._bin.name, os.environ["PATH"]])
        self._environment = {
            **os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "LINES": "24",
            "TERM": "dumb",
        }  # fmt: skip
        self._python = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._python:
            self._python.communicate()
        self._bin.cleanup()

    def block(self, match):
        """The text of a block, with its outputs."""
        if match["hidden"]:
            self._shell(match["hidden"][2:])
            return match[0]
        parts = self._console if match["kind"] == "console" else self._pycon
        return f"```{match['kind']}\n{''.join(parts(match['body']))}```"

    def _console(self, body):
        for command in re.findall(r"^\$ ((?:.*\\\n)*.*\n)", body, re.MULTILINE):
            yield f"$ {command}"
            yield self._shell(command)

    def _shell(self, command):
        screen, terminal = pty.openpty()
        tty.setraw(terminal)
        with subprocess.Popen(
            ["bash", "-c", command], cwd=self._folder, env=self._environment,
            stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal,
        ) as process:  # fmt: skip
            os.close(terminal)
            output = b"".join(iter(partial(_read, screen), b"")).decode()
            os.close(screen)
        if process.returncode not in (0, 2, 4):  # Pages show errors too.
            raise RuntimeError(f"`{command.strip()}` ended with {process.returncode}:\n{output}")
        return shown(output, self._folder)

    def _pycon(self, body):
        if not self._python:
            self._python = subprocess.Popen(
                [sys.executable, "-c", CONSOLE], cwd=self._folder, env=self._environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        for statement in re.findall(r"^>>> .*\n(?:\.\.\.(?: .*)?\n)*", body, re.MULTILINE):
            yield statement
            source = "\n".join(line[4:] for line in statement.splitlines())
            print(repr(source), file=self._python.stdin, flush=True)
            yield shown(eval(self._python.stdout.readline()), self._folder)


def _read(screen):
    """What a terminal shows next; nothing once all programs have gone."""
    try:
        return os.read(screen, 65536)
    except OSError:
        return b""


CONSOLE = r"""
import ast, contextlib, io, sys, traceback
names, real = {}, sys.stdout
for line in sys.stdin:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        body = ast.parse(eval(line)).body
        try:
            for node in body:
                exec(compile(ast.Interactive([node]), "<page>", "single"), names)
        except Exception as error:
            print(*traceback.format_exception_only(error), sep="", end="")
    print(repr(said.getvalue()), file=real, flush=True)
"""


def shown(output, folder):
    """What a page shows of an output: neither colours nor what a bar would have wiped out."""
    lines = (line.rstrip() for line in PROGRESS.sub("", output).splitlines())
    text = "\n".join(lines).replace(str(folder.resolve()), "~").replace(str(folder), "~")
    return f"{text}\n" if text else ""


def differences(old, new):
    """The lines of a page that are not what the program prints now, as pairs.

    Words are compared exactly. So are numbers, but that they may differ by 2 % or by one in their
    last digit, as the last bits of results differ by processor. Times, sizes, dates and the widths
    of columns do not count.
    """
    lines = old.splitlines(), new.splitlines()
    masked = [[_words(line) for line in each] for each in lines]
    found = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, *masked, autojunk=False).get_opcodes():
        pairs = zip_longest(lines[0][i1:i2], lines[1][j1:j2], fillvalue="")
        found += [pair for pair in pairs if tag != "equal" or not _same_numbers(*pair)]
    return found


def _words(line):
    """A line without its numbers."""
    text = NUMBER.sub("N", NEVER_THE_SAME.sub("TIME", line))
    return re.sub(r"[\s─━┄|-]+", " ", text).strip()


def _same_numbers(line, now):
    numbers = [NUMBER.findall(NEVER_THE_SAME.sub("TIME", text)) for text in (line, now)]
    return all(map(_close, *numbers))


def _close(number, now):
    """Whether two numbers, as they are written, are the same but for the processor."""
    one, other = (float(text.replace(",", "")) for text in (number, now))
    return isclose(one, other, rel_tol=0.02, abs_tol=1.001 * _last_digit(number))


def _last_digit(number):
    """What a one in the last digit of a number is worth; 0 of a whole number, which is a count."""
    digits, _, exponent = number.partition("e")
    decimals = len(digits.partition(".")[2])
    return 10.0 ** (int(exponent or 0) - decimals) if decimals else 0.0


def main(names):
    """Writes the pages named, or all."""
    for page in [Path(name) for name in names] or pages():
        text = page.read_text()
        page.write_text(new := run_page(text))
        print(f"{page}: {len(differences(text, new))} lines differ", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
