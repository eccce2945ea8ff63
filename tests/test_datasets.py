"""Rows of datasets: JSON lines, CSV, Parquet and a folder as the hub's library reads it."""

import csv
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent.errors import BadConfig, StoreDown
from suites.datasets import at, holds, read_rows
from tests.evaluated import write_lines

ROWS: list[dict[str, Any]] = [
    {"question": f"What is {i}?", "answer": f"It is {i}.\n#### {i}", "choices": {"label": ["A"]}}
    for i in range(5)
]


def rows(source: str | Path, folder: Path = Path("/")) -> list[dict[str, Any] | str]:
    return list(read_rows("tasks.x.data", str(source), folder))


def test_json_lines_plain_and_packed(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [ROWS[0], "", "{broken", "7", ROWS[1], "nul"])
    assert rows("a.jsonl", tmp_path) == [ROWS[0], "json", "not_an_object", ROWS[1], "json"]
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert rows(packed) == rows(path)
    (tmp_path / "c.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\n{"a": "\xff"}\n{"a": 2}')
    assert rows(tmp_path / "c.jsonl") == [{"a": 1}, "encoding", {"a": 2}]
    (tmp_path / "d.jsonl").write_text("[" * 100_000 + "\n" + json.dumps(ROWS[0]))
    assert rows(tmp_path / "d.jsonl") == ["json", ROWS[0]]


def test_an_archive_that_was_cut_gives_what_is_whole(tmp_path: Path) -> None:
    noise = [{"n": i, "noise": os.urandom(40).hex()} for i in range(2000)]
    data = "".join(json.dumps(row) + "\n" for row in noise).encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(data)[:60_000])
    found = rows(tmp_path / "a.jsonl.gz")
    assert found[-1] == "truncated" and 100 < len(found) < 2000
    assert found[:100] == noise[:100]


def test_csv_with_rows_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        made = csv.writer(file)
        made.writerows([["q", "a"], ["one, two", 'say "x"\nand y'], ["short"], ["a", "b", "long"]])
    path.write_bytes(path.read_bytes() + b'\xff,x\r\n"a"b,c\r\nlast,row\r\n')
    assert rows(path) == [
        {"q": "one, two", "a": 'say "x"\nand y'}, "cells", "cells", "encoding", "csv",
        {"q": "last", "a": "row"},
    ]  # fmt: skip


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert rows(tmp_path / "a.parquet") == ROWS
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(BadConfig, match=r"tasks\.x\.data: b\.parquet is no Parquet file"):
        rows(tmp_path / "b.parquet")


def test_a_split_as_the_library_of_the_hub_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    write_lines(folder / "test.jsonl", ROWS[:3])
    write_lines(folder / "train.jsonl", ROWS[3:])
    assert rows(f"hub:{folder}#test") == ROWS[:3]
    with pytest.raises(BadConfig, match=r"cannot be loaded: .*validation"):
        rows(f"hub:{folder}#validation")


@pytest.mark.parametrize("error", [ConnectionError("no route"), RuntimeError("client is closed")])
def test_a_hub_that_is_away_is_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="datasets is not installed")

    def away(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("datasets.load_dataset", away)
    with pytest.raises(StoreDown, match=r"^tasks\.x\.data: the hub does not answer \("):
        rows("hub:a/b#test")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("gone.jsonl", "gone.jsonl is no file"),
        ("a.txt", "is neither .jsonl, .csv"),
        ("hub:name", "is not hub:NAME#SPLIT"),
        ("hub:#test", "is not hub:NAME#SPLIT"),
    ],
)
def test_what_is_no_dataset_is_one_line(tmp_path: Path, source: str, why: str) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(BadConfig) as caught:
        rows(source, tmp_path)
    assert str(caught.value).startswith("tasks.x.data: ") and why in str(caught.value)


def test_a_file_that_may_not_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(tmp_path / "locked.jsonl", [{"a": 1}])

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadConfig, match=r"locked\.jsonl cannot be read \(PermissionError\)"):
        read_rows("tasks.t.data", "locked.jsonl", tmp_path)


def test_columns_within_columns() -> None:
    row = {"outputs": {"m-1.5": "x", "n": None}, "a.b": 1, "n": 3}
    assert at(row, "outputs.m-1.5") == "x" and at(row, "a.b") == 1
    assert at(row, "outputs.gone") is None and at(row, "n.x") is None
    assert holds(row, {"n": "3", "outputs.m-1.5": "x"}) and not holds(row, {"n": "4"})
