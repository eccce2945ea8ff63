"""Traffic for error budgets: minutes of bad and good calls, stored and rolled up as by the road."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, update

from agent.buckets import FIXED
from agent.config import Config, load_config
from agent.findings import Finding
from agent.panes import Row
from agent.store import Store, closing, tables
from agent.store.writes import upsert
from watch.burn import keep_burn, ring_of
from watch.ring import Ring

START, SOURCE = 1_767_225_600, "live"
# Calls of a minute: how many breached, of how many.
Minute = tuple[int, int]


WORKS: dict[str, Any] = {"metric": "error", "target": 0.999}


def configured(**changes: Any) -> Config:
    """One objective `works`, and panes of a minute."""
    return load_config(panes={"width_s": 60}, models=False, slo={"works": WORKS | changes})


def packed(minute: Minute, objectives: Sequence[str] = ("works",)) -> bytes:
    """The row of a pane in which so many calls breached every objective."""
    bad, total = minute
    row = Row()
    row.calls.add("ok", total)
    for name in objectives:
        pairs = [(place, n) for place, n in ((0, total - bad), (256, bad)) if n]
        row.bounded(f"slo_{name}", 0.0, 1.0).add(pairs, total, bad * FIXED, bad * FIXED)
    return row.to_bytes()


def write(
    store: Store, config: Config, minutes: Sequence[Minute], service: str = "chat", **group: str
) -> None:
    """Close these minutes from the start on, through the roll-up to hours; then all is open
    again to the burn rates, which see what `closed` says."""
    where = {"service": service, "model": "m", "variant": "production", "segment": ""} | group
    rows = [
        {"topic": "t", "partition": 0, "source": SOURCE, "pane": START + 60 * at}
        | where
        | {"calls": total, "summaries": packed((bad, total))}
        for at, (bad, total) in enumerate(minutes)
        if total
    ]
    with store.transaction() as tx:
        if not tx.execute(update(tables.closing).values(closed_through=0.0)).rowcount:
            tx.execute(insert(tables.closing).values(source=SOURCE, closed_through=0.0))
        upsert(tx, tables.open_panes, rows)
    with store.transaction() as tx:
        closing.finish_source(tx, SOURCE, config, 0.0)


def closed(store: Store, minutes: int) -> None:
    """The source is closed through so many minutes from the start."""
    with store.transaction() as tx:
        tx.execute(update(tables.closing).values(closed_through=float(START + 60 * minutes)))


def catch_up(store: Store, config: Config, ring: Ring | None = None) -> tuple[Ring, list[Finding]]:
    """A ring at what is closed, and what changed on the way."""
    ring, changed = ring or ring_of(config), list[Finding]()
    while True:
        with store.transaction() as tx:
            found = keep_burn(tx, SOURCE, 0.0, ring)
        if found is None:
            return ring, changed
        changed += found


def told(found: Sequence[Finding]) -> list[tuple[str, str, int]]:
    """Window, state and minute of findings; of one that fires the minute when it began."""
    at = [one.began if one.state == "firing" else one.as_of for one in found]
    return [(o.name[2][1], o.state, (t - START) // 60) for o, t in zip(found, at, strict=True)]
