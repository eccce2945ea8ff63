"""Pairs wait for their tickets while nothing else does, and each is folded once."""

import time
from typing import Any

import pytest
from sqlalchemy import update

from abtest.keeping import current_run, keep_experiments
from agent.config import Config
from agent.pairs import CANDIDATE_FAILED, LATE, PAIR, REPEATED, beside
from agent.panes import Group
from agent.score import load_panel
from agent.store import Store, closing, open_store, reads, retention
from agent.store.ticket_tables import tickets as table
from tests.road import InboxRoad, native
from tests.shadowing import (
    answer,
    asking,
    at_once,
    closed,
    flushed,
    mark_sent,
    paired,
    send,
    states,
)

START, DAY_S = 1_767_225_600, 86_400.0
MAIN = Group("support", "b", "paired:new")


def test_an_answered_ticket_is_one_pair_however_late_its_answer_is(any_store: Store) -> None:
    road = flushed(any_store, asking(), [native(0, latency_s=2.0), native(1)])
    mark_sent(any_store, road.listener.asks)
    # By its own time the answer came an hour after the pane of its call.
    told = [answer(ask, at=ask.call.at + 3600, latency_s=1.0) for ask in road.listener.asks]
    send(road, told)
    closed(any_store, road)
    row = paired(any_store)[MAIN]
    assert row.calls.words == {PAIR: 2}
    assert row.summaries["latency_win"].n == 2
    assert row.summaries["latency_log_ratio"].n == 2
    assert list(paired(any_store)) == [MAIN]


def test_what_is_out_holds_back_pairs_and_nothing_else(any_store: Store) -> None:
    records = [native(n * 60) for n in range(180)]  # three hours
    road = flushed(any_store, asking(), records)
    asks = road.listener.asks
    mark_sent(any_store, asks)
    held = next(ask for ask in asks if ask.call.id == "call-3600")  # one in the second hour
    send(road, [answer(ask) for ask in asks if ask is not held])
    through, pairs = closed(any_store, road)
    assert through > START + 3 * 3600 and pairs == START + 3600
    with any_store.transaction() as tx:
        hours = reads.pane_rows(tx, 0, 4e9, 3600)
        minutes = reads.pane_rows(tx, 0, 4e9, 60)
    # All of production is rolled up, of the pairs the first hour.
    assert sum(row.calls.total() for _, _, g, row in hours if g.variant == "production") == 180
    assert [pane for pane, _, g, _ in minutes if g == MAIN] == list(range(START, START + 3600, 60))
    assert paired(any_store, 3600)[MAIN].calls.words == {PAIR: 60}
    send(road, [answer(held)])
    assert closed(any_store, road)[1] == through
    for level in (10, 60, 3600):
        assert paired(any_store, level)[MAIN].calls.words[PAIR] == 180


def test_an_expired_ticket_is_a_candidate_that_failed(any_store: Store) -> None:
    slo = {"fast": {"metric": "latency", "at_most": 1.0}}
    config = asking(more={"slo": slo})
    said = "The parcel left on Monday, and it should be with you on Thursday at the latest."
    road = InboxRoad(any_store, config, load_panel(config))
    send(road, [native(0, latency_s=0.5, response=said), native(1)])
    mark_sent(any_store, road.listener.asks[:1])
    assert closed(any_store, road)[1] == START
    closed(any_store, road, time.time() + 601)
    assert states(any_store) == ["expired", "not_asked"]
    row = paired(any_store)[MAIN]
    assert row.calls.words == {PAIR: 1}
    assert row.summaries["error"].mean() == 1.0
    assert row.summaries["latency_win"].missing.words == {CANDIDATE_FAILED: 1}
    breach = row.summaries["slo_fast"]
    assert breach.n == 0 and breach.missing.words == {CANDIDATE_FAILED: 1}
    assert row.summaries[beside("slo_fast", CANDIDATE_FAILED)].mean() == 0.0
    lost = row.summaries["response_repetition"]
    assert lost.missing.words == {CANDIDATE_FAILED: 1}
    # What was asked is the same on both sides, and no failure of the answer.
    asked = row.summaries["prompt_pii"]
    assert (asked.n, asked.mean(), asked.missing.words) == (1, 0.0, {})


