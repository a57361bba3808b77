"""Streams that `lstmcli predict` is given: in pieces, in two calls, with bad lines, in a pipe."""

import io
import signal
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas._libs.parsers import STR_NA_VALUES

from lstmcli.inference import cells, streams
from lstmcli.inference.predict import Stream
from lstmcli.training import load
from streaming import by_pandas, make_kind, zipped


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture
def enter(folder, monkeypatch):
    """Makes a kind's files, and goes to their folder."""

    def go(kind, replicas=1):
        made = make_kind(kind, folder, replicas)
        monkeypatch.chdir(made.folder)
        for left in ("state", "other", "half"):
            Path(left).unlink(missing_ok=True)
        return made

    return go


@pytest.fixture
def piped(run, monkeypatch):
    """Runs `predict` on a standard input of some bytes."""

    def go(content, *options, exit_code=0):
        text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")
        monkeypatch.setattr("lstmcli.cli.predict.standard_input", lambda: text.buffer)
        return run("predict", "run", *options, exit_code=exit_code)

    return go


def opened(seeds=None):
    _, model = load.read_own_checkpoint(Path("run"))
    return Stream(model, seeds or model.seeds[:1], "lines")


def fed(stream, content, sizes):
    """What a stream answers to some bytes that come in pieces of these sizes, over and over."""
    found, begin, turn = [*stream.begin()], 0, 0
    while begin < len(content):
        piece = content[begin : begin + sizes[turn % len(sizes)]]
        begin, turn = begin + len(piece), turn + 1
        found += [each for some in stream.feed(piece) for each in some]
    return found + [each for some in stream.feed(b"", final=True) for each in some]


@pytest.mark.parametrize("kind", ["residual", "groups", "several", "echo", "text"])
def test_nothing_depends_on_how_much_comes_at_a_time(kind, enter):
    content = b"".join(Path(enter(kind).data).read_bytes().splitlines(keepends=True)[:400])[:9000]
    whole = fed(opened(), content, [1 << 20])
    for sizes in ([1], [7, 300, 1], [5000, 3]):
        assert fed(opened(), content, sizes) == whole
    assert len(whole) > 100


@pytest.mark.parametrize("options", [(), ("--ensemble",), ("--seed", 2)])
@pytest.mark.parametrize("kind", ["residual", "groups", "calendar", "adding", "text"])
def test_a_stream_in_two_halves_gives_what_it_gives_whole(kind, options, enter, piped):
    content = Path(enter(kind, replicas=3).data).read_bytes()
    whole = piped(content, *options).stdout
    middle = len(content) // 2 if kind == "text" else content.index(b"\n", len(content) // 2) + 1
    first = piped(content[:middle], "--state", "state", *options).stdout
    assert first + piped(content[middle:], "--state", "state", *options).stdout == whole
    assert whole.count("\n") > 1000


def test_the_header_may_come_again_with_each_call(enter, piped):
    lines = Path(enter("residual").data).read_bytes().splitlines(keepends=True)
    whole = piped(b"".join(lines)).stdout.splitlines()
    piped(b"".join(lines[:500]), "--state", "state")
    second = piped(b"".join([lines[0], *lines[500:]]), "--state", "state").stdout.splitlines()
    assert second == [whole[0], *whole[500:]]


def test_a_text_may_be_cut_within_a_character_and_within_a_line_end(enter, piped):
    enter("text")
    content = "ab\r\nbc äc\r\n".encode() * 3
    whole = piped(content)
    assert "'\\xe4'" in whole.stderr or "'ä'" in whole.stderr
    for cut in range(1, len(content)):
        Path("state").unlink(missing_ok=True)
        parts = [piped(part, "--state", "state").stdout for part in (content[:cut], content[cut:])]
        assert "".join(parts) == whole.stdout


def test_a_dataset_of_arrays_goes_on_too(enter, run):
    enter("arrays")
    whole = run("predict", "run", "arrays.npz").stdout
    with np.load("arrays.npz") as arrays:
        for name, part in (("one", slice(0, 1777)), ("two", slice(1777, None))):
            np.savez(f"{name}.npz", **{key: each[part] for key, each in arrays.items()})
    halves = [
        run("predict", "run", f"{each}.npz", "--state", "state").stdout for each in ("one", "two")
    ]
    assert "".join(halves) == whole


