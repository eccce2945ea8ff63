"""What is said of a store that a file was taken into."""

import pytest
from sqlalchemy import select

from agent.config import load_config
from agent.panes import HOUR_S
from agent.store import Store, reads, writes
from agent.store.tables import panes
from consumers.commands import report
from tests.road import InboxRoad, as_bytes, native

START = 1_767_225_600


def test_a_report_is_of_every_hour_and_late_calls_and_of_no_segment_or_pair(
    any_store: Store,
) -> None:
    road = InboxRoad(any_store, load_config(segments=["tier"]))
    records = [native(n, at=START + 1800 * n, segment={"tier": str(n % 2)}) for n in range(12)]
    road.inbox.append(as_bytes(records))
    late = native(12, latency_s=9.0)
    road.inbox.append([(arrival + 1e6, value) for arrival, value in as_bytes([late])])
    road.drain()
    road.worker.finish("live")
    with any_store.transaction() as tx:
        (hour, *_) = tx.execute(select(panes).where(panes.c.late == 0, panes.c.level_s == HOUR_S))
        writes.upsert(tx, panes, [{**hour._mapping, "variant": "paired:new"}])
        assert len({row[0] for row in reads.pane_rows(tx, 0, 4e9, HOUR_S)}) == 6
    told = report(any_store)
    assert told["ledger"]["scored"] == 13 and told["ledger"]["sums"]
    for model in range(3):
        mine = [r["latency_s"] for r in (*records, late) if r["model"] == f"model-{model}"]
        found = told["models"].pop(f"support/model-{model}/production")
        assert (found["calls"], found["means"]["error"]) == (len(mine), 0.0)
        assert found["means"]["latency"] == pytest.approx(sum(mine) / len(mine), abs=1e-9)
    assert told["models"] == {}
