"""Text as a series: against Python's own strings."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstmcli.config import DataConfig
from lstmcli.data import text
from lstmcli.data.schema import Schema
from lstmcli.utils.errors import FileError, UsageError


def parts_of(content, **settings):
    Path("main.txt").write_bytes(content.encode() if isinstance(content, str) else content)
    return text.read_parts(DataConfig(data="main.txt", **settings))


def spell(series):
    """The characters that are given, and those to be predicted, by the schema's own names."""
    column = series.schema.symbols[0]
    given_characters = "".join(column.label(number) for number in series.symbols[:, 0])
    return given_characters, "".join(column.label(number) for number in series.targets)


def test_a_text_is_divided_by_time_and_each_part_predicts_its_next_characters():
    parts, notes = parts_of("to be or not to be, that" + "beta" + "tabe", val_fraction=4 / 32,
                            test_fraction=4 / 32)  # fmt: skip
    assert [spell(part) for part in parts] == [
        ("to be or not to be, tha", "o be or not to be, that"),
        ("bet", "eta"),
        ("tab", "abe"),
    ]
    assert [part.scored for part in parts] == [None, None, None]
    assert [part.offset for part in parts] == [0, 24, 28]
    assert notes == []


def test_the_vocabulary_is_the_sorted_characters_of_the_training_part():
    fractions = {"val_fraction": 4 / 16, "test_fraction": 4 / 16}
    parts, _ = parts_of("baéb€bab" + "azab" + "bzab", **fractions)
    schema = parts.training.schema
    assert schema.symbols[0].values == ("a", "b", "é", "€")
    assert schema.target == schema.symbols[0]
    assert (schema.kind, schema.numbers, schema.classes) == ("text", (), 4)
    assert Schema.from_dict(schema.to_dict()) == schema


def test_unknown_characters_have_the_number_after_the_last_and_are_not_scored():
    parts, notes = parts_of("abababab" + "aXbb" + "ab\x1bY", val_fraction=0.25, test_fraction=0.25)
    assert parts.validation.symbols[:, 0].tolist() == [0, 2, 1]
    assert parts.validation.targets.tolist() == [0, 1, 1]
    assert parts.validation.scored.tolist() == [False, True, True]
    assert parts.test.symbols[:, 0].tolist() == [0, 1, 2]
    assert parts.test.targets.tolist() == [1, 0, 0]
    assert parts.test.scored.tolist() == [True, False, False]
    assert parts.training.scored is None
    assert notes == [
        "the validation part in `main.txt` has 1 character (1 different) that the training part "
        "does not have, 'X': not scored",
        "the test part in `main.txt` has 2 characters (2 different) that the training part does "
        r"not have, '\x1b', 'Y': not scored",
    ]


def test_a_note_names_the_five_most_frequent_unknown_characters():
    Path("own.txt").write_text("ab" + "".join(c * n for n, c in enumerate("pqrstuv", start=1)))
    _, [note] = parts_of("ab" * 20, val_data="own.txt")
    assert "has 28 characters (7 different)" in note
    assert note.endswith("'v', 'u', 't', 's', 'r' and others: not scored")


def test_a_part_with_a_file_of_its_own_takes_no_share_of_the_main_file():
    Path("val.txt").write_text("aab")
    Path("test.txt").write_text("bba")
    parts, _ = parts_of("ab" * 20, val_data="val.txt", test_data="test.txt")
    assert [len(part) for part in parts] == [39, 2, 2]
    assert spell(parts.validation) == ("aa", "ab")
    assert spell(parts.test) == ("bb", "ba")
    parts, _ = parts_of("ab" * 20, val_data="val.txt", test_fraction=0.25)
    assert [len(part) for part in parts] == [29, 2, 9]


def test_a_whole_text_is_read_with_a_trained_models_vocabulary():
    schema = parts_of("abc" * 20)[0].training.schema
    Path("other.txt").write_text("cab?c")
    series, notes = text.read_whole(Path("other.txt"), schema, DataConfig())
    assert series.symbols[:, 0].tolist() == [2, 0, 1, 3]
    assert series.targets.tolist() == [0, 1, 0, 2]
    assert series.scored.tolist() == [True, True, False, True]
    assert notes == [
        "`other.txt` has 1 character (1 different) that the training part does not have, '?': "
        "not scored"
    ]
    assert series.schema == schema


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.text(st.sampled_from("ab\r\n\0é€😀\ufeff"), min_size=30, max_size=80),
    piece=st.integers(1, 20),
)
def test_a_text_read_in_pieces_is_the_one_that_python_decodes(content, piece, monkeypatch):
    monkeypatch.setattr(text, "PIECE", piece)
    content = "ab" + content + "ab" * 11  # Both ends can be predicted.
    parts, _ = parts_of(content)
    content = content.replace("\r\n", "\n").replace("\r", "\n")
    column = parts.training.schema.symbols[0]
    first = content[: len(content) - 2 * round(len(content) * 0.1)]
    assert column.values == tuple(sorted(set(first)))
    assert spell(parts.training) == (first[:-1], first[1:])


def test_a_byte_order_mark_is_skipped():
    parts, _ = parts_of(b"\xef\xbb\xbf" + b"a\r\nb\n" * 10)
    assert spell(parts.training)[0].startswith("a\nb\na")
    assert parts.training.schema.symbols[0].values == ("\n", "a", "b")


def test_a_vocabulary_of_more_than_255_characters_takes_two_bytes_each():
    characters = "".join(map(chr, range(0x4E00, 0x4E00 + 256)))
    parts, _ = parts_of(characters * 2, val_fraction=0.1, test_fraction=0.1)
    assert parts.training.symbols.dtype == np.uint16
    assert spell(parts.training)[0] == (characters * 2)[: len(parts.training)]


