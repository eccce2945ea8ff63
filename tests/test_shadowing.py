"""`vedette shadow` without a broker: what it refuses, shows and watches; the embedded drive."""

import json
import math
import os
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from agent.config import Config, load_config
from agent.errors import BadConfig, StoreDown
from agent.exposed import SERIES
from agent.record import Answer, Call
from agent.store import Store, budgets, open_store
from consumers.cli import app
from consumers.exporter import Health
from consumers.formats import parse
from consumers.inbox import Inbox
from consumers.metrics import Tally
from consumers.shadowing import STALL_S, Look, Told, embedded, open_models
from shadow.lanes import QUEUE_ASKS, QUEUE_BYTES
from shadow.reading import Reading
from tests.conftest import Clock
from tests.exposition import value
from tests.shadows import NOW, Voice, ask, asks_of, candidate, owe, shadow, states


class Rows:
    """Offsets as a test says them."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[int, int]] | None = {0: (0, 0)}
        self.shared_out = False

    def look(self) -> dict[int, tuple[int, int]]:
        if self.rows is None:
            raise StoreDown("broker: away")
        return self.rows

    def settled(self) -> bool:
        return self.shared_out


@pytest.fixture
def looking(store: Store, clock: Clock) -> tuple[Look, Rows, Health, Tally]:
    rows, health, tally = Rows(), Health(STALL_S, clock, clock), Tally()
    told = Told(tally, shadow())
    look = Look(shadow(), store, rows, told, health, Reading())  # type: ignore[arg-type]  # rows stand in
    return look, rows, health, tally


STANDS = [
    pytest.param([{0: (5, 9)}], False, id="stands still"),
    pytest.param([{0: (5, 9), 1: (n, n + 3)} for n in range(9)], False, id="one stands still"),
    pytest.param([None], False, id="broker away"),
    pytest.param([{0: (5, 5)}], True, id="nothing unread"),
    pytest.param([{0: (n, n + 9)} for n in range(9)], True, id="a backlog that moves"),
]


@pytest.mark.parametrize(("rows", "alive"), STANDS)
def test_a_partition_that_stands_still_is_no_progress(
    looking: tuple[Look, Rows, Health, Tally], clock: Clock,
    rows: list[dict[int, tuple[int, int]] | None], alive: bool,
) -> None:  # fmt: skip
    look, source, health, _ = looking
    for turn in range(9):
        source.rows = rows[turn % len(rows)]
        look.once()
        clock.advance(5.0)
    assert health.alive(True) == alive
    assert health.state[0] == (source.rows is not None)


WAITS = [
    pytest.param((0,), 9, False, True, id="read to the end, and waits for its candidate"),
    pytest.param((0,), 7, False, False, id="read in part, and no more"),
    pytest.param((1,), 0, False, True, id="another's"),
    pytest.param((), 0, True, True, id="all of it is others'"),
    pytest.param((), 0, False, False, id="nobody's"),
]


@pytest.mark.parametrize(("ours", "reached", "shared_out", "alive"), WAITS)
def test_what_stands_still_is_ours_unread_or_nobodys(
    looking: tuple[Look, Rows, Health, Tally], clock: Clock,
    ours: tuple[int, ...], reached: int, shared_out: bool, alive: bool,
) -> None:  # fmt: skip
    look, source, health, _ = looking
    source.rows, source.shared_out = {0: (5, 9), 1: (3, 3)}, shared_out
    look._reading.gained(ours)
    for offset in range(5, reached):
        look._reading.begin(0, offset, lambda: None)
    for _ in range(9):
        look.once()
        clock.advance(5.0)
    assert health.alive(True) == alive


def test_what_is_left_and_the_breakers_are_shown(
    looking: tuple[Look, Rows, Health, Tally], store: Store
) -> None:
    look, _, _, tally = looking
    (one,) = asks_of(store, 1)
    with store.transaction() as tx:
        need = budgets.Amount(250, 1, 1)
        assert not isinstance(
            budgets.reserve(tx, one.ticket, "next", candidate().budget, need, NOW), str
        )
    look._told.breaker("next", "open")
    look.once()
    labels = {"candidate": "next"}
    assert value(tally, "vedette_shadow_budget_left_ratio", bound="calls", **labels) == 0.75
    assert value(tally, "vedette_shadow_breaker_open_ratio", **labels) == 1
    with store.transaction() as tx:
        assert budgets.all_breakers(tx)["next"]["state"] == "open"


def test_failures_are_counted_by_their_word() -> None:
    tally = Tally()
    told = Told(tally, shadow())
    for answer in (Answer("ok", "x"), Answer("error", error="reset"), Answer("timeout")):
        told.asked("next", answer)
    for tokens in range(130, 140):
        told.asked("next", Answer("error", error=f"not asked: {tokens} tokens"))
    for status, n in (("ok", 1), ("error", 11), ("timeout", 1)):
        assert value(tally, "vedette_shadow_calls_total", candidate="next", status=status) == n
    name = "vedette_shadow_failures_total"
    assert value(tally, name, candidate="next", reason="reset") == 1
    assert value(tally, name, candidate="next", reason="unknown") == 1
    assert value(tally, name, candidate="next", reason="not asked") == 10


def test_the_embedded_drive_brings_answers_to_the_inbox(store: Store) -> None:
    inbox = Inbox(store)
    drive = embedded(shadow(), store, {"next": Voice()})(inbox, Tally(), lambda: NOW)
    asks = asks_of(store, 20)
    drive.give(asks)
    assert drive.drain(20)
    drive.close()
    (start,) = inbox.starts()
    inbox.seek(start, start.begin)
    (chunk,) = inbox.take(0.0)
    assert {one.arrival for one in chunk.records} == {NOW}
    found = [parse(one.value or b"", "auto", load_config(), 4e9)[0] for one in chunk.records]  # type: ignore[union-attr]  # the inbox has no unreadable ones
    calls = [one for one in found if isinstance(one, Call)]
    assert {one.pair for one in calls} == {one.call.id for one in asks}
    assert {one.at for one in calls} == {NOW}  # the time that the records had come to
    with store.transaction() as tx:
        assert budgets.all_breakers(tx)["next"]["state"] == "closed"
    assert states(store) == {"sent": 20}


def told(folder: Path, url: str, **more: Any) -> Path:
    one = {"url": "http://127.0.0.1:9/v1", "model": "m", "private": True, "budget": {"calls": 10}}
    tree = {"store": {"url": url}, "shadow": {"candidates": {"next": one}}} | more
    path = folder / "vedette.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def said(*words: str) -> Any:
    return CliRunner().invoke(app, ["shadow", *words])


def test_the_switch_and_the_status_work_while_a_worker_holds_the_store(
    sqlite_url: str, tmp_path: Path
) -> None:
    path = str(told(tmp_path, sqlite_url))
    store = open_store(sqlite_url)  # as a worker does, which lets no second one write
    owe(store, ask())
    done = said("--stop", "next", "--why", "it is rude", "--json", "-c", path)
    (row,) = json.loads(done.stdout)
    assert (row["stopped"]["why"], row["tickets"]) == ("it is rude", {"owed": 1})
    assert (row["left"], row["breaker"]) == ({"calls": 10}, None)
    assert said("--json", "-c", path).stdout == done.stdout  # and asks nobody
    text = said("--status", "-c", path).stdout
    assert "next is stopped since" in text and "it is rude" in text and "owed 1" in text
    (row,) = json.loads(said("--resume", "next", "--json", "-c", path).stdout)
    assert row["stopped"] is None
    store.close()


def test_a_candidate_that_is_configured_no_more_can_be_stopped(
    sqlite_url: str, tmp_path: Path
) -> None:
    with closing(open_store(sqlite_url)) as store, store.transaction() as tx:
        budgets.put_breakers(tx, "elsewhere", {"old": "half_open"}, NOW)
    for more in ({}, {"shadow": None}):
        path = str(told(tmp_path, sqlite_url, **more))
        done = said("--stop", "old", "--why", "it is rude", "--json", "-c", path)
        old = json.loads(done.stdout)[-1]
        assert (old["candidate"], old["stopped"]["why"]) == ("old", "it is rude")
        assert (old["model"], old["left"], old["tickets"]) == (None, {}, {})
        assert "not configured" in said("--stop", "old", "--why", "x", "-c", path).stdout
        assert (
            json.loads(said("--resume", "old", "--json", "-c", path).stdout)[-1]["stopped"] is None
        )
    missing = said("--status", "-c", path).exception
    assert isinstance(missing, BadConfig) and str(missing).startswith("shadow: ")


WRONG = [
    (["--stop", "other", "--why", "x"], "--stop: unknown candidate other; known are next"),
    (["--stop", "next"], "--why: is wanted"),
    (["--why", "it is rude"], "--why: is kept beside a stop"),
    (["--resume", "other"], "--resume: unknown candidate other"),
]


@pytest.mark.parametrize(("words", "line"), WRONG)
def test_what_cannot_be_switched_is_said(
    sqlite_url: str, tmp_path: Path, words: list[str], line: str
) -> None:
    open_store(sqlite_url).close()
    done = said(*words, "-c", str(told(tmp_path, sqlite_url)))
    assert isinstance(done.exception, BadConfig) and str(done.exception).startswith(line)


def test_a_user_without_a_name_can_stop_a_candidate(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")  # as CPython 3.11 does in a container

    monkeypatch.setattr("getpass.getuser", nameless)
    path = str(told(tmp_path, sqlite_url))
    open_store(sqlite_url).close()
    (row,) = json.loads(said("--stop", "next", "--why", "x", "--json", "-c", path).stdout)
    assert row["stopped"]["who"] == f"uid {os.getuid()}"


BAD = [
    ({"url": "https://models.example:99999/v1"}, "url: Port out of range"),
    ({"url": "https://models.example:http/v1"}, "url: Port could not be cast"),
    ({"url": "\thttp://models.example/v1"}, "url: must be printable ASCII"),
    ({"url": "https://m\u00f6del.example/v1"}, "url: must be printable ASCII"),
    ({"budget": {"usd": math.inf}, "price": {"input": 1.0}}, "budget.usd: "),
    ({"price": {"input": math.inf}}, "price.input: "),
    ({"price": {"output": 1e300}}, "price.output: "),
    ({"answer_tokens": 10**23}, "answer_tokens: "),
    ({"breaker": {"open_s": math.inf}}, "breaker.open_s: "),
    ({"breaker": {"open_s": 60, "most_s": 30}}, "breaker: most_s (30) is less than open_s (60)"),
    ({"model": ""}, "model: "),
]


@pytest.mark.parametrize(("part", "line"), BAD)
def test_a_candidate_that_cannot_be_asked_is_refused_by_its_key(
    part: dict[str, Any], line: str
) -> None:
    one = {"url": "https://models.example/v1", "model": "m", "budget": {"calls": 1}} | part
    with pytest.raises(BadConfig) as refused:
        load_config(None, shadow={"candidates": {"next": one}})
    assert str(refused.value).startswith(f"shadow.candidates.next.{line}")


def test_without_candidates_nothing_starts(tmp_path: Path) -> None:
    done = said()
    assert isinstance(done.exception, BadConfig) and str(done.exception).startswith("shadow: ")


def test_models_are_what_the_configuration_says(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("two words")
    with pytest.raises(BadConfig, match=r"^shadow\.candidates\.next\.key_file: "):
        open_models(shadow(next=candidate(key_file=str(tmp_path / "key"))))
    assert list(open_models(shadow())) == ["next"]


def test_nobody_prints_a_key() -> None:
    config: Config = load_config(
        None, shadow={"candidates": {"next": dict(candidate(key="sk-canary-1"))}}
    )
    assert "sk-canary-1" not in repr(config) and "sk-canary-1" not in config.model_dump_json()


def test_the_page_shows_a_configuration_that_is_one_and_every_metric(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "asking.md").read_text(encoding="utf-8")
    block = page.partition("    shadow:\n")[2].partition("\n\n")[0]
    file = tmp_path / "vedette.yaml"
    file.write_text("shadow:\n" + "\n".join(line[4:] for line in block.splitlines()))
    shown = load_config(file).shadow
    assert shown is not None and list(shown.candidates) == ["next"]
    named = set(re.findall(r"`(vedette_shadow_\w+)`", page))
    assert named == {row.name for row in SERIES if row.name.startswith("vedette_shadow_")}
    for number in (f"{QUEUE_ASKS} asks", f"{QUEUE_BYTES >> 20} MiB"):
        assert number in page
