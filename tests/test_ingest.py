"""Logs over HTTP: what is taken, what is refused and how, and that all of it is kept."""

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from sqlalchemy import select
from starlette.testclient import TestClient

from agent.config import load_config
from agent.errors import BadConfig, StoreDown
from agent.store import open_store, positions, reads
from agent.store.tables import calls, dead_letters, inbox
from consumers.deadletter import replay_letters
from consumers.pump.sender import Sender
from consumers.server import ingest
from consumers.server.bodies import Room
from consumers.server.ingest import found_in
from consumers.server.sinks import Shut
from tests.road import InboxRoad, native
from tests.serving import served, told
from tests.telemetry import CURRENT, KEY, PROMPTS, protobuf, span, traces
from tests.test_hostile import REJECTED
from tests.test_litellm import payload

PROTOBUF, JSON = "application/x-protobuf", "application/json"
SPAN = {**CURRENT, **PROMPTS["structured"]}
BAD = span(SPAN, endTimeUnixNano="1")  # it ends before it began


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with served(told(tmp_path)) as found:
        yield found


def kept(tmp_path: Path) -> list[tuple[str, bytes]]:
    """The inbox: (format, value)."""
    store = open_store(f"sqlite:///{tmp_path}/v.db", writer=False)
    with store.reading() as tx:
        rows = [(row.format, row.value) for row in tx.execute(select(inbox))]
    store.close()
    return rows


def lines(*records: Any) -> bytes:
    return b"\n".join(json.dumps(record).encode() for record in records)


@pytest.mark.parametrize("whole", [lambda rows: lines(*rows), lambda rows: json.dumps(rows)])
def test_records_are_kept_one_by_one_also_those_that_cannot_be_read(
    client: TestClient, tmp_path: Path, whole: Any
) -> None:
    answer = client.post("/ingest", content=whole([native(1), {"id": "x"}, 7, native(2)]))
    assert answer.status_code == 200
    assert answer.json() == {"accepted": 2, "refused": 2, "rejected": [
        {"index": 1, "reason": "bad_time", "detail": "at"},
        {"index": 2, "reason": "not_an_object", "detail": ""},
    ]}  # fmt: skip
    assert [(form, json.loads(value)) for form, value in kept(tmp_path)] == [
        ("native", each) for each in (native(1), {"id": "x"}, 7, native(2))
    ]


def test_a_body_without_a_readable_call_is_refused_and_kept_and_one_without_a_record_is_refused(
    client: TestClient, tmp_path: Path
) -> None:
    answer = client.post("/ingest", content=b"no json")
    assert answer.status_code == 400 and answer.json()["rejected"][0]["reason"] == "json"
    assert kept(tmp_path) == [("native", b"no json")]
    answer = client.post("/ingest", content=b" \n")
    assert (answer.status_code, answer.json()) == (400, {"error": "the body holds no record"})


def test_hostile_bodies_are_refused_and_kept_and_the_next_is_taken(
    client: TestClient, tmp_path: Path
) -> None:
    taken = 0
    for path in ("/ingest", "/ingest/litellm", "/v1/traces"):
        for name, value, _ in REJECTED:
            answer = client.post(path, content=value, headers={"Content-Type": JSON})
            assert answer.status_code in (200, 400, 413), (path, name, answer.text)
            taken += answer.json().get("refused", 0)
        assert client.post("/ingest", content=lines(native(1))).json()["accepted"] == 1
    assert sum(form != "otlp" for form, _ in kept(tmp_path)) >= taken > 2 * len(REJECTED) * 0.8


def test_an_answer_lists_a_hundred_refusals_and_counts_them_all(client: TestClient) -> None:
    answer = client.post("/ingest", content=lines(native(1), *[{}] * 150)).json()
    assert (answer["accepted"], answer["refused"], len(answer["rejected"])) == (1, 150, 100)