def test_an_ensemble_is_the_mean_of_its_seeds(enter, run):
    for kind in ("residual", "classes_of_table"):
        data = enter(kind, replicas=3).data
        each = [fed_values(run("predict", "run", data, "--seed", seed).stdout) for seed in range(3)]
        ensemble = fed_values(run("predict", "run", data, "--ensemble").stdout)
        if kind == "residual":
            np.testing.assert_allclose(ensemble, np.mean(each, 0), atol=1e-4)
        else:
            model = load.read_own_checkpoint(Path("run"))[1]
            chances = np.mean([by_pandas(make_at("."), replica) for replica in range(3)], 0)
            np.testing.assert_allclose(ensemble, chances.max(1), atol=1e-6)
            assert model.seeds == [0, 1, 2]
    told = run("predict", "run", data).stderr
    assert "using seed 0, the first of 3" in told


def make_at(place):
    """What `by_pandas` needs of a kind that is there already."""
    return type("Kind", (), {"folder": Path(place), "data": "table.csv"})


def fed_values(text):
    return pd.read_csv(io.StringIO(text)).iloc[:, -1].to_numpy()


BAD = [
    ("2021-03-01 03:30:00,warm,8.1,dry,high", "column `level`: expected a number", "`warm`"),
    ("2021-03-01 03:30:00,1e99,8.1,dry,high", "column `level`: expected a number", "`1e99`"),
    ("2021-03-01 03:30:00,99,1_0,dry,high", "column `temp`: expected a number", "`1_0`"),
    ("2021-03-01 03:30:00,99,8.1,hail,high", "column `word`: expected one of", "`hail`"),
    ("2021-03-01 03:30:00,99,8.1", "expected 5 cells", "`2021-03-01 03:30:00,99,8.1`"),
    ("yesterday,99,8.1,dry,high", "column `time`: expected a date", "`yesterday`"),
    ("2020-03-01,99,8.1,dry,high", "column `time`: expected a value not before", "2020"),
    ('2021-03-01 03:30:00,99,8.1,"dry,high', "expected quotes that are closed", "dry"),
]


@pytest.mark.parametrize(("line", "expected", "got"), BAD)
def test_a_bad_line_is_named_and_leaves_everything_as_it_is(line, expected, got, enter, piped):
    lines = Path(enter("residual").data).read_text().splitlines()
    good = piped("\n".join(lines[:60]).encode()).stdout.splitlines()
    content = "\n".join([*lines[:5], line, *lines[5:60]]).encode()
    found = piped(content)
    answers = found.stdout.splitlines()
    assert [*answers[:5], *answers[6:]] == good
    assert answers[5] == ""
    [warning] = found.stderr.splitlines()
    assert warning.startswith(
        f"warning: `standard input`, line 6{',' if 'column' in expected else ':'} "
    )
    assert expected in warning
    assert got in warning
    strict = piped(content, "--strict", "--state", "state", exit_code=4)
    assert strict.stdout.splitlines() == good[:5]
    assert warning[9:].removesuffix(": no prediction") in strict.stderr
    assert (
        piped("\n".join(lines[5:60]).encode(), "--state", "state").stdout.splitlines() == good[5:]
    )


def test_blank_lines_stay_blank_and_count_as_nothing(enter, piped):
    lines = Path(enter("residual").data).read_text().splitlines()[:10]
    good = piped("\n".join(lines).encode()).stdout.splitlines()
    found = piped("\r\n".join([*lines[:4], "", *lines[4:]]).encode()).stdout.splitlines()
    assert found == [*good[:4], "", *good[4:]]


def test_further_columns_pass_through(enter, run):
    made = enter("residual")
    table = pd.read_csv(made.data, dtype=str, keep_default_na=False)
    table["prediction"] = 'a "mark", and more'
    table.to_csv("more.csv", index=False)
    kept = run("predict", "run", "more.csv", "--keep", "state,prediction,level").stdout
    found = pd.read_csv(io.StringIO(kept), dtype=str, keep_default_na=False)
    assert list(found) == ["time", "prediction", "state", "file_prediction", "level"]
    assert (found.file_prediction == 'a "mark", and more').all()
    assert (found.level == table.level).all()


def test_a_compressed_table_is_read_as_it_is(enter, run):
    made = enter("residual")
    name = zipped(Path(made.data))
    assert run("predict", "run", name).stdout == run("predict", "run", made.data).stdout
    Path("cut.csv.gz").write_bytes(Path(name).read_bytes()[:-9])
    assert "`cut.csv.gz` is damaged" in run("predict", "run", "cut.csv.gz", exit_code=4).stderr


