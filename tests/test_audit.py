"""What people do by hand: it is done, it is in the audit, and so is what they were refused."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from agent.config import load_config
from agent.errors import BadConfig, StoreDown
from agent.record import DeadLetter
from agent.store import Store, audit, budgets, open_store, positions, writes
from agent.store.audit import Deed
from consumers.actions import By, audited
from consumers.cli import app
from consumers.server import access
from tests.serving import TOKENS, bearer, served

SHADOW = {"candidates": {"next": {"url": "https://models.example/v1", "model": "n", "rate": 0.1,
                                  "budget": {"calls": 10}}}}  # fmt: skip
CONFIG: dict[str, Any] = {"shadow": SHADOW, "models": False, "drift": {}}


@contextmanager
def admin(url: str, **server: Any) -> Iterator[TestClient]:
    config = load_config(store={"url": url}, server={"tokens": TOKENS, **server}, **CONFIG)
    with served(config) as client:
        yield client


def deeds(url: str) -> list[Deed]:
    with closing(open_store(url, writer=False)) as store, store.reading() as tx:
        return audit.newest(tx, 50)


def last(url: str) -> tuple[str, ...]:
    one = deeds(url)[0]
    return one.who, one.way, one.action, one.about, one.why, one.outcome, one.detail


def test_what_is_done_is_entered_before_and_after(any_store: Store) -> None:
    by = By("ann", "command", 5.0, "it is rude")

    def entered() -> list[tuple[str, str]]:
        with any_store.reading() as tx:
            return [(one.outcome, one.detail) for one in audit.newest(tx, 2)]

    with audited(any_store, by, "stop candidate", "next") as said:
        assert entered() == [("begun", "")]
        said.append("it had been stopped")
    assert entered() == [("done", "it had been stopped")]
    for error, outcome in ((BadConfig("a", "b"), "refused"), (StoreDown("away"), "failed")):
        with pytest.raises(type(error)), audited(any_store, by, "x", "y"):
            raise error
        assert entered()[0] == (outcome, str(error))
    with any_store.reading() as tx:
        (newest,) = audit.newest(tx, 1)
    assert newest == Deed(5.0, "ann", "command", "x", "y", "it is rude", "failed", "away")


def test_a_candidate_is_stopped_and_goes_on(sqlite_url: str) -> None:
    with admin(sqlite_url) as client:
        where, keeper = "/api/candidates/next", bearer("keeper")
        answer = client.post(f"{where}/stop", headers=keeper, json={"why": "it is rude"})
        assert (answer.status_code, answer.json()) == (200, {"candidate": "next", "stopped": True})
        row = ("keeper", "http", "stop candidate", "next", "it is rude", "done", "")
        assert last(sqlite_url) == row
        with closing(open_store(sqlite_url, writer=False)) as store, store.reading() as tx:
            assert budgets.stopped(tx)["next"]["who"] == "keeper"
        assert client.post(f"{where}/resume", headers=keeper).json()["stopped"] is False
        client.post(f"{where}/resume", headers=keeper)
        assert last(sqlite_url)[5:] == ("done", "nobody had stopped it")


def test_what_cannot_be_done_is_refused_and_entered(sqlite_url: str) -> None:
    with admin(sqlite_url) as client:
        keeper = bearer("keeper")
        for path, body, said in (
            ("candidates/nobody/stop", {"why": "x"}, "candidate: unknown candidate nobody; known"),
            ("rebaselines", {"why": "x", "metric": "error"}, "rebaseline: no series of metric err"),
        ):
            answer = client.post(f"/api/{path}", headers=keeper, json=body)
            assert answer.status_code == 422 and answer.json()["error"].startswith(said)
            assert last(sqlite_url)[5] == "refused" and last(sqlite_url)[6].startswith(said)
        client.post("/api/candidates/next/stop", headers=bearer("looker"), json={"why": "x"})
        row = ("looker", "http", "ask", "/api/candidates/next/stop", "", "refused")
        assert last(sqlite_url)[:6] == row
        before = len(deeds(sqlite_url))
        unclear: list[
            tuple[str, dict[str, Any], str]
        ] = [  # nobody knows what was wanted: nothing is entered
            ("candidates/next/stop", {}, "why: Field required"),
            ("candidates/next/stop", {"why": " "}, "why: String should have at least 1"),
            ("candidates/next/stop", {"why": "a\u0000b"}, "why: String should match"),
            ("rebaselines", {"why": "x"}, "body: name a service, model,"),
            ("rebaselines", {"why": "x", "all": True, "from": "now", "to": "then"}, "from: now is"),
            ("dead-letters/replay", {"reasons": "json"}, "reasons: unknown key"),
        ]
        for path, wrong, said in unclear:
            answer = client.post(f"/api/{path}", headers=keeper, json=wrong)
            assert answer.status_code == 422, path
            assert answer.json()["error"].startswith(said), answer.json()
        assert client.post("/api/rebaselines", json={"why": "x"}).status_code == 401
        assert len(deeds(sqlite_url)) == before


def test_dead_letters_come_back_from_a_form_too(sqlite_url: str) -> None:
    letters = [DeadLetter("inbox", 0, n, reason, "", 5.0, b"{") for n, reason in
               enumerate(("json", "json", "empty"))]  # fmt: skip
    with closing(open_store(sqlite_url)) as store, store.transaction() as tx:
        writes.insert_dead_letters(tx, letters, 6.0)
    with admin(sqlite_url) as client:
        before = client.get("/api/pipeline", headers=bearer("keeper")).json()
        assert {one["replayed_at"] for one in before["letters"]} == {None}
        answer = client.post(
            "/api/dead-letters/replay", headers=bearer("keeper"),
            data={"reason": "json", "why": "the parser is mended"},
        )  # fmt: skip
        assert (answer.status_code, answer.headers["location"]) == (303, "/pipeline#audit")
        assert last(sqlite_url)[2:] == (
            "replay dead letters", "json", "the parser is mended", "done", "2 replayed, 0 refused"
        )  # fmt: skip
        after = client.get("/api/pipeline", headers=bearer("keeper")).json()
        assert [bool(one["replayed_at"]) for one in after["letters"]] == [False, True, True]
        answer = client.post("/api/dead-letters/replay", headers=bearer("keeper"))
        assert answer.json() == {"replayed": 1, "refused": 0}
    with closing(open_store(sqlite_url)) as store, store.transaction() as tx:
        assert len(positions.read_inbox(tx, 1, 9)) == 3


def test_only_an_admin_sees_the_forms_and_all_see_what_was_done(sqlite_url: str) -> None:
    with closing(open_store(sqlite_url)) as store, store.transaction() as tx:
        writes.insert_dead_letters(tx, [DeadLetter("inbox", 0, 1, "json", "", 5.0, b"{")], 6.0)
    paths = ("dead-letters/replay", "candidates/next/stop", "rebaselines")
    with admin(sqlite_url) as client:
        keeper, looker = bearer("keeper"), bearer("looker")
        client.post("/api/candidates/next/stop", headers=keeper, json={"why": "<b>rude</b>"})
        client.post("/api/candidates/next/resume", headers=keeper)
        page = client.get("/pipeline", headers=keeper)
        assert all(f'action="/api/{path}"' in page.text for path in paths)
        # Otherwise a browser keeps from us where its form was.
        assert page.headers["referrer-policy"] == "same-origin"
        seen = client.get("/pipeline", headers=looker).text
        assert not any(f'action="/api/{path}"' in seen for path in paths)
        for text in (page.text, seen):
            assert "stop candidate: next" in text and "&lt;b&gt;rude&lt;/b&gt;" in text
            assert "<b>rude" not in text


def test_the_commands_leave_rows_too(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "v.yaml"
    path.write_text(json.dumps(CONFIG | {"store": {"url": sqlite_url}}))
    open_store(sqlite_url).close()
    for words in (
        ("shadow", "--stop", "next", "--why", "it is rude"),
        ("shadow", "--resume", "next"),
        ("shadow", "--stop", "nobody", "--why", "x"),
        ("rebaseline", "--metric", "error", "--why", "a new prompt"),
        ("dead-letters", "--replay", "--reason", "json"),
    ):
        CliRunner().invoke(app, [*words, "-c", str(path)])
    found = [(one.action, one.about, one.why, one.outcome) for one in reversed(deeds(sqlite_url))]
    assert found == [
        ("stop candidate", "next", "it is rude", "done"),
        ("resume candidate", "next", "", "done"),
        ("stop candidate", "nobody", "x", "refused"),
        ("rebaseline", "metric error", "a new prompt", "refused"),
        ("replay dead letters", "json", "", "done"),
    ]
    assert {one.way for one in deeds(sqlite_url)} == {"command"}


def test_an_action_is_not_repeated_without_end(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_ACTIONS", (0.01, 20))
    with admin(sqlite_url) as client:
        for name, status in (("keeper", 200), ("looker", 403)):
            tried = [client.post("/api/candidates/next/resume", headers=bearer(name)).status_code
                     for _ in range(22)]  # fmt: skip
            assert tried == [status] * 20 + [429] * 2
