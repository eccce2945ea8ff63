"""The parts of a flush's one transaction, in the order in which the monitor calls them."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.buckets import event_key
from agent.columns import ABSENT, TAKEN_AWAY, breach_columns, rows_of, take
from agent.config import Config
from agent.feedback import Judged
from agent.intake import Plan, Reading, Work, original, pack_half
from agent.panes import (
    HOUR_S,
    Column,
    PaneBook,
    RowKey,
    fold,
    groups_of,
    is_left_out,
    pane_of,
    place,
)
from agent.record import Call, Partition, Score
from agent.redact import redact
from agent.sla import Objective
from agent.store import Transaction, halves, writes

Books = dict[Partition, PaneBook]


class Fenced(Exception):
    """Another worker has moved a partition on: what we hold of it is stale."""


class Met(Exception):
    """Another transaction changed a half between our look and our lock: plan again."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A batch after scoring: its work, their columns, their scores by metric, and what only panes
    hold of them."""

    plan: Plan
    columns: list[Column]
    scores: list[dict[str, Score]]
    beside: list[Column]


def place_of(reading: Reading) -> Partition:
    """The partition of a reading."""
    return reading.position.topic, reading.position.partition


# Of an error its kind is kept, which is its first word: the rest may quote what users said.
_KIND = re.compile(r"[A-Za-z_][\w.-]{0,63}(?![\w.-])", re.ASCII)


def load_book(tx: Transaction, reading: Reading, books: Books, config: Config) -> PaneBook:
    """The partition's open panes, read from the store unless they are held already."""
    held = books.get(place_of(reading))
    if held is None:
        held = PaneBook(config.panes.groups_max)
        held.load(writes.load_panes(tx, *place_of(reading)))
    return held


def call_rows(
    scored: Scored, readings: Sequence[Reading], slo: Mapping[str, Objective], now: float
) -> list[tuple[int, tuple[Any, ...]]]:
    """For each work its content hash and its row of the table of calls."""
    values = rows_of(scored.columns)
    flags = [(f"slo_{name}", objective.metric) for name, objective in sorted(slo.items())]
    rows = []
    for i, work in enumerate(scored.plan.work):
        scores = scored.scores[i]
        # A flag is missing for the reason that its score is.
        told = scores | {flag: scores[metric] for flag, metric in flags if metric in scores}
        rows.append(_call_row(work, readings[work.part], values[i], told, now))
    return rows


def _call_row(
    work: Work, reading: Reading, values: dict[str, float], scores: Mapping[str, Score], now: float
) -> tuple[int, tuple[Any, ...]]:
    call, position = work.call, reading.position
    texts = [
        (None, None) if text is None else original(text, work.was)
        for text in (call.prompt, call.response)
    ]
    said = "".join((key or b"").hex() for key, _ in texts)
    content = event_key(said, call.model, repr(call.at), call.status, repr(call.latency_s))
    why = {name: score.why or score.status for name, score in scores.items() if score.value is None}
    kind = _KIND.match(call.error or "") if call.status != "ok" else None
    if kind is not None and kind[0] not in TAKEN_AWAY:  # these say that a value is missing
        why["error"] = kind[0]
    body = json.dumps({**values, "why": why} if why else values, separators=(",", ":"))
    segment = json.dumps(dict(call.segment), ensure_ascii=False) if call.segment else "{}"
    return int.from_bytes(content[:8], "little", signed=True), (
        *(work.key, call.id, call.at, work.arrival, call.service, call.model, call.variant),
        *(segment, call.unit, call.session, call.origin, call.pair, call.status),
        *(*texts[0], *texts[1]),
        *(body, position.topic, position.partition, work.offset, now),
    )


def write_halves(
    tx: Transaction, readings: Sequence[Reading], scored: Scored, deadline: float
) -> None:
    """Take joined halves out and let single ones wait; raises Met when one has moved meanwhile."""
    plan = scored.plan
    waiting = {one.waits.key: (i, one.waits) for i, one in enumerate(plan.work) if one.waits}
    touched = set(plan.held) | set(waiting)
    if not touched:
        return
    rows = halves.take(tx, sorted(touched))
    if {key: bytes(row.body) for key, row in rows.items()} != plan.held:
        raise Met
    halves.remove(tx, sorted(plan.held))
    fresh = []
    for key, (i, half) in sorted(waiting.items()):
        work, old = plan.work[i], rows.get(key)
        topic, partition = place_of(readings[work.part])
        row = {"key": key, "side": half.side, "topic": topic, "partition": partition}
        row |= {"body": pack_half(half, scored.scores[i], work.was), "offset": work.offset}
        row |= {"deadline": old.deadline if old else deadline, "arrival": work.arrival}
        fresh.append(row)
    if not halves.insert(tx, fresh):
        raise Met


def accept_calls(
    tx: Transaction, plan: Plan, rows: Sequence[tuple[int, tuple[Any, ...]]], now: float
) -> list[int]:
    """The works whose calls were never seen, each identity once; first come, first kept."""
    first: dict[bytes, int] = {}
    whole = [i for i, work in enumerate(plan.work) if work.waits is None]
    for i in whole:
        kept = first.setdefault(plan.work[i].key, i)
        if kept != i and rows[kept][0] != rows[i][0]:
            plan.ledgers[plan.work[i].part]["conflicts"] += 1
    new, changed = writes.insert_seen(tx, [(key, rows[i][0]) for key, i in first.items()], now)
    accepted = []
    for i in whole:
        work, ledger = plan.work[i], plan.ledgers[plan.work[i].part]
        if work.key in new and first[work.key] == i:
            ledger["scored"] += 1
            accepted.append(i)
            continue
        ledger["duplicate"] += 1
        if work.key in changed:
            ledger["conflicts"] += 1
    return accepted


