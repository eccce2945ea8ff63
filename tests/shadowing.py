"""What tests of candidates share: a configuration with one, and answers as the dispatcher sends."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import select, update

from agent.config import Config, load_config
from agent.intake import Entry, Reading
from agent.monitor import Flush, Monitor
from agent.panes import Group, Row
from agent.record import Ask, RawRecord
from agent.score import Panel
from agent.store import Store, open_store, positions, reads, tickets
from agent.store.closing import close_panes
from agent.store.ticket_tables import tickets as table
from agent.store.tickets import answer_id
from consumers.formats import parse
from tests.road import InboxRoad, as_bytes

Records = Sequence[dict[str, Any]]


def asking(wait_s: float = 600.0, more: dict[str, Any] | None = None, **candidate: Any) -> Config:
    """A configuration in which the candidate `new` is asked every call."""
    plain = {"url": "http://127.0.0.1:1/v1", "private": True, "model": "b", "rate": 1.0,
             "budget": {"calls": 10**6}}  # fmt: skip
    shadow = {"candidates": {"new": plain | candidate}, "wait_s": wait_s}
    return load_config(
        segments=("tenant", "language"), panes={"request_timeout_s": 0.0}, shadow=shadow,
        models=False, **more or {},
    )  # fmt: skip


def flushed(
    store: Store,
    config: Config,
    records: Records,
    on_step: Callable[[str], None] = lambda _: None,
) -> InboxRoad:
    """A road that took these records, of a day long gone: their panes are closed behind them."""
    road = InboxRoad(store, config, on_step=on_step)
    send(road, records)
    return road


def send(road: InboxRoad, records: Records) -> None:
    """Take more records."""
    road.inbox.append(as_bytes(records))
    road.drain()


def at_once(url: str, config: Config, sides: Sequence[Records]) -> list[Flush]:
    """What a worker a side comes to, each a partition of its own, when all write together."""
    gate, done = threading.Barrier(len(sides), timeout=30), list[Flush]()

    def meet(step: str) -> None:
        if step == "write":
            gate.wait()

    def work(number: int, records: Records) -> None:
        with closing(open_store(url)) as store:
            with store.transaction() as tx:
                positions.register(tx, "calls", [number], "live")
                known = positions.load_position(tx, "calls", number)
            assert known is not None
            entries = [
                Entry(RawRecord("calls", number, at, arrival, value),
                      tuple(parse(value, "native", config, arrival)))
                for at, (arrival, value) in enumerate(as_bytes(records))
            ]  # fmt: skip
            monitor = Monitor(config, store, Panel([]), on_step=meet)
            done.append(monitor.observe([Reading(known[0], len(entries), tuple(entries))]))

    threads = [threading.Thread(target=work, args=one) for one in enumerate(sides)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == len(sides)
    return done


def answer(ask: Ask, **changes: Any) -> dict[str, Any]:
    """What the dispatcher makes of a candidate's answer."""
    return {
        "id": answer_id(ask.ticket),
        "at": ask.call.at + 0.5,
        "model": "b",
        "service": ask.call.service,
        "variant": f"shadow:{ask.candidate}",
        "origin": "shadow",
        "pair": ask.call.id,
        "prompt": ask.call.prompt,
        "response": "Another answer.",
        "latency_s": 0.25,
        "status": "ok",
    } | changes


def mark_sent(store: Store, asks: Sequence[Ask]) -> None:
    """The dispatcher has reserved these tickets and asks."""
    keys = [ask.ticket for ask in asks]
    with store.transaction() as tx:
        moved = update(table).where(table.c.key.in_(keys), table.c.state == "owed")
        assert tx.execute(moved.values(state="sent")).rowcount == len(keys)


def rows(store: Store) -> list[Any]:
    """All tickets, in the order of their calls."""
    with store.transaction() as tx:
        return list(tx.execute(select(table).order_by(table.c.at, table.c.candidate)))


def states(store: Store) -> list[str]:
    """The states of all tickets, in the order of their calls."""
    return [row.state for row in rows(store)]


def paired(store: Store, level_s: int = 10) -> dict[Group, Row]:
    """The paired rows of all panes of a level together."""
    found: dict[Group, Row] = {}
    with store.transaction() as tx:
        for _, _, group, row in reads.pane_rows(tx, 0, 4e9, level_s):
            if group.variant.startswith("paired:"):
                found.setdefault(group, Row()).merge(row)
    return found


def closed(store: Store, road: InboxRoad, now: float | None = None) -> tuple[float, float]:
    """How far production is closed, and how far pairs are made, after all that may be done is."""
    source, at = road.config.inbox.source, time.time() if now is None else now
    with store.transaction() as tx:
        while close_panes(tx, source, road.config, at) is not None:
            pass
        return reads.closed_times(tx)[source], tickets.paired_times(tx)[source]