def test_an_answer_after_its_ticket_expired_is_counted_late_and_never_folded(
    any_store: Store,
) -> None:
    road = flushed(any_store, asking(), [native(0)])
    mark_sent(any_store, road.listener.asks)
    closed(any_store, road, time.time() + 601)
    before = paired(any_store)[MAIN].to_bytes()
    send(road, [answer(road.listener.asks[0], at=START + 400.0, latency_s=0.1)])
    road.worker.finish("live")
    assert states(any_store) == ["expired"]
    after = paired(any_store)[MAIN]
    assert after.calls.words[PAIR] == 1
    with any_store.transaction() as tx:
        (first,) = [row for pane, _, group, row in reads.pane_rows(tx, START, START + 10.0, 10)
                    if group == MAIN]  # fmt: skip
    assert first.to_bytes() == before


def test_late_answers_are_told_from_those_that_count(any_store: Store) -> None:
    """Answers stand among all records that say which call they mirror."""
    road = flushed(any_store, asking(more={"inbox": {"source": "backfill"}}),
                   [native(n) for n in range(3)])  # fmt: skip
    first, second, third = road.listener.asks
    mark_sent(any_store, [first, second])
    with any_store.transaction() as tx:
        late = update(table).where(table.c.key == second.ticket)
        tx.execute(late.values(state="expired"))
    later = {"at": START + 5.0, "latency_s": 3600.0}
    send(road, [answer(ask, **later) for ask in (first, second, third)])
    road.worker.finish("backfill")
    # The third came though nobody had sent it: its ticket was given up at the end.
    assert states(any_store) == ["answered", "expired", "not_asked"]
    assert paired(any_store)[MAIN].calls.words == {PAIR: 2, LATE: 2}


def test_a_pair_that_a_mirror_made_needs_no_ticket(any_store: Store) -> None:
    """Not even where its ids look like those of answers."""
    twin = {"variant": "shadow:new", "model": "b"}
    records = [native(0), native(1), native(0, id="shadow-1", pair="call-0", **twin),
               native(1, id="shadow-" + "ab" * 16, pair="call-1", **twin)]  # fmt: skip
    road = flushed(any_store, asking(rate=0.0, more={"inbox": {"source": "backfill"}}), records)
    road.worker.finish("backfill")
    assert paired(any_store)[MAIN].calls.words == {PAIR: 2}


def test_a_mirror_named_like_a_candidate_makes_no_second_pair(any_store: Store) -> None:
    more: dict[str, Any] = {"inbox": {"source": "backfill"}}
    road = flushed(any_store, asking(more=more), [native(0), native(1, origin="dataset")])
    mark_sent(any_store, road.listener.asks)
    mirror = {"variant": "shadow:new", "model": "b", "latency_s": 9.0}
    mirrored = [native(n, id=f"mirror-{n}", pair=f"call-{n}", **mirror) for n in (0, 2)]
    send(road, [native(2), *mirrored, *(answer(ask, latency_s=1.0) for ask in road.listener.asks)])
    (late,) = [ask for ask in road.listener.asks if ask.call.id == "call-2"]
    mark_sent(any_store, [late])
    send(road, [answer(late, latency_s=1.0)])
    road.worker.finish("backfill")
    assert paired(any_store)[MAIN].calls.words == {PAIR: 2, REPEATED: 2}
    ratios = paired(any_store)[MAIN].summaries["latency_log_ratio"]
    assert ratios.n == 2 and (ratios.mean() or 9.0) < 1.0


def test_a_pair_counts_in_the_rows_of_its_ticket(any_store: Store) -> None:
    config = asking(rate=0.0, always=["tenant=acme"])
    segment = {"tenant": "acme", "language": "de"}
    road = flushed(any_store, config, [native(n, segment=segment) for n in range(4)])
    mark_sent(any_store, road.listener.asks)
    send(road, [answer(ask, segment=segment) for ask in road.listener.asks])
    closed(any_store, road)
    found = paired(any_store)
    assert {group.segment: row.calls.words for group, row in found.items()} == {
        "tenant=acme": {PAIR: 4}
    }


