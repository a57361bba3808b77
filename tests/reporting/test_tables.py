"""Tables for people: columns in line, and every figure whole at every width."""

import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli.cli import eval as command
from lstmcli.cli import output
from lstmcli.data.schema import plain
from lstmcli.reporting.text_table import render_table
from lstmcli.utils import terminal

HEADINGS = ["layers", "size", "echo step", "learning rate", "params", "solved", "test loss", "95 %",
            "epochs", "gap", "chance", "p"]  # fmt: skip
ROWS = [
    ["1", "4", "3", "0.3", "106", "0/8", "0.000783", "0.00058-0.00091", "-", "1.2e-05", "0.693",
     "0.031"],
    ["12", "64", "12", "0.03", "1,106,304", "8/8", "0.0005212", "0.00034-0.00052", "23", "-1e-06",
     "0.693", "best"],
]  # fmt: skip


def figures(text):
    return sorted(re.findall(r"[^\s]*\d[^\s]*", text))


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, None])
def test_a_summary_of_twelve_columns_keeps_every_figure_at_every_width(width):
    text = render_table(HEADINGS, ROWS, width)
    expected = figures(" ".join(cell for row in [HEADINGS, *ROWS] for cell in row))
    assert figures(text) == expected
    assert text.isascii()
    if width is None or width >= 40:
        assert all(len(line) <= (width or 200) for line in text.splitlines())


def test_a_summary_of_twelve_columns_at_80_columns():
    assert render_table(HEADINGS, ROWS, 80).splitlines()[-4:] == [
        "     1     4     3       0.3        106     0/8   0.000783  0.00058-0.00091",
        "         -  1.2e-05   0.693  0.031",
        "    12    64    12      0.03  1,106,304     8/8  0.0005212  0.00034-0.00052",
        "        23   -1e-06   0.693   best",
    ]


def test_a_pipe_gets_a_line_a_row_and_one_of_headings():
    lines = render_table(HEADINGS, ROWS, None).splitlines()
    assert len(lines) == 3
    assert lines[0].split("  ")[0] == "layers"
    for line, row in zip(lines[1:], ROWS, strict=True):
        assert line.split() == row


def test_long_headings_take_two_lines_before_a_row_does():
    text = render_table(["learning rate", "95 % interval"], [["0.3", "1-2"]], 20)
    assert text.splitlines() == ["learning      95 %", "    rate  interval", "     0.3       1-2"]


@given(st.lists(st.lists(st.integers(), min_size=4, max_size=4), min_size=1), st.integers(1, 99))
def test_every_cell_stands_whole_and_in_its_order(numbers, width):
    rows = [[str(number) for number in row] for row in numbers]
    text = render_table(["a", "b", "c", "d"], rows, width)
    assert text.split() == ["a", "b", "c", "d", *(cell for row in rows for cell in row)]


def test_the_width_of_a_pipe_is_not_that_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert terminal.width(io.StringIO()) is None
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert terminal.width(output.sys.stdout) == 40


def score(counts):
    return SimpleNamespace(confusion=np.asarray(counts), schema=plain(1, len(counts)))


def test_a_few_labels_are_shown_as_a_table_without_a_frame(capsys):
    command._print_confusion(score([[1234, 5, 0], [6, 7, 8], [0, 9, 10]]))
    title, headings, *rows = capsys.readouterr().out.splitlines()
    assert title.endswith(":")
    assert headings.split() == ["label", "0", "1", "2"]
    assert [row.split() for row in rows] == [
        ["0", "1,234", "5", "0"], ["1", "6", "7", "8"], ["2", "0", "9", "10"]
    ]  # fmt: skip


def test_of_fifty_labels_the_pairs_confused_most_often_are_shown(capsys):
    counts = np.diag(np.full(50, 90))
    counts[7, 3], counts[48, 49] = 10, 30
    command._print_confusion(score(counts))
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["true", "predicted", "count", "share"],
        ["48", "49", "30", "25.0%"],
        ["7", "3", "10", "10.0%"],
    ]
    command._print_confusion(score(np.ones((50, 50), int)))
    assert len(capsys.readouterr().out.splitlines()) == 12
    command._print_confusion(score(np.eye(50, dtype=int)))
    assert capsys.readouterr().out == "every label was predicted correctly\n"


def test_a_sentence_breaks_between_words_on_a_terminal_and_nowhere_in_a_pipe(monkeypatch, capsys):
    sentence = "1 layer is enough: 8 of 8 seeds solve it, and no other depth is better"
    output.print_sentence(sentence)
    monkeypatch.setattr(output.terminal, "width", lambda stream: 30)
    output.print_sentence(sentence)
    whole, *lines = capsys.readouterr().out.splitlines()
    assert whole == sentence == " ".join(lines)
    assert max(map(len, lines)) <= 30


def test_notes_warnings_errors_and_hints_break_between_words_and_in_no_command(monkeypatch, capsys):
    command = "`lstmcli train --resume runs/latest --epochs 20`"
    hint = f"{command} goes on where it stopped, or leave the run as it is and take its best epoch"
    output.say("hint", hint)
    monkeypatch.setattr(output.terminal, "width", lambda stream: 40)
    output.say("hint", hint)
    whole, *lines = capsys.readouterr().err.splitlines()
    assert whole == f"hint: {hint}"
    assert " ".join(line.strip() for line in lines) == whole
    assert lines[0] == f"hint: {command}"  # It is longer than the line, and whole all the same.
    assert all(len(line) <= 40 for line in lines if command not in line)
    assert all(line.startswith("      ") for line in lines[1:])


def test_wide_characters_count_twice_where_a_sentence_breaks():
    text = "note: 数据数据 has no column 数据数据 that could be given"
    lines = terminal.wrapped(text, 24, "      ").splitlines()
    assert [terminal.cells_of(line) <= 24 for line in lines] == [True] * len(lines)
    assert " ".join(map(str.strip, lines)) == text


def test_a_command_that_fits_in_no_line_stands_beside_what_it_is():
    command = f"`lstmcli train --resume {'deep/' * 20}run`"
    shown = terminal.wrapped(f"hint: {command} goes on with it", 80, "      ")
    assert shown == f"hint: {command}\n      goes on with it"
