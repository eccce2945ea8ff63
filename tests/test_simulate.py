"""The simulated day: the same for a seed, with the figures and regressions that it promises."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from agent.config import load_config
from agent.record import Call, Feedback, Reject
from consumers.formats import parse
from consumers.simulate import HOUR_S, Record, _arrivals, bad_day, simulate

START = 1_767_225_600.0


@pytest.fixture(scope="module")
def day() -> list[Record]:
    return simulate(bad_day(START, 6000, 7))


def _calls(day: list[Record]) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in day if record.kind in ("call", "late")]


def test_a_seed_gives_the_same_bytes_and_another_seed_others(day: list[Record]) -> None:
    assert simulate(bad_day(START, 6000, 7)) == day
    assert simulate(bad_day(START, 6000, 8)) != day


def test_records_come_in_the_order_of_arrival_within_the_day(day: list[Record]) -> None:
    arrivals = [record.arrival for record in day]
    assert arrivals == sorted(arrivals)
    starts = [call["at"] for call in _calls(day)]
    assert min(starts) >= START and max(starts) < START + 24 * HOUR_S


def test_every_kind_parses_to_what_it_is(day: list[Record]) -> None:
    wanted = {"call": Call, "late": Call, "duplicate": Call, "feedback": Feedback}
    config = load_config()
    for record in day:
        (item,) = parse(record.value, "native", config, record.arrival)
        assert isinstance(item, wanted.get(record.kind, Reject)), record.kind
    kinds = Counter(record.kind for record in day)
    assert set(kinds) == {*wanted, "invalid", "unreadable"}


def test_tokens_are_drawn_as_in_the_trace(day: list[Record]) -> None:
    calls = _calls(day)
    tokens_in = np.log([call["tokens_in"] for call in calls])
    tokens_out = np.log([call["tokens_out"] for call in calls if call["status"] == "ok"])
    assert np.exp(np.median(tokens_in)) == pytest.approx(1020, rel=0.06)
    assert np.exp(np.median(tokens_out)) == pytest.approx(129, rel=0.06)
    assert tokens_in.std() == pytest.approx(0.99, abs=0.05)
    assert tokens_out.std() == pytest.approx(0.86, abs=0.05)


def test_calls_come_in_gusts_as_in_the_trace() -> None:
    """The trace: 20.6 times the variance of chance at 328 calls a minute."""
    counts = np.bincount((_arrivals(np.random.default_rng(3), 328 * 1440) // 60).astype(int))
    # From one minute to the next the curve of the day hardly moves.
    noise = np.diff(counts)[::2] ** 2 / (counts[:-1] + counts[1:])[::2]
    assert noise.mean() == pytest.approx(20.6, rel=0.2)


def test_the_regressions_begin_at_their_hour_in_their_model_alone(day: list[Record]) -> None:
    ttft: dict[tuple[str, bool], list[float]] = {}
    for call in _calls(day):
        if call["status"] == "ok":
            ttft.setdefault((call["model"], call["at"] >= START + 18 * HOUR_S), []).append(
                call["ttft_s"]
            )
    ratio = {m: np.median(ttft[m, True]) / np.median(ttft[m, False]) for m, _ in ttft}
    assert ratio["finch-7b"] == pytest.approx(2.5, rel=0.1)
    assert ratio["wren-large"] == pytest.approx(1, rel=0.1)
    assert ratio["wren-small"] == pytest.approx(1, rel=0.1)
