"""Example calls in the store: the reservoir of redacted texts, and call rows by their scores."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, select

from agent.store.tables import calls, examples
from agent.store.writes import insert_new

# The metrics of which examples are kept.
NOVELTY = ("prompt_novelty", "response_novelty")


class Place(NamedTuple):
    """Where examples are counted: a pane of a source partition, and a metric."""

    topic: str
    partition: int
    pane: int
    metric: str


@dataclass(frozen=True, slots=True)
class Example:
    """One call and its value; `text` is empty unless the reservoir holds it."""

    id: str
    at: float
    model: str
    variant: str
    segment: Mapping[str, str]
    value: float
    text: str = ""


def packed(segment: Sequence[tuple[str, str]]) -> str:
    """Segments as rows hold them."""
    return json.dumps(dict(segment), ensure_ascii=False)


def keep(tx: Connection, place: Place, rows: Sequence[Mapping[str, Any]], most: int) -> None:
    """Enter examples of one place; with those that stand there the `most` furthest stay."""
    insert_new(tx, examples, rows)
    here = and_(*(examples.c[name] == value for name, value in place._asdict().items()))
    ranked = select(examples.c.key).where(here).order_by(examples.c.value.desc(), examples.c.key)
    beyond = list(tx.scalars(ranked.offset(most)))
    tx.execute(delete(examples).where(examples.c.key.in_(beyond)))


def kept(tx: Connection, service: str, metric: str, start: float, end: float) -> list[Example]:
    """The reservoir's examples of panes within [start, end)."""
    here = (examples.c.service == service, examples.c.metric == metric)
    query = select(examples).where(*here, examples.c.pane >= start, examples.c.pane < end)
    return [
        Example(r.id, r.pane, r.model, r.variant, json.loads(r.segment), r.value, r.text)
        for r in tx.execute(query)
    ]


def scored(
    tx: Connection, service: str, metric: str, start: float, end: float, limit: int
) -> list[Example]:
    """The newest calls within [start, end) that have a value, without their texts."""
    columns = (calls.c[name] for name in ("id", "at", "model", "variant", "segment", "scores"))
    here = (calls.c.service == service, calls.c.at >= start, calls.c.at < end)
    query = select(*columns).where(*here).order_by(calls.c.at.desc(), calls.c.key).limit(limit)
    rows = [(row, json.loads(row.scores).get(metric)) for row in tx.execute(query)]
    return [
        Example(r.id, r.at, r.model, r.variant, json.loads(r.segment), value)
        for r, value in rows
        if value is not None
    ]


def texts_of(tx: Connection, metric: str, ids: Sequence[str]) -> dict[str, str]:
    """The redacted texts of examples that are still kept, by id."""
    here = (examples.c.metric == metric, examples.c.id.in_(ids))
    return {row.id: row.text for row in tx.execute(select(examples).where(*here))}
