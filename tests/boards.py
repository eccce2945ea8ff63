"""Closed panes as a store has them, made without a road: for pages and what measures them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import insert

from agent.catalog import metric_named
from agent.panes import Group, Row
from agent.store import Store, tables
from agent.store.writes import upsert
from agent.summaries import LogHistogram

START = 1_767_225_600  # a whole hour, and day


@dataclass(frozen=True)
class Closed:
    """One closed row: `values` by metric, and how many calls lack one by reason."""

    pane: int
    group: Group
    values: Mapping[str, Sequence[float]]
    level_s: int = 3600
    missing: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def row_of(one: Closed, seed: int = 0) -> dict[str, Any]:
    """As the table has it."""
    rng, row = np.random.default_rng(seed), Row()
    calls = max(len(values) for values in one.values.values())
    row.calls.add("ok", calls)
    for name, values in one.values.items():
        summary = row.summary(name)
        if isinstance(summary, LogHistogram):
            summary.update(values)
        else:
            summary.update(values, rng.integers(0, 2**63, len(values)).astype(np.uint64))
        for why, n in one.missing.get(name, {}).items():
            summary.missing.add(why, n)
        assert metric_named(name)
    held = {"level_s": one.level_s, "pane": one.pane, "source": "live", "late": 0}
    packed = {"calls": calls, "summaries": row.to_bytes(), "closed_at": 0.0}
    return held | one.group._asdict() | packed


def put(store: Store, rows: Iterable[Closed], through: float) -> None:
    """Store closed rows of a source that is closed so far."""
    with store.transaction() as tx:
        upsert(tx, tables.panes, [row_of(one, at) for at, one in enumerate(rows)])
        tx.execute(tables.closing.delete())
        tx.execute(insert(tables.closing).values(source="live", closed_through=through))