def test_memory_stays_near_the_size_of_the_file():
    size = 30_000_000
    content = np.random.default_rng(0).integers(97, 123, size, dtype=np.uint8).tobytes()
    Path("main.txt").write_bytes(content)
    del content
    tracemalloc.start()
    parts, _ = text.read_parts(DataConfig(data="main.txt"))
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(parts.training) == size * 0.8 - 1
    assert kept < 1.05 * size
    assert peak < 1.7 * size  # The places of all of Unicode are 9 MB of it.
    assert all(np.shares_memory(part.symbols, part.targets) for part in parts)


# --- errors


def test_a_file_that_is_not_there_or_an_empty_folder_is_refused():
    with pytest.raises(FileError, match=r"there is no text file `no\.txt`"):
        text.read_parts(DataConfig(data="no.txt"))
    Path("folder.txt").mkdir()
    with pytest.raises(FileError, match=r"the folder `folder\.txt` has no file"):
        text.read_parts(DataConfig(data="folder.txt"))
    with pytest.raises(FileError, match=r"there is no text file `own\.txt`"):
        parts_of("ab" * 20, test_data="own.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "`main.txt` is empty: expected at least two"),
        (b"\xef\xbb\xbf", "`main.txt` is empty"),
        ("é", "`main.txt` has only one character: expected at least two"),
        (
            "abab",
            "the validation part in `main.txt` has 0 of its 4 characters: expected at least 2",
        ),
        ("a" * 30 + "b" * 5, "the training part of `main.txt` consists of one character, 'a'"),
        ("ab" * 20 + "X" * 5, "the test part in `main.txt` has no character to predict"),
    ],
)
def test_a_text_with_nothing_to_predict_is_refused(content, message):
    with pytest.raises(FileError) as caught:
        parts_of(content)
    assert caught.value.message.startswith(message)
    assert caught.value.hint


def test_a_part_that_is_too_short_is_refused_with_the_option_that_helps():
    with pytest.raises(FileError) as caught:
        parts_of("ab" * 20, test_fraction=0.01)
    assert caught.value.message.startswith("the test part in `main.txt` has 0 of")
    assert "`--test-data`" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "line", "byte", "value"),
    [
        (b"abc\nd\xffe", 2, 5, "0xff"),
        (b"\xef\xbb\xbfa\r\nb\rc\n\xe9t\xe9", 4, 10, "0xe9"),
        ("né\nö".encode() + b"\xe2\x82", 2, 6, "0xe2"),  # It ends within a character.
        (b"a" * 11 + b"\xe2\x82" + b"a" * 11, 1, 11, "0xe2"),
    ],
)
@pytest.mark.parametrize("piece", [1, 4, 1 << 20])
def test_a_byte_that_no_utf_8_has_is_named_by_line_and_offset(
    content, line, byte, value, piece, monkeypatch
):
    monkeypatch.setattr(text, "PIECE", piece)
    with pytest.raises(FileError) as caught:
        parts_of(content)
    assert caught.value.message == (
        f"`main.txt`, line {line}, byte {byte} (from 0 on): expected UTF-8 text, got `{value}`"
    )
    assert "--encoding" in caught.value.hint


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "windows-1252", "utf-8-sig"]
)
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_a_text_in_the_encoding_that_its_error_names_is_what_it_is_in_utf_8(
    encoding, piece, monkeypatch
):
    monkeypatch.setattr(text, "PIECE", piece)
    words = "It\u2019s gr\xf6\xdfer \u2013 \u201cso\u201d, said he.\n" * 20
    expected, _ = parts_of(words.encode())
    content = words.encode(encoding)
    if encoding == "utf-8-sig":  # Its mark is no character.
        found, notes = parts_of(content)
    else:
        with pytest.raises(FileError) as caught:
            parts_of(content)
        assert f"`--encoding {encoding}`" in caught.value.hint
        found, notes = parts_of(content, encoding=encoding)
    assert found.training.schema == expected.training.schema
    for part, same in zip(found, expected, strict=True):
        assert np.array_equal(part.targets, same.targets)
    assert notes == []


@pytest.mark.parametrize("piece", [1, 2, 5, 1 << 20])
@pytest.mark.parametrize(("end", "name"), [("\r\n", "CR LF"), ("\r", "CR")])
def test_line_ends_are_one_character_whatever_the_file_has(end, name, piece, monkeypatch):
    monkeypatch.setattr(text, "PIECE", piece)
    words = "a line of it\nanother\n\n" * 20
    expected, _ = parts_of(words.encode())
    found, notes = parts_of(words.replace("\n", end).encode())
    assert "\r" not in found.training.schema.symbols[0].values
    for part, same in zip(found, expected, strict=True):
        assert np.array_equal(part.targets, same.targets)
    assert notes == [f"`main.txt` has line ends {name}, which are read as `\\n`"]


def test_an_encoding_that_python_does_not_know_is_refused():
    for name in ("latin-97", "hex"):
        with pytest.raises(UsageError, match="--encoding"):
            DataConfig(data="a.txt", encoding=name)


def test_a_text_that_grows_while_it_is_read_is_refused(monkeypatch):
    schema = text._schema

    def meanwhile(*arguments):
        with Path("main.txt").open("a") as file:
            file.write("more")
        return schema(*arguments)

    monkeypatch.setattr(text, "_schema", meanwhile)
    with pytest.raises(FileError, match="was changed while it was read"):
        parts_of("ab" * 20)