def test_a_body_has_so_many_records(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_RECORDS", 3)
    assert client.post("/ingest", content=b"[{},{},{}]").status_code == 400
    answer = client.post("/ingest", content=b"{}\n" * 4)
    assert (answer.status_code, answer.json()) == (
        413, {"error": "a body has at most 3 records here"}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "encoding", "status"),
    [
        (gzip.compress(lines(native(1))), "gzip", 200),
        (gzip.compress(lines(native(1)))[:-4], "gzip", 400),
        (gzip.compress(lines(native(1))) * 2, "gzip", 400),
        (lines(native(1)), "gzip", 400),
        (gzip.compress(b" " * 200_001), "gzip", 413),
        (lines(native(1)), "br", 415),
        (b" " * 100_001, "", 413),
        (iter([b" " * 60_000] * 2), "", 413),
    ],
)
def test_a_body_is_bounded_as_it_is_sent_and_unpacked(
    tmp_path: Path, content: Any, encoding: str, status: int
) -> None:
    with served(told(tmp_path, body_bytes=100_000, unpacked_bytes=200_000)) as client:
        said = {"Content-Encoding": encoding} if encoding else {}
        answer = client.post("/ingest", content=content, headers=said)
        assert answer.status_code == status, answer.text
        assert status == 200 or answer.json()["error"]


def test_bodies_are_held_within_one_room(tmp_path: Path) -> None:
    room = Room(10)
    with room.share() as one, room.share() as other:
        one.take(8)
        with pytest.raises(StoreDown, match="no room"):
            other.take(3)
        other.take(2)
    with room.share() as alone:
        alone.take(10)
    with served(told(tmp_path, body_bytes=1024, unpacked_bytes=1024)) as client:
        # What was held is given back, whatever became of it.
        for _ in range(20):
            assert client.post("/ingest", content=b"x" * 900).status_code == 400
            assert client.post("/ingest", content=iter([b"x" * 900] * 2)).status_code == 413


def test_every_format_is_read_as_it_was_posted_whatever_the_inbox_says(tmp_path: Path) -> None:
    config = told(tmp_path).model_copy(
        update={"inbox": load_config(inbox={"format": "otlp"}).inbox}
    )
    now = native(1)["at"]
    with served(config, clock=lambda: float(now)) as client:
        # A native record with LiteLLM's words in fields that nobody reads is still native.
        odd = native(1, startTime=1, call_type="x", litellm_call_id="other")
        assert client.post("/ingest", content=lines(odd)).json()["accepted"] == 1
        for body in (lines(payload()), json.dumps([payload(litellm_call_id="call-2")])):
            assert client.post("/ingest/litellm", content=body).json()["accepted"] == 1
        for body, kind in ((protobuf(traces(span(SPAN))), PROTOBUF), (b"{}", JSON)):
            answer = client.post("/v1/traces", content=body, headers={"Content-Type": kind})
            assert answer.status_code == 200
        client.post("/ingest", content=b"none")
    store = open_store(config.store.url.get_secret_value())
    road = InboxRoad(store, config)
    road.drain()
    with store.reading() as tx:
        ids = sorted(tx.scalars(select(calls.c.id)))
        assert reads.ledger(tx).terms["scored"] == 4 and reads.ledger(tx).sums
        assert tx.scalars(select(dead_letters.c.reason)).all() == ["json"]
    assert ids == [KEY, "call-1", "call-1", "call-2"]
    with store.transaction() as tx:
        assert positions.take_lease(tx, "replay", "another", time.time(), 60.0)
    with pytest.raises(BadConfig, match="dead letters: are being replayed by another process"):
        replay_letters(store, Sender(config.kafka), (), None, now)
    with store.transaction() as tx:
        positions.drop_lease(tx, "another")
    replay_letters(store, Sender(config.kafka), (), None, now)
    with store.reading() as tx:
        assert [(row.format, row.value) for row in tx.execute(select(inbox))] == [
            ("native", b"none")
        ]
    store.close()


