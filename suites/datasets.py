"""Rows of a dataset one after another, and why a row cannot be read; a broken row ends nothing.

Files of JSON lines, CSV (both may be gzip) and Parquet, and datasets of a hub.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.errors import BadConfig, StoreDown

Row = dict[str, Any]

HUB = "hub:"
# A longer line or cell is broken, not read.
_LINE_BYTES = 16 << 20
_EXTRA = "needs {}: install vedette[evaluate]"


def read_rows(key: str, source: str, folder: Path) -> Iterator[Row | str]:
    """The rows of a dataset in their order; a word where one cannot be read.

    `source` is a path, relative to `folder`, or `hub:NAME[:CONFIG]#SPLIT`; `key` is the
    configuration's that named it. Raises BadConfig for one that cannot be read at all, and
    StoreDown for a hub that is away.
    """
    if source.startswith(HUB):
        return _hub(key, source.removeprefix(HUB))
    path = folder / Path(source).expanduser()
    if not path.is_file():
        raise BadConfig(key, f"{source} is no file")
    try:
        path.open("rb").close()
    except OSError as error:
        raise BadConfig(key, f"{source} cannot be read ({type(error).__name__})") from None
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind not in _READERS or (kind == "parquet" and path.suffix == ".gz"):
        raise BadConfig(key, f"{source} is neither .jsonl, .csv (or these as .gz) nor .parquet")
    return _READERS[kind](key, path)


def at(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column, None where there is none; `a.b` is `b` of what column `a` holds."""
    if column in row:
        return row[column]
    head, dot, rest = column.partition(".")
    inner = row.get(head) if dot else None
    return at(inner, rest) if isinstance(inner, Mapping) else None


def holds(row: Mapping[str, Any], where: Mapping[str, str]) -> bool:
    """Whether a row's columns have these values."""
    return all(str(at(row, column)) == value for column, value in where.items())


def _opened(path: Path) -> io.BufferedReader:
    if path.suffix == ".gz":
        return io.BufferedReader(gzip.GzipFile(path))
    return path.open("rb")


def _json_lines(key: str, path: Path) -> Iterator[Row | str]:
    with _opened(path) as stream:
        whole = True
        while True:
            try:
                line = stream.readline(_LINE_BYTES)
            except (EOFError, OSError, zlib.error):
                yield "truncated"
                return
            if not line:
                return
            starts, whole = whole, line.endswith(b"\n")
            if starts and line.strip():
                yield "too_large" if len(line) == _LINE_BYTES and not whole else _json(line)


def _json(line: bytes) -> Row | str:
    try:
        found = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return "encoding"
    except (ValueError, RecursionError):
        return "json"
    return found if isinstance(found, dict) else "not_an_object"


def _csv(key: str, path: Path) -> Iterator[Row | str]:
    csv.field_size_limit(_LINE_BYTES)
    with _opened(path) as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        rows = csv.DictReader(text, strict=True)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error:
                yield "csv"
                continue
            except (EOFError, OSError, zlib.error):
                yield "truncated"
                return
            yield _cells(row)


def _cells(row: dict[Any, Any]) -> Row | str:
    if None in row or None in row.values():
        return "cells"  # more or fewer than there are columns
    try:
        "".join(row.values()).encode()
    except UnicodeEncodeError:
        return "encoding"
    return row


def _parquet(key: str, path: Path) -> Iterator[Row | str]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise BadConfig(key, _EXTRA.format("pyarrow")) from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(1024):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise BadConfig(key, f"{path.name} is no Parquet file ({type(error).__name__})") from None


def _hub(key: str, source: str) -> Iterator[Row | str]:
    named, mark, split = source.partition("#")
    name, _, config = named.partition(":")
    if not name or not mark or not split:
        raise BadConfig(key, f"{HUB}{source} is not {HUB}NAME#SPLIT or {HUB}NAME:CONFIG#SPLIT")
    try:
        import datasets
    except ImportError:
        raise BadConfig(key, _EXTRA.format("datasets")) from None
    datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset(name, config or None, split=split)
    except (datasets.exceptions.DatasetsError, ValueError, FileNotFoundError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise BadConfig(key, f"{HUB}{source} cannot be loaded: {said}") from None
    # What the hub's client raises when it cannot be reached, and when it tries again after that.
    except (OSError, RuntimeError) as error:
        raise StoreDown(f"{key}: the hub does not answer ({type(error).__name__})") from None
    return iter(found)


_READERS = {"jsonl": _json_lines, "csv": _csv, "parquet": _parquet}
