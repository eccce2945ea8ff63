"""The page of calls: worst first, where they gather, pairs that differ, one call with its sides."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from agent.catalog import metric_named
from agent.config import load_config
from agent.store import Store, calls, open_store
from agent.store.calls import CallRow
from consumers.cases import alike, gatherings_of, rank
from consumers.server.recent import Recent
from tests.road import native
from tests.serving import served
from tests.shadowing import flushed
from tests.shown import START, copied


def _asked(client: TestClient, **words: Any) -> Any:
    answer = client.get("/api/calls", params=words)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_worst_calls_come_first_with_their_redacted_texts(shown: Path, tmp_path: Path) -> None:
    with served(copied(shown, tmp_path)) as client:
        found = _asked(client, metric="latency")
        values = [case["value"] for case in found["worst"]["cases"]]
        assert values == sorted(values, reverse=True) and values[0] == 60.0
        assert found["read"]["whole"] and found["worst"]["bar"] == pytest.approx(8, abs=3)
        # An answer of a candidate is no case of what users saw.
        assert {case["variant"] for case in found["worst"]["cases"]} == {"production"}
        kinds = {(one["status"], one["kind"]) for one in found["errors"]}
        assert kinds <= {("error", "rate_limit"), ("timeout", "timeout")} and kinds
        readable = _asked(client, metric="response_readability", model="wren-small")["worst"]
        assert [one["value"] for one in readable["cases"]] == sorted(
            one["value"] for one in readable["cases"]
        )
        assert all(one["prompt"] and one["model"] == "wren-small" for one in readable["cases"])
        page = client.get("/calls", params={"metric": "latency"}).text
        assert (
            'value="latency" selected' in page and "[EMAIL]" in client.get("/calls?most=200").text
        )


def test_a_page_reads_the_newest_calls_of_its_window_and_says_so(
    shown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.server.views.calls._NEWEST", 100)
    with served(copied(shown, tmp_path)) as client:
        read = _asked(client)["read"]
        assert (read["calls"], read["whole"]) == (100, False)
        page = client.get("/calls?metric=latency").text
        assert "The newest 100 calls" in page and "shorter" not in page
        older = _asked(client, until=read["since"])["read"]
        assert older["until"] == read["since"] > older["since"] and not older["whole"]
        assert f"/calls?metric=latency&amp;window=24h&amp;until={read['since']}" in page
        hour = _asked(client, window="1h", until=read["until"] - 7200)["read"]
        assert hour["whole"] and hour["until"] - hour["since"] == 3600


def test_a_metric_without_values_is_not_replaced_without_a_word(
    shown: Path, tmp_path: Path
) -> None:
    with served(copied(shown, tmp_path)) as client:
        assert (
            _asked(client, metric="response_groundedness")["read"]["without"]
            == "response_groundedness"
        )
        page = client.get("/calls?metric=response_groundedness").text
        assert "None of them has a value of response_groundedness; shown is" in page
        assert _asked(client, metric="latency")["read"]["without"] == ""


def test_pairs_that_differ_most_stand_side_by_side(shown: Path, tmp_path: Path) -> None:
    with served(copied(shown, tmp_path)) as client:
        (pairs,) = _asked(client, metric="latency")["pairs"]
        gaps = [abs(one["difference"]) for one in pairs["driving"]]
        assert pairs["candidate"] == "understudy" and pairs["n"] > 20
        assert gaps == sorted(gaps, reverse=True) and pairs["mean"] > 0
        first = pairs["driving"][0]
        (one,) = _asked(client, id=first["id"])["one"]
        assert [side["variant"] for side in one["sides"]] == ["production", "shadow:understudy"]
        (latency,) = [score for score in one["scores"] if score["metric"] == "latency"]
        assert latency["values"] == [first["value"], first["candidate_value"]]
        (answer,) = _asked(client, id=one["sides"][1]["id"])["one"]
        assert answer["control"] == first["id"] and len(answer["sides"]) == 1
        assert "No call with this id" in client.get("/calls?id=nobody").text


def test_without_kept_texts_a_page_has_hashes(shown: Path, tmp_path: Path) -> None:
    config = copied(shown, tmp_path)
    with sqlite3.connect(tmp_path / "shown.db") as db:
        db.execute("DELETE FROM texts")
    with served(config) as client:
        case = _asked(client)["worst"]["cases"][0]
        assert case["prompt"] is None and case["response"] is None
        (one,) = _asked(client, id=case["id"])["one"]
        assert len(one["sides"][0]["prompt_hash"]) == 32


def _row(at: int, value: float, **more: Any) -> CallRow:
    told = {"service": "s", "model": "m", "variant": "production", "segment": {}} | more
    return CallRow(
        key=b"%d" % at, id=f"c{at}", at=float(at), origin="production", pair=None, status="ok",
        values={"response_relevance": value, "error": 0.0}, why={}, **told,
    )  # fmt: skip


def test_low_calls_gather_where_they_are_more_frequent_than_elsewhere() -> None:
    rows = [_row(at, 0.9, segment={"tenant": "acme"}) for at in range(80)]
    rows += [_row(100 + at, 0.1 + at / 100, segment={"tenant": "globex"}) for at in range(20)]
    ranked = rank(rows, metric_named("response_relevance"))
    assert ranked.low == 10 and ranked.bar == pytest.approx(0.19) and ranked.rows[0].id == "c100"
    (one,) = gatherings_of(ranked)
    assert (one.key, one.value, one.low, one.calls) == ("tenant", "globex", 10, 20)
    assert (one.share_of_low, one.share_of_all) == (1.0, 0.2)
    # Of calls that are all alike none is a worst one.
    same = rank(rows[:80], metric_named("response_relevance"))
    assert (same.low, same.bar, gatherings_of(same)) == (0, None, [])


def test_prompts_with_the_same_words_are_one_group() -> None:
    kinds = ["cancel my train ticket to Vienna", "parse a broken invoice as JSON please"]
    rows = [_row(at, 0.1) for at in range(24)]
    groups = alike(rows, {row.key: f"{kinds[at % 2]} {at}" for at, row in enumerate(rows)})
    assert sorted(one.calls for one in groups) == [12, 12]
    assert {word for one in groups for word in one.words} >= {"train", "invoice"}
    assert alike(rows[:5], {row.key: kinds[0] for row in rows}) == []


def test_a_call_is_read_once_while_it_is_looked_at(
    shown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, newest_rows = list[int](), calls.newest_rows

    def counted(*asked: Any) -> dict[bytes, CallRow]:
        found = newest_rows(*asked)
        read.append(len(found))
        return found

    monkeypatch.setattr(calls, "newest_rows", counted)
    with closing(open_store(copied(shown, tmp_path).store.url.get_secret_value())) as store:
        recent = Recent()
        for _ in range(2):
            with store.reading() as tx:
                found = recent.newest(tx, START, START + 86_400, 50)
        assert read == [50]
        assert [one.at for one in found] == sorted((one.at for one in found), reverse=True)
        with store.reading() as tx:
            assert recent.newest(tx, START, found[10].at, 5) == found[10:15]
            # What comes late is read with what began at once, and nothing else is missed.
            wanted = {row.key for row in found}
            for late in (0, 25, 49):
                del recent._rows[found[late].key]
                assert recent.newest(tx, START, START + 86_400, 50) == found
            assert max(read[1:]) <= 2 and wanted == set(recent._rows)


def test_call_rows_are_the_same_on_both_databases(any_store: Store) -> None:
    failed = {
        "status": "error",
        "error": "RateLimitError: user said their secret",
        "response": None,
    }
    twin = {"id": "t1", "variant": "shadow:next", "origin": "shadow", "pair": "call-1"}
    records = [native(0, **failed), native(1), native(2, **twin)]
    flushed(any_store, load_config(models=False, store={"text_days": 1}), records)
    with any_store.reading() as tx:
        keys = list(calls.newest_keys(tx, 0, 4e9, 2))
        found = calls.newest_rows(tx, 0, 4e9, 2)
        assert list(found) == keys
        assert [row.id for row in found.values()] == ["t1", "call-1"]
        ((_, whole),) = calls.called(tx, "call-0")
        assert whole.error == "RateLimitError" and whole.prompt == "Question 0?"
        ((production, _),) = calls.called(tx, "call-1")
        assert [whole.id for _, whole in calls.twins_of(tx, production)] == ["t1"]
        control = calls.controls_of(tx, [found[keys[0]]])
        assert control == {keys[0]: found[keys[1]]}
        assert calls.texts_of(tx, keys)[keys[1]] == ("Question 1?", "Answer 1.")
        assert calls.newest_at(tx, 4e9) == found[keys[0]].at
