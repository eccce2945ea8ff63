"""When the records of a file arrived, which no broker says."""

import time

import orjson

from agent.config import Config
from consumers.service import arrivals

START = 1_767_225_600.0


def record(at: float, **more: object) -> bytes:
    return orjson.dumps({"id": f"c{at}", "at": START + at, "model": "m", "latency_s": 2} | more)


def told(*values: bytes) -> list[float]:
    return [at - START for at, _ in arrivals(values, Config())]


def test_a_call_arrives_with_its_answer() -> None:
    assert told(record(0), record(5, latency_s=None)) == [2.0, 5.0]


def test_what_holds_no_call_arrives_with_the_record_before_it() -> None:
    # Feedback of the next day, and a line that is none, in an old log.
    later = orjson.dumps({"feedback_for": "c0", "at": START + 86_400, "value": 1})
    assert told(record(0), later, b"{torn", record(5)) == [2.0, 2.0, 2.0, 7.0]


def test_what_stands_before_the_first_call_arrives_with_it() -> None:
    assert told(b"{torn", b"7", record(5), b"8") == [7.0, 7.0, 7.0, 7.0]
    values = [b"{torn"] * 2500 + [record(5)]
    assert [value for _, value in arrivals(values, Config())] == values


def test_without_any_call_everything_arrives_now() -> None:
    assert all(abs(at + START - time.time()) < 60 for at in told(b"{torn", b"7"))
