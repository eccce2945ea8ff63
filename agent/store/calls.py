"""Call rows as people look at them: the newest of a span, one by its id, and twins beside calls."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, func, or_, select

from agent.experiments import SHADOW
from agent.store.tables import calls, texts

_CHUNK = 500
_COLUMNS = ("key", "id", "at", "service", "model", "variant", "segment", "origin", "pair",
            "status", "scores")  # fmt: skip
# Of calls that began at once always the same come first.
_NEWEST = calls.c.at.desc(), calls.c.key.desc()
_ALL = (
    *(calls.c[name] for name in _COLUMNS),
    *(one for one in calls.c if one.name not in _COLUMNS),
    *(texts.c.prompt, texts.c.response),
)


class CallRow(NamedTuple):
    """One stored call; `why` says of metrics without a value why, and of `error` which it was."""

    key: bytes
    id: str
    at: float
    service: str
    model: str
    variant: str
    segment: dict[str, str]
    origin: str
    pair: str | None
    status: str
    values: dict[str, float]
    why: dict[str, str]


@dataclass(frozen=True, slots=True)
class Whole:
    """All that is stored of a call but its scores.

    Hashes are hexadecimal, texts redacted and None unless they are kept.
    """

    id: str
    at: float
    arrival: float
    service: str
    model: str
    variant: str
    segment: dict[str, str]
    unit: str | None
    session: str | None
    status: str
    error: str | None
    prompt_hash: str | None
    prompt_chars: int | None
    response_hash: str | None
    response_chars: int | None
    topic: str
    partition: int
    offset: int
    prompt: str | None
    response: str | None


def newest_at(tx: Connection, now: float) -> float | None:
    """When the newest call began, of those that began by now."""
    found: float | None = tx.scalar(select(func.max(calls.c.at)).where(calls.c.at <= now))
    return found


def newest_keys(tx: Connection, start: float, end: float, limit: int) -> dict[bytes, float]:
    """The newest calls that began within [start, end], newest first, and when they did; so many at
    most: never all of a day."""
    query = select(calls.c.key, calls.c.at).where(calls.c.at >= start, calls.c.at <= end)
    return {bytes(key): at for key, at in tx.execute(query.order_by(*_NEWEST).limit(limit)).all()}


def newest_rows(tx: Connection, start: float, end: float, limit: int) -> dict[bytes, CallRow]:
    """The rows of these calls, which never change, by their keys."""
    query = select(*(calls.c[name] for name in _COLUMNS))
    query = query.where(calls.c.at >= start, calls.c.at <= end).order_by(*_NEWEST).limit(limit)
    return {row.key: row for row in map(_row, tx.execute(query).all())}


def called(tx: Connection, call_id: str) -> list[tuple[CallRow, Whole]]:
    """Every call of an id: others may use it in another service or variant. Production first."""
    query = select(*_ALL)
    query = query.outerjoin(texts, texts.c.key == calls.c.key).where(calls.c.id == call_id)
    found = [_whole(one) for one in tx.execute(query.limit(_CHUNK))]
    return sorted(found, key=lambda one: (one[0].origin != "production", one[0].key))


def twins_of(tx: Connection, row: CallRow) -> list[tuple[CallRow, Whole]]:
    """What candidates answered to a call."""
    meets = [calls.c.pair == row.id]
    meets += [calls.c.pair == row.pair] if row.pair is not None else []
    query = select(*_ALL)
    query = query.outerjoin(texts, texts.c.key == calls.c.key).where(or_(*meets))
    here = calls.c.service == row.service, calls.c.variant.startswith(SHADOW)
    found = [_whole(one) for one in tx.execute(query.where(*here).limit(_CHUNK))]
    return sorted(found, key=lambda one: (one[0].variant, one[0].key))


def controls_of(tx: Connection, twins: Sequence[CallRow]) -> dict[bytes, CallRow]:
    """The production call of each twin, by the twin's key: the call that it names, or the only one
    of the trace that it names."""
    wanted = sorted({one.pair for one in twins if one.pair is not None})
    named: dict[tuple[str, str], CallRow] = {}
    traced: dict[tuple[str, str], list[CallRow]] = {}
    for at in range(0, len(wanted), _CHUNK):
        some = wanted[at : at + _CHUNK]
        for column in (calls.c.id, calls.c.pair):
            query = select(*(calls.c[name] for name in _COLUMNS)).where(column.in_(some))
            for row in map(_row, tx.execute(query.where(calls.c.origin == "production"))):
                if column is calls.c.id:
                    named[row.service, row.id] = row
                elif row.pair is not None:
                    traced.setdefault((row.service, row.pair), []).append(row)
    found = {}
    for one in twins:
        place = one.service, one.pair or ""
        alone = traced.get(place, [])
        control = named.get(place) or (alone[0] if len(alone) == 1 else None)
        if control is not None:
            found[one.key] = control
    return found


def texts_of(tx: Connection, keys: Iterable[bytes]) -> dict[bytes, tuple[str | None, str | None]]:
    """Prompt and answer of the calls of which they are kept."""
    wanted, found = sorted(set(keys)), {}
    for at in range(0, len(wanted), _CHUNK):
        query = select(texts.c.key, texts.c.prompt, texts.c.response)
        for row in tx.execute(query.where(texts.c.key.in_(wanted[at : at + _CHUNK]))):
            found[bytes(row.key)] = (row.prompt, row.response)
    return found


def _row(one: Any) -> CallRow:
    """A row whose first columns are those of `_COLUMNS`."""
    key, call_id, at, service, model, variant, segment, origin, pair, status, scores = one[:11]
    values = orjson.loads(scores)
    why = values.pop("why", {})
    return CallRow(
        bytes(key), call_id, at, service, model, variant, _segment(segment),
        origin, pair, status, values, why,
    )  # fmt: skip


@lru_cache(4096)
def _segment(packed: str) -> dict[str, str]:
    """Calls have few: nobody writes to what is shared."""
    found: dict[str, str] = json.loads(packed)
    return found


def _whole(one: Any) -> tuple[CallRow, Whole]:
    row, hashes = _row(one), (one.prompt_hash, one.response_hash)
    said, heard = (None if held is None else bytes(held).hex() for held in hashes)
    return row, Whole(
        row.id, row.at, one.arrival, row.service, row.model, row.variant, row.segment,
        one.unit, one.session, row.status, row.why.get("error"), said, one.prompt_chars, heard,
        one.response_chars, one.topic, one.partition, one.offset, one.prompt, one.response,
    )  # fmt: skip
