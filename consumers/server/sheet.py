"""The table of a page as CSV: numbers as they are, and texts that no spreadsheet runs."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from consumers.server.words import visible

# What a spreadsheet takes for the beginning of a formula, in wide letters too.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_BLANK = ("\t", "\r", "\n")


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a row of a page's table is, where the rows are in its answer, and what is no column."""

    row: type
    rows: Callable[[Any], Iterable[Any]]
    without: frozenset[str] = frozenset()


def as_csv(sheet: Sheet, found: Any) -> bytes:
    """The table of an answer with its header, in UTF-8; a line ends as RFC 4180 says."""
    names = [one.name for one in dataclasses.fields(sheet.row) if one.name not in sheet.without]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(names)
    for row in sheet.rows(found):
        writer.writerow([_cell(getattr(row, name)) for name in names])
    return written.getvalue().encode(errors="replace")


def _cell(value: Any) -> str | int | float:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, int | float):
        return value
    text = visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    risky = text.lstrip().startswith(_FORMULA) or text.startswith(_BLANK)
    return f"'{text}" if risky else str(text)
