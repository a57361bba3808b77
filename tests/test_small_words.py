"""Words that depend on a name or a number: they are right for each."""

from types import SimpleNamespace

import pytest

from lstmcli.cli import scores
from lstmcli.errors import FileError, UsageError
from lstmcli.runs import kept, paths


@pytest.mark.parametrize(
    ("name", "option"),
    [("data", "--data"), ("labels", "--labels"), ("val_data", "--val-data")],
)
def test_a_file_that_is_not_where_a_run_had_it_is_asked_for_by_its_own_option(
    name, option, tmp_path
):
    with pytest.raises(FileError, match="is not there") as caught:
        paths.with_data_from({"data": {name: "lost.csv"}}, tmp_path)
    assert f"`{option} FILE`" in caught.value.hint


@pytest.mark.parametrize(("count", "said"), [(1, "1 sequence\n"), (2000, "2,000 sequences\n")])
def test_one_sequence_is_no_plural(count, said, capsys, monkeypatch):
    monkeypatch.setattr(scores, "counted", lambda score: "sequences")
    score = SimpleNamespace(seed=3, labels=count, loss=0.5, accuracy=0.9)
    floor = SimpleNamespace(gap=lambda loss: 0.1, loss=0.4, oracle=0.4, accuracy=0.95)
    scores._print_beside_floor(score, floor)
    assert f"seed 3: {said}" in capsys.readouterr().out


def test_a_run_that_goes_on_with_a_file_of_another_kind_says_so(tmp_path):
    """Not that `--target`, which the run has, means nothing to a text."""
    directory = SimpleNamespace(base=tmp_path)
    for name in ("a.csv", "b.csv", "book.txt"):
        (tmp_path / name).write_text("x,y\n1,2\n")
    settings = {"data": {"data": "a.csv", "target": "y"}, "training": {}}
    with pytest.raises(UsageError, match=r"`--data` is a file that ends in `.csv` in this run"):
        kept._with_files(directory, settings, {"data": tmp_path / "book.txt"})
    found = kept._with_files(directory, settings, {"data": tmp_path / "b.csv"})
    assert found["data"]["data"].endswith("b.csv")