def test_a_ticket_pairs_whatever_the_unit_has_done_in_mirrors(store: Store) -> None:
    road = flushed(store, asking(), [native(n, unit="ann") for n in range(2)])
    (ask,) = road.listener.asks
    mark_sent(store, [ask])
    send(road, [answer(ask)])
    closed(store, road)
    assert paired(store)[MAIN].calls.words == {PAIR: 1}


def test_both_sides_at_once_are_one_pair(postgres_url: str) -> None:
    config, store = asking(more={"inbox": {"source": "backfill"}}), open_store(postgres_url)
    twins = {"variant": "shadow:mirror", "model": "b"}
    sides = [
        [native(n) for n in range(40)],
        [native(n, id=f"t-{n}", pair=f"call-{n}", **twins) for n in range(40)],
    ]
    at_once(postgres_url, config, sides)
    with store.transaction() as tx:
        closing.finish_source(tx, "live", config, time.time())
        assert closing.finish_source(tx, "live", config, time.time()) is None
    assert paired(store)[Group("support", "b", "paired:mirror")].calls.words == {PAIR: 40}
    store.close()


def test_pairs_of_a_long_history_are_made_in_parts(
    any_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "_CALLS_AT_ONCE", 7)
    road = flushed(any_store, asking(), [native(n * 5) for n in range(40)])
    mark_sent(any_store, road.listener.asks)
    send(road, [answer(ask) for ask in road.listener.asks])
    turns = 0
    with any_store.transaction() as tx:
        while closing.close_panes(tx, "live", road.config, time.time()) is not None:
            turns += 1
    assert turns > 2
    assert paired(any_store)[MAIN].calls.words == {PAIR: 40}


def test_fine_panes_stay_until_their_pairs_are_rolled_up(any_store: Store) -> None:
    told = {"panes": {"lateness_s": 60.0, "fine_hours": 0.0}}
    road = flushed(any_store, asking(), [native(n * 10) for n in range(30)])
    config = road.config.model_copy(
        update={"panes": road.config.panes.model_copy(update=told["panes"])}
    )
    mark_sent(any_store, road.listener.asks)
    send(road, [answer(ask) for ask in road.listener.asks[:20]])
    closed(any_store, road)
    left = []
    for more in ([], road.listener.asks[20:]):
        send(road, [answer(ask) for ask in more])
        closed(any_store, road)
        with any_store.transaction() as tx:
            retention.prune(tx, config, time.time() + 60)
            fine = reads.pane_rows(tx, 0, 4e9, 10)
        left.append(min((pane for pane, *_ in fine), default=None))
    assert left == [START + 180, None]
    assert paired(any_store, 60)[MAIN].calls.words == {PAIR: 30}


def test_paired_experiments_go_as_far_as_pairs_and_others_as_far_as_calls(store: Store) -> None:
    plain = {"primary": "error", "start": START, "service": "support"}
    experiments = {
        "pairs": {"design": "paired", "arms": ["production", "shadow:new"], **plain},
        "split": {"arms": {"production": 0.9, "canary": 0.1}, **plain},
    }
    road = flushed(store, asking(more={"experiments": experiments}),
                   [native(n) for n in range(40)])  # fmt: skip
    asks = road.listener.asks
    mark_sent(store, asks)
    send(road, [answer(ask) for ask in asks if ask.call.id != "call-25"])
    through, pairs = closed(store, road)
    reached = [read(store, road.config, name) for name in experiments]
    assert reached == [(pairs, 20), (through, 40)] and pairs == START + 20
    send(road, [answer(ask) for ask in asks if ask.call.id == "call-25"])
    closed(store, road)
    assert read(store, road.config, "pairs") == (through, 40)


def read(store: Store, config: Config, name: str) -> tuple[float, int]:
    """How far an experiment has come, and how many production calls it counts by then."""
    with store.transaction() as tx:
        keep_experiments(tx, config, time.time())
        run = current_run(tx, config, name, time.time())
    return run.reached["live"], run.over_stages("production").calls.total()