def test_the_state_of_another_model_is_refused(enter, piped, run):
    content = Path(enter("residual", replicas=3).data).read_bytes()
    piped(content[:2000], "--state", "state")
    for options, data in ((("--seed", 1), content), (("--ensemble",), content)):
        found = piped(data, "--state", "state", *options, exit_code=4).stderr
        assert "`state` holds the state of another model, or of other seeds" in found
    whole = Path("state").read_bytes()
    Path("state").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "or is damaged" in piped(content, "--state", "state", exit_code=4).stderr
    Path("other").write_text("mine\n")
    assert "holds no state" in piped(content, "--state", "other", exit_code=4).stderr
    assert Path("other").read_text() == "mine\n"


def test_sequences_that_rest_for_long_begin_anew_and_memory_has_an_end(enter, monkeypatch):
    enter("groups")
    lines = Path("table.csv").read_text().splitlines()
    whole = fed(opened(), "\n".join(lines).encode(), [1 << 20])
    monkeypatch.setattr(streams, "MOST_SEQUENCES", 2)
    stream = opened()
    assert fed(stream, "\n".join(lines).encode(), [1 << 20]) != whole
    assert len(stream._lines.sequences) == 2


def test_memory_does_not_grow_with_the_lines(enter):
    enter("residual")
    lines = Path("table.csv").read_text().splitlines()
    stream = opened()
    header, row = lines[0].encode() + b"\n", lines[1].encode() + b"\n"
    peaks = []
    tracemalloc.start()
    for data in (header + row * 500, row * 500, row * 3000):
        tracemalloc.reset_peak()
        for begin in range(0, len(data), 1 << 14):
            for answers in stream.feed(data[begin : begin + (1 << 14)]):
                assert answers
        peaks.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert peaks[2] < peaks[1] + 100_000


@pytest.fixture
def process(enter):
    """`predict` in a process of its own, with pipes."""
    enter("residual")
    started = []

    def start(*options, **settings):
        command = [sys.executable, "-m", "lstmcli", "predict", "run", *options]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, **pipes, **settings))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait()
        for pipe in (each.stdin, each.stdout, each.stderr):
            with suppress(BrokenPipeError):
                pipe.close()


def test_a_process_answers_each_line_as_it_comes_and_ctrl_c_keeps_the_state(process, piped):
    lines = Path("table.csv").read_bytes().splitlines(keepends=True)
    whole = piped(b"".join(lines)).stdout.encode().splitlines(keepends=True)
    running = process("--state", "state")
    for line, answer in zip(lines[:5], whole[:5], strict=True):
        running.stdin.write(line)
        running.stdin.flush()
        assert running.stdout.readline() == answer
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 130
    assert running.stderr.read() == b"error: stopped by Ctrl-C\n"
    assert piped(b"".join(lines[5:]), "--state", "state").stdout.encode() == b"".join(whole[5:])


def test_a_reader_that_goes_away_ends_it_silently(process):
    running = process()
    lines = Path("table.csv").read_bytes().splitlines(keepends=True)
    running.stdin.write(b"".join(lines[:2]))
    running.stdin.flush()
    running.stdout.readline()
    running.stdout.close()
    with suppress(BrokenPipeError):
        running.stdin.write(b"".join(lines[2:]))
        running.stdin.close()
    assert running.wait(20) == 0
    assert running.stderr.read() == b""


def test_neither_tensorflow_nor_pandas_is_loaded(enter):
    enter("calendar")
    code = (
        "import sys\nfrom lstmcli.cli.app import app\n"
        "app(['predict', 'run', 'table.csv', '--state', 'state'], standalone_mode=False)\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stderr.split()
    assert "numpy" in loaded
    assert not {"tensorflow", "keras", "pandas", "pyarrow", "scipy", "matplotlib"} & set(loaded)


def test_what_is_empty_in_a_table_is_empty_in_a_stream():
    assert cells.EMPTY == STR_NA_VALUES  # Pandas': the next release may know others.


@pytest.mark.parametrize(
    "text",
    ["2021/01/02 03:00", "2021/1/2", "2021-1-2 5:06", "2021.01.02", "2021-03", "2021/03", "2021",
     "20210102 0500", "2021-01-02T05:06Z", "2021-01-02 5:06:07.5+02:00", " 2021-01-02"],
)  # fmt: skip
def test_dates_are_read_line_by_line_as_in_a_file(text):
    expected = pd.to_datetime([text], format="ISO8601", utc=True)[0].tz_localize(None)
    assert cells.read_date(text, "ISO8601") == expected


@pytest.mark.parametrize("text", ["2021-13-02", "2021/01-02", "202103", "x", "2021-01-02 24:00"])
def test_what_is_no_date_in_a_file_is_none_line_by_line(text):
    with pytest.raises(ValueError, match=r"."):
        pd.to_datetime([text], format="ISO8601")
    with pytest.raises(ValueError, match=r"."):
        cells.read_date(text, "ISO8601")
