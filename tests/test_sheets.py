"""Tables for spreadsheets: the rows of a page, and no cell that one of them would run."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consumers.server.sheet import Sheet, as_csv
from consumers.server.views import VIEWS
from tests.serving import served
from tests.shown import copied


@dataclass(frozen=True)
class One:
    value: Any


def cell(value: Any) -> str:
    made = as_csv(Sheet(One, lambda found: found), [One(value)]).decode()
    (head,), (found,) = csv.reader(io.StringIO(made, newline=""))
    assert head == "value"
    return found


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ('=HYPERLINK("http://evil","x")', "'=HYPERLINK(\"http://evil\",\"x\")"),
        ("@SUM(1,2)", "'@SUM(1,2)"),
        ("+1", "'+1"),
        ("-1+1", "'-1+1"),
        ("\t=1", "'\t=1"),
        ("  =1", "'  =1"),
        ("\r=1", "\\u000d=1"),
        ("\uff1d1", "'\uff1d1"),
        ("\u202e=1", "\\u202e=1"),
        ("\x00=1", "\\u0000=1"),
        ("a,b\n\"c\"", "a,b\n\"c\""),
        ("über", "über"),
        ({"tenant": "=1"}, '{"tenant": "=1"}'),
        (-1.5, "-1.5"),
        (math.nan, ""),
        (None, ""),
        (True, "True"),
    ],
)  # fmt: skip
def test_a_cell_is_a_number_or_a_text_and_never_a_formula(value: Any, written: str) -> None:
    assert cell(value) == written


def test_a_row_stays_a_row_whatever_it_holds() -> None:
    rows = [One("a\r\nb"), One('"'), One(",")]
    made = as_csv(Sheet(One, lambda found: found), rows).decode()
    assert len(list(csv.reader(io.StringIO(made, newline="")))) == 4


def test_every_table_is_that_of_its_page(shown: Path, tmp_path: Path) -> None:
    with served(copied(shown, tmp_path)) as client:
        for view in VIEWS:
            answer = client.get(f"/api/{view.name}.csv")
            if view.sheet is None:
                assert answer.status_code == 404
                continue
            assert answer.headers["content-type"] == "text/csv; charset=utf-8"
            assert (
                answer.headers["content-disposition"] == f'attachment; filename="{view.name}.csv"'
            )
            assert len(list(csv.DictReader(io.StringIO(answer.text, newline="")))) > 0, view.name
            assert f"/api/{view.name}.csv" in client.get(view.path).text
        calls = client.get("/api/calls?metric=latency").json()["worst"]["cases"]
        table = client.get("/api/calls.csv?metric=latency").text
        rows = list(csv.DictReader(io.StringIO(table, newline="")))
        assert [(row["id"], float(row["value"])) for row in rows] == [
            (one["id"], one["value"]) for one in calls
        ]
