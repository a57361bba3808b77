"""Wrong invocations and files: each ends with its exit code and its message, and changes nothing.

They stand in `tests/bad_input/`, as a terminal shows them:

    $ lstmcli train --layers 0
    error: `--layers` must be at least 1, got 0
    hint: `lstmcli train --help-all` lists what it takes
    exit 2

The files that they name are made by `bad_files.py`; FOLDER is where. `...` stands for words that
are not this program's: a library's, or names of what other machines have. `\\u001b` in a command is
that character.
"""

import ast
import re
import shlex
import signal
from pathlib import Path
from stat import S_ISDIR

import pytest

import bad_files
from command_lines import COMMANDS, options_of, parses
from lstmcli.utils import memory

TABLES = Path(__file__).parents[1] / "bad_input"
SOURCES = sorted((Path(__file__).parents[2] / "lstmcli").rglob("*.py"))
MEMORY = 8_000_000_000
"""Bytes that the machine of the messages has."""
PATIENCE = 60
"""Seconds after which an invocation hangs."""
SLOW = [
    ["sweep", "--device", "gpu:7"],
    ["sweep", "--device", "gpu:7", "--out", "sweep", "--overwrite"],
    ["sweep", "--layers", "1-2000"],
]
"""The first two ask a process of its own which devices there are."""


def cases():
    """Yields each invocation: a name, what was typed, the lines that it shows, its exit code."""
    for file in sorted(TABLES.glob("*.txt")):
        for block in file.read_text(encoding="utf-8").strip().split("\n\n"):
            typed, *shown, code = block.splitlines()
            words = shlex.split(typed.removeprefix("$ lstmcli "))
            typed = [re.sub(r"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), w) for w in words]
            marks = pytest.mark.slow if words in SLOW else ()
            number = int(code.removeprefix("exit "))
            yield pytest.param(typed, shown, number, id=f"{words}", marks=marks)


CASES = list(cases())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        bad_files.make(folder)
    return folder


@pytest.fixture(autouse=True)
def in_folder(folder, monkeypatch, inside_tmp_path):
    """Stands in the folder, on a machine whose memory is known."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(memory, "installed", lambda: MEMORY)


@pytest.fixture(autouse=True)
def no_hanging():
    """Ends what waits for a pipe or fills the memory."""

    def give_up(number, frame):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def everything(folder):
    """What there is below a folder; of a file, when it was written to last, and its size."""
    found = {path: path.lstat() for path in folder.rglob("*")}
    return {
        path: (each.st_mode, not S_ISDIR(each.st_mode) and (each.st_size, each.st_ctime_ns))
        for path, each in found.items()
    }


@pytest.fixture(scope="module")
def before(folder):
    return everything(folder)


def shows(line):
    """A regular expression for a line as the tables have it."""
    return re.escape(line).replace(re.escape("..."), ".*")


@pytest.mark.parametrize(("typed", "shown", "code"), CASES)
def test_a_wrong_invocation_says_what_is_wrong_and_changes_nothing(
    run, folder, before, typed, shown, code
):
    result = run(*typed, exit_code=code)
    found = result.stderr.replace(str(folder), "FOLDER").splitlines()
    assert re.fullmatch("\n".join(map(shows, shown)), "\n".join(found)), "\n".join(found)
    assert result.stdout == "" or "--strict" in typed  # What lines before it have got stands.
    assert "\x1b" not in result.output
    assert "Traceback" not in result.output
    assert everything(folder) == before


def test_the_tables_hold_every_command_and_every_error_has_a_way_out():
    assert len(CASES) >= 500
    assert {case.values[0][0] for case in CASES} >= COMMANDS.keys()
    for case in CASES:
        error, *hints = case.values[1]
        assert error.startswith("error: ")
        assert not re.search(r"[^.]\.$", error)
        assert [hint[:6] for hint in hints] == ["hint: "], case.id


# --- hints


@pytest.mark.parametrize(("typed", "shown", "code"), CASES)
def test_what_a_hint_says_to_type_can_be_typed(typed, shown, code):
    for quoted in re.findall(r"`([^`]+)`", " ".join(shown[1:])):
        if quoted.startswith("lstmcli "):
            parses(quoted)
        elif quoted.startswith("--") and typed[0] in COMMANDS:
            assert quoted.split()[0] in options_of(typed[0]), quoted


def literals(file):
    """Yields the texts of a source file; what is filled in is `1`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(each.value) if isinstance(each, ast.Constant) else "1" for each in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_every_command_and_option_that_a_text_of_the_program_names_exists(file):
    known = set().union(*map(options_of, COMMANDS), {"--version"})
    for text in literals(file):
        for command in re.findall(r"`(lstmcli [^`]+)`", text):
            name, *arguments = command.split()[1:]
            if name in COMMANDS and arguments and not arguments[-1].startswith("--"):
                parses(command)
        for option in re.findall(r"`(--[a-z][a-z-]+)[` ]", text):
            assert option in known, text
