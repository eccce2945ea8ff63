"""Pages and their JSON: one reading for both, one copy for all who ask within a moment."""

import itertools
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from agent.errors import StoreDown
from agent.store import board, open_store
from consumers.server import copies as module
from consumers.server.copies import Copies
from consumers.server.flow import flow_of
from consumers.server.words import visible
from tests.serving import served, told
from tests.shown import copied


def test_a_page_and_its_numbers_are_answered_and_asked_again_by_tag(tmp_path: Path) -> None:
    with served(told(tmp_path)) as client:
        page = client.get("/pipeline", headers={"Accept": "text/html"})
        assert page.status_code == 200 and "<h1>Pipeline</h1>" in page.text
        again = client.get("/pipeline", headers={"If-None-Match": page.headers["etag"]})
        assert again.status_code == 304 and not again.content
        assert client.get("/api/pipeline").json()["received"] == 0
        assert client.get("/api/pipeline?letters=x").json() == {
            "error": "query.letters: Input should be a valid integer, unable to parse string as "
            "an integer"
        }


def test_the_first_reader_does_not_wait_for_what_can_be_made_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(told(tmp_path)) as client:
        made, late = TypeAdapter.__init__, list[object]()

        def noted(adapter: Any, kind: Any, **told: Any) -> None:
            late.append(kind)
            made(adapter, kind, **told)

        monkeypatch.setattr(TypeAdapter, "__init__", noted)
        assert client.get("/evaluations").status_code == 200 and len(late) <= 2  # what it may ask


def test_the_words_of_who_asked_first_are_on_nobody_elses_page(tmp_path: Path) -> None:
    with served(told(tmp_path)) as client:
        page = client.get("/pipeline?letters=5&token=mine").text
        assert "mine" not in page and 'href="/api/pipeline?letters=5"' in page


@pytest.mark.parametrize(
    ("path", "status", "why"),
    [("/nothing", 404, "Not Found"), ("/pipeline?letters=%3Cb%3E", 422, "query.letters: Input")],
)
def test_a_browser_is_told_by_a_page_what_is_wrong_and_a_program_by_a_line(
    tmp_path: Path, path: str, status: int, why: str
) -> None:
    with served(told(tmp_path)) as client:
        page = client.get(path, headers={"Accept": "text/html,*/*"})
        assert page.status_code == status and f"<p>{why}" in page.text and "<b>" not in page.text
        assert '<a href="/calls">' in page.text
        assert client.get(path).json()["error"].startswith(why)


def test_who_asks_within_a_moment_gets_the_same_copy() -> None:
    made, now = list[int](), [0.0]
    copies = Copies(2.0, lambda: now[0])

    def make() -> bytes:
        made.append(1)
        return b"page %d" % len(made)

    assert [copies.get("/", "text/html", make).body for _ in range(3)] == [b"page 1"] * 3
    now[0] = 2.0
    assert copies.get("/", "text/html", make).body == b"page 2"


def test_copies_are_bounded_by_number_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 3)
    monkeypatch.setattr(module, "_BYTES", 5_000)
    made, copies = list[str](), Copies(60.0)

    def ask(address: str, size: int) -> None:
        def make() -> bytes:
            made.append(address)
            return os.urandom(size)

        copies.get(address, "text/html", make)

    for address, size in (("a", 1), ("b", 1), ("c", 1), ("a", 1), ("d", 1), ("a", 1), ("b", 1)):
        ask(address, size)
    assert made == ["a", "b", "c", "d", "b"]
    for address, size in (("large", 5_000), ("e", 1), ("large", 5_000)):
        ask(address, size)
    assert made[5:] == ["large", "e", "large"]


def test_so_many_pages_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAKERS", 1)
    monkeypatch.setattr(module, "_WAIT_S", 0.05)
    copies, began, go = Copies(60.0), threading.Event(), threading.Event()

    def slow() -> bytes:
        began.set()
        assert go.wait(30)
        return b"slow"

    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(copies.get, "a", "text/html", slow)
        assert began.wait(30)
        with pytest.raises(StoreDown, match="no room: too many pages"):
            copies.get("b", "text/html", lambda: b"quick")
        go.set()
        assert asked.result().body == b"slow"
    assert copies.get("b", "text/html", lambda: b"quick").body == b"quick"


