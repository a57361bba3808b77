"""A terminal for the tests: a program runs in it, and what its screen showed can be asked."""

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

ENTRY = "from lstmcli.__main__ import main; main()"
PART = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|\x1b\][^\x07]*\x07|([\r\n])|([^\x1b\r\n]+)")
BEGUN = re.compile(r"\x1b(\[\??[\d;]*|\][^\x07]*)?\Z")
"""An escape sequence of which the rest is still to come."""


class Screen:
    """The lines that a terminal shows: enough of one for a progress bar."""

    def __init__(self, columns):
        self.columns = columns
        self.lines, self.row, self.column = [""], 0, 0
        self._begun = ""

    def write(self, text):
        text = self._begun + text
        begun = BEGUN.search(text)
        self._begun = begun[0] if begun else ""
        text = text.removesuffix(self._begun)
        for private, number, command, control, plain in PART.findall(text):
            if plain:
                for character in plain:
                    self._put(character)
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self._down()
            elif not private:
                self._do(command, int(number.split(";")[0] or 0))

    def _do(self, command, number):
        line = self.lines[self.row]
        if command == "A":
            self.row = max(0, self.row - max(1, number))
        elif command == "K":
            self.lines[self.row] = "" if number == 2 else line[: self.column]

    def _put(self, character):
        if self.column == self.columns:
            self._down()
            self.column = 0
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    def _down(self):
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")

    def __str__(self):
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n")


class Terminal:
    """`lstmcli` in a pseudo-terminal.

    Attributes:
        output: all that was written.
        seen: what the screen showed and when, in seconds since the start, at each change.
        code: the exit code, once it has ended.
    """

    def __init__(self, *arguments, columns=80, env):
        self.screen, self.output, self.seen, self.code = Screen(columns), "", [], None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._begun = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-c", ENTRY, *map(str, arguments)],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), env=env,  # noqa: PLW1509
        )  # fmt: skip
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)

    def type(self, text):
        """Types something, once nothing more comes: `\\x03` is Ctrl-C.

        At Ctrl-C a terminal drops what has been written and not read, half a frame maybe.
        """
        last = time.monotonic() + 1  # What never pauses is typed into.
        while self.code is None and time.monotonic() < last and self._reads(0.05):
            pass
        os.write(self._master, text.encode())

    def until(self, pattern=None, seconds=60):
        """Reads until the screen shows a pattern, or the program ends; returns the screen."""
        last = time.monotonic() + seconds
        while time.monotonic() < last:
            if not self._reads(0.1):
                continue
            if self.code is not None or (pattern and re.search(pattern, self.seen[-1][1])):
                break
        else:
            raise TimeoutError(f"no {pattern!r} in {seconds} s:\n{self.screen}")
        return str(self.screen)

    def _reads(self, seconds):
        """Whether something came, or the program ended, within some time."""
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            text = self._decoder.decode(os.read(self._master, 65536))
        except OSError:  # The other end is closed: it has ended.
            self.code = self._process.wait(10)
            return True
        self.output += text
        self.screen.write(text)
        now = str(self.screen)
        if not self.seen or self.seen[-1][1] != now:
            self.seen.append((time.monotonic() - self._begun, now))
        return True

    def gaps(self, pattern):
        """Seconds between the changes while the screen showed a pattern, and after the last."""
        shown = [re.search(pattern, screen) is not None for _, screen in self.seen]
        times = [moment for moment, _ in self.seen]
        pairs = zip(times, times[1:], shown, strict=False)
        return [after - before for before, after, showing in pairs if showing]
