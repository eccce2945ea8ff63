"""Records out of files and stdin."""

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from agent.broker import Format
from agent.errors import BadConfig
from consumers import files
from consumers.files import read_records

A, B = b'{"id": "a", "t": "x,]}[{\\""}', b'{"id": "b", "n": [1, {"c": []}]}'
PRETTY = orjson.dumps(orjson.loads(B), option=orjson.OPT_INDENT_2)
# An OTLP message starts with 0x0a and holds control bytes.
MESSAGE = b"\n\x0c\n\x00\x12\x08\n\x00\x12\x04\n\n\n\x00"
Pack = Callable[[bytes], bytes]


def read(path: Path, data: bytes, format: Format = "auto") -> list[bytes]:
    path.write_bytes(data)
    return list(read_records(str(path), format))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (A + b"\n" + B, [A, B]),
        (b"\n  " + A + b"\r\n\n" + B + b"\n", [A, B]),
        (A, [A]),
        (A + b"\n{torn\n" + B, [A, b"{torn", B]),
        (PRETTY, [PRETTY]),
        (PRETTY + b"\n" + PRETTY, [PRETTY, PRETTY]),
        (b"[" + A + b"," + B + b"]", [A, B]),
        (b"[\n " + A + b",\n " + B + b"\n]\n", [A, B]),
        (b"[" + A + b",7,NaN]", [A, b"7", b"NaN"]),
        (b"[" + A + b"]" + B, [A, B]),
        (b"[" + A + b',{"torn', [A, b'{"torn']),
        (b"[]", []),
        (b"", []),
        (b"42", [b"42"]),
        (MESSAGE, [MESSAGE]),
    ],
)
def test_the_records_of_a_file(
    tmp_path: Path, pack: Pack, data: bytes, expected: list[bytes]
) -> None:
    assert read(tmp_path / "f", pack(data)) == expected


def test_a_pb_file_is_one_record_whatever_it_starts_with(tmp_path: Path) -> None:
    assert read(tmp_path / "f.pb", b"\x12\n\n", "otlp") == [b"\x12\n\n"]
    assert read(tmp_path / "g.pb.gz", gzip.compress(b"{}\n{}")) == [b"{}\n{}"]
    assert read(tmp_path / "h.pb", b"{}\n{}", "native") == [b"{}", b"{}"]
    assert read(tmp_path / "i.pb", b"") == []


def test_stdin_is_read_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (A + b"\n" + B, gzip.compress(A + b"\n" + B)):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        assert list(read_records("-", "auto")) == [A, B]


def test_ndjson_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes((A + b"\n") * 100_000)
    records = read_records(str(path), "native")
    assert next(records) == A
    # What is read ahead is a buffer, so a line added now is still found at the end.
    with path.open("ab") as more:
        more.write(B)
    assert list(records)[-1] == B


def test_an_endless_line_is_cut_and_the_next_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LINE_BYTES", 50)
    assert read(tmp_path / "f", b"x" * 170 + b"\n" + A) == [b"x" * 50, A]


def test_a_hostile_document_is_split_in_linear_time(tmp_path: Path) -> None:
    # Each escaped quote once more looks like the start of a text: quadratic, this takes hours.
    data = b'["' + b'\\"' * 500_000
    assert read(tmp_path / "f", data) == [data[1:]]


@pytest.mark.parametrize("data", [None, b"\x1f\x8bnot gzip", gzip.compress(A * 1000)[:-20]])
def test_an_unreadable_file_is_named(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "f.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BadConfig, match=r"f\.json: cannot be read \(\w+\)"):
        list(read_records(str(path), "auto"))
    with pytest.raises(BadConfig):
        list(read_records(str(tmp_path), "auto"))