def test_what_would_not_be_seen_is_written_out() -> None:
    assert visible("a\u202eb\u200bc\U000e0041") == "a\\u202eb\\u200bc\\ue0041"
    assert visible("über\nzwei") == "über\nzwei"


def test_the_pipeline_shows_where_everything_went(shown: Path, tmp_path: Path) -> None:
    with served(copied(shown, tmp_path)) as client:
        found = client.get("/api/pipeline").json()
        assert found["received"] == sum(found["ends"].values()) > 600 and found["gap"] == 0
        assert found["ends"]["scored"] > 600 and found["ends"]["unreadable"] > 0
        (inbox,) = found["partitions"]
        assert (inbox["topic"], inbox["waiting"]) == ("inbox", 0)
        (source,) = found["sources"]
        assert source["source"] == "demo" and source["closed_through"] == source["paired_through"]
        assert sum(one["letters"] for one in found["reasons"]) == len(found["letters"]) > 0
        (candidate,) = found["candidates"]
        assert candidate["tickets"]["answered"] > 20 and candidate["left"]["calls"] < 2000
        assert found["versions"]["response_repetition"] == ["repetition 1"]
        page = client.get("/pipeline").text
        assert "calls are not accounted for" not in page
        for name, n in found["ends"].items():
            assert (f">{n:,}</tspan> {name.replace('_', ' ')}" in page) == (n > 0)


def test_what_is_missing_in_the_sum_is_said(shown: Path, tmp_path: Path) -> None:
    config = copied(shown, tmp_path)
    with closing(sqlite3.connect(tmp_path / "shown.db")) as db, db:
        db.execute("UPDATE offsets SET scored = scored - 3")
    with served(config) as client:
        assert client.get("/api/pipeline").json()["gap"] == 3
        assert "3 calls are not accounted for" in client.get("/pipeline").text


def test_a_flow_is_as_thick_as_its_share_and_its_labels_stand_apart() -> None:
    flow = flow_of({"scored": 9000, "shed": 0, "invalid": 999, "failed": 1})
    assert [one.name for one in flow.ribbons] == ["scored", "invalid", "failed"]
    assert sum(one.share for one in flow.ribbons) == pytest.approx(1.0)
    places = [one.at for one in flow.ribbons]
    assert min(b - a for a, b in itertools.pairwise(places)) >= 20
    assert flow.top + flow.bar <= flow.height and places[-1] < flow.height
    assert flow_of({}).ribbons == ()


def test_what_did_not_move_is_not_made_anew_for_half_a_minute() -> None:
    made, now, moved = list[int](), [0.0], [1]
    copies = Copies(5.0, lambda: now[0])

    def make() -> bytes:
        made.append(1)
        return b"page %d" % len(made)

    def seen_at(at: float) -> bytes:
        now[0] = at
        return copies.get("/", "text/html", make, lambda: moved[0]).body

    assert [seen_at(at) for at in (0.0, 6.0, 29.0)] == [b"page 1"] * 3
    moved[0] = 2
    assert [seen_at(at) for at in (34.0, 38.0, 63.0)] == [b"page 2"] * 3
    assert seen_at(69.0) == b"page 3"


def test_the_stamp_moves_with_closed_panes_and_findings(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/v.db")
    stamps = list[Any]()
    for query in (
        "INSERT INTO closing VALUES ('live', 10.0)",
        "UPDATE closing SET closed_through = 20.0",
        "INSERT INTO findings VALUES"
        " ('live', x'01', 'drift', 'warning', 'firing', 1, '', '', NULL, 3)",
        "UPDATE findings SET state = 'resolved', stored_at = 4",
        "INSERT INTO paired VALUES ('live', 10.0)",
    ):
        with store.transaction() as tx:
            stamps.append(board.stamp(tx))
            tx.exec_driver_sql(query)
            stamps.append(board.stamp(tx))
            assert stamps[-1] != stamps[-2]
    store.close()