def test_otlp_says_in_its_own_words_what_was_refused(client: TestClient, tmp_path: Path) -> None:
    both = traces(span(SPAN), {**BAD, "spanId": "00f067aa0ba902b7"})
    answer = client.post("/v1/traces", json=both)
    assert answer.headers["content-type"] == JSON and answer.json() == {
        "partialSuccess": {"rejectedSpans": "1", "errorMessage": "bad_time endTimeUnixNano"}
    }
    answer = client.post("/v1/logs", json=both)
    assert "rejectedLogRecords" in answer.json()["partialSuccess"]
    said = {"Content-Type": PROTOBUF, "Content-Encoding": "gzip"}
    answer = client.post("/v1/traces", content=gzip.compress(protobuf(both)), headers=said)
    assert answer.headers["content-type"] == PROTOBUF
    told_back = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (told_back.rejected_spans, told_back.error_message) == (1, "bad_time endTimeUnixNano")
    assert [form for form, _ in kept(tmp_path)] == ["otlp"] * 3


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [(b"\n\x05\xff", PROTOBUF, 400), (b"{", JSON, 400), (b"{}", "text/plain", 415),
     (iter([b" " * 60_000] * 2), JSON, 413)],
)  # fmt: skip
def test_otlp_refuses_with_a_status(tmp_path: Path, content: Any, kind: str, status: int) -> None:
    with served(told(tmp_path, body_bytes=100_000)) as client:
        answer = client.post("/v1/traces", content=content, headers={"Content-Type": kind})
        assert answer.status_code == status
        if kind == PROTOBUF:
            assert answer.content[0] == 0x12 and answer.content[1] == len(answer.content) - 2
        elif status != 415:
            assert answer.json()["message"]


def test_a_full_inbox_is_said_with_when_to_come_again(tmp_path: Path) -> None:
    with served(told(tmp_path, waiting_records=2)) as client:
        assert client.post("/ingest", content=lines(*map(native, range(3)))).status_code == 200
        answer = client.post("/ingest", content=lines(native(4)))
        assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
        assert "3 records wait" in answer.json()["error"]
        answer = client.post("/v1/traces", json=traces(span(SPAN)))
        assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
        assert len(kept(tmp_path)) == 3


def test_an_inbox_takes_so_many_bytes_and_not_one_more(tmp_path: Path) -> None:
    one = lines(native(1, response="x" * 600))
    with served(told(tmp_path, inbox_bytes=2 * len(one) - 1, unpacked_bytes=1024)) as client:
        assert client.post("/ingest", content=one).status_code == 200
        answer = client.post("/ingest", content=one)
        assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
        assert f"{len(one)} bytes wait to be scored" in answer.json()["error"]
        assert len(kept(tmp_path)) == 1
        assert client.post("/ingest", content=lines(native(2))).status_code == 200
    with pytest.raises(BadConfig, match="server: inbox_bytes is less than unpacked_bytes"):
        told(tmp_path, inbox_bytes=1024)


@pytest.mark.parametrize(("off", "status"), [(True, 403), (False, 503)])
def test_where_nothing_is_taken_in_that_is_said(tmp_path: Path, off: bool, status: int) -> None:
    with served(told(tmp_path), sink=Shut("not here", off=off)) as client:
        answer = client.post("/ingest", content=lines(native(1)))
        assert (answer.status_code, answer.json()) == (status, {"error": "not here"})
        assert client.get("/api/pipeline").status_code == 200


def test_what_is_taken_in_and_how_long_it_took_is_counted(client: TestClient) -> None:
    client.post("/ingest", content=lines(native(1), {}))
    client.post("/nowhere")
    page = client.get("/metrics").text
    assert 'vedette_ingest_calls_total{format="native",outcome="refused"} 1.0' in page
    assert 'vedette_http_request_seconds_count{route="/ingest",status="200"} 1.0' in page
    assert 'vedette_http_request_seconds_count{route="none",status="404"} 1.0' in page


def test_a_record_is_keyed_by_its_unit_its_session_or_its_call(tmp_path: Path) -> None:
    rows = [native(1, unit="u", session="s"), native(2, session="s"), native(3),
            {"feedback_for": "call-1", "at": 1_767_225_700, "value": 1}, {}]  # fmt: skip
    found = found_in(lines(*rows), "native", told(tmp_path), 1_767_225_800.0)
    keys = [key for key, _ in found.batch.records]
    assert keys[:4] == [b"u", b"s", b"call-3", b"call-1"] and len(keys[4]) == 8