class Sheet:
    """What a batch adds to panes: on-time calls to the partition's book, the rest to the tally."""

    def __init__(
        self, config: Config, books: Books, closed: Mapping[str, float], panel: str
    ) -> None:
        self._config, self._books, self._closed, self._panel = config, books, closed, panel
        self._late: dict[str, PaneBook] = {}

    def fold_calls(
        self, readings: Sequence[Reading], scored: Scored, accepted: Sequence[int]
    ) -> None:
        """Fold accepted calls; each pane is chosen by request start."""
        plan, parts = scored.plan, defaultdict[int, list[int]](list)
        for i in accepted:
            parts[plan.work[i].part].append(i)
        for part, mine in sorted(parts.items()):
            work = [plan.work[i] for i in mine]
            late = self._fold(
                readings[part],
                [(item.call, item.arrival, item.key, item.call.status) for item in work],
                [take(one, np.array(mine, np.int64)) for one in (*scored.columns, *scored.beside)],
            )
            plan.ledgers[part]["late"] += late

    def fold_feedback(self, readings: Sequence[Reading], judged: Sequence[Judged]) -> None:
        """Fold later judgements into the pane of their call, as a series of its own."""
        series = defaultdict[tuple[int, str], list[Judged]](list)
        for judgement in judged:
            series[judgement.part, judgement.metric].append(judgement)
        for (part, metric), mine in sorted(series.items()):
            values = np.array([(one.value + 1) / 2 for one in mine], dtype=np.float64)
            column = Column(metric, values, np.zeros(len(mine), dtype=np.int16), ABSENT)
            columns = [column, *breach_columns([column], self._config.slo)]
            self._fold(readings[part], [(o.call, o.arrival, o.key, None) for o in mine], columns)

    def _fold(
        self,
        reading: Reading,
        events: Sequence[tuple[Call, float, bytes, str | None]],
        columns: Sequence[Column],
    ) -> int:
        panes, source = self._config.panes, reading.position.source
        closed = self._closed.get(source, 0.0)
        late = np.array(
            [
                is_left_out(call.at, arrival, closed, panes.width_s, panes.allowed_lateness_s)
                for call, arrival, _, _ in events
            ],
            dtype=np.bool_,
        )
        tally = self._late.setdefault(source, PaneBook(panes.groups_max))
        books = ((self._books[place_of(reading)], ~late, panes.width_s), (tally, late, HOUR_S))
        for book, chosen, width in books:
            index = np.flatnonzero(chosen)
            if len(index):
                here = [events[i] for i in index.tolist()]
                keys = [self._keys(call, width) for call, *_ in here]
                placed = place(book, keys, [status for *_, status in here], self._panel)
                numbers = [int.from_bytes(key[:8], "little") for _, _, key, _ in here]
                fold(placed, [take(c, index) for c in columns], np.array(numbers, dtype=np.uint64))
        return int(late.sum())

    def _keys(self, call: Call, width_s: int) -> list[RowKey]:
        pane = pane_of(call.at, width_s)
        return [RowKey(pane, group) for group in groups_of(call, self._config.segments)]

    def write(self, tx: Transaction, readings: Sequence[Reading], now: float) -> None:
        """Overwrite the open rows that changed and add to the late tally."""
        for reading in readings:
            writes.put_panes(tx, reading.position, self._books[place_of(reading)].pack_dirty())
        for source, tally in sorted(self._late.items()):
            if rows := tally.take_dirty():
                writes.add_late(tx, source, rows, self._config.panes.groups_max, now)


def write_calls(
    tx: Transaction,
    scored: Scored,
    rows: Sequence[tuple[int, tuple[Any, ...]]],
    accepted: Sequence[int],
    config: Config,
    now: float,
) -> None:
    """One row a call; its text only where that was asked for, and then redacted."""
    writes.insert_calls(tx, [rows[i][1] for i in accepted])
    if config.store.text_days > 0:
        works = [scored.plan.work[i] for i in accepted]
        writes.insert_texts(tx, [(w.key, *_kept(w.call), now) for w in works])


def _kept(call: Call) -> tuple[str | None, str | None]:
    prompt = None if call.prompt is None else redact(call.prompt)
    return prompt, None if call.response is None else redact(call.response)


def advance(tx: Transaction, readings: Sequence[Reading], plan: Plan) -> None:
    """Move every partition on with its ledgers; raises Fenced when one has moved without us."""
    for reading, ledger in sorted(zip(readings, plan.ledgers, strict=True), key=_by_place):
        if not writes.advance(tx, reading.position, reading.to, reading.through, ledger):
            raise Fenced(f"{reading.position.topic}-{reading.position.partition}")
        writes.clear_attempt(tx, *place_of(reading))


def _by_place(pair: tuple[Reading, Any]) -> Partition:
    return place_of(pair[0])
