"""What the commands do; each returns plain data, and the command line prints it."""

import itertools
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.catalog import Metric, part_of
from agent.columns import breach_columns, record_columns, score_column
from agent.config import Config
from agent.errors import BadConfig, StoreDown
from agent.gate import Tried, quantise_models
from agent.panes import Row
from agent.record import Call, Half, Reject
from agent.score import load_panel, options_of
from agent.scoring.novelty import FEWEST_TEXTS, Novelty
from agent.store import Store, Transaction, letters, positions, reads, subjects
from agent.sums import merged
from consumers.files import read_records
from consumers.formats import fields, parse
from consumers.pump.admin import create_topics, retention_s, topic_states
from consumers.pump.sender import Sender, first_topic, key_of
from consumers.recorder import UNKNOWN_FIELD_CALLS
from consumers.service import arrivals, watch_records
from consumers.shadowing import embedded, open_models
from consumers.stores import open_reader, open_writer
from consumers.telling import ways_of

_SCORE_BATCH = 256


def watch(config: Config, file: str, heard: Callable[[int], None]) -> dict[str, Any]:
    """The whole road for a file; what it came to. `heard` is told of records as they are done."""
    source = f"file:{os.path.basename(file)}"
    told = config.inbox.model_copy(update={"source": source})
    history = (*config.backfill, source)
    config = config.model_copy(update={"inbox": told, "backfill": history})
    values, ways = read_records(file, config.inbox.format), ways_of(config, broker=False)
    store = open_writer(config)  # models take longer to load
    try:
        records = arrivals(values, config)
        shadow = config.shadow
        cast = embedded(shadow, store, open_models(shadow)) if shadow is not None else None
        seen = watch_records(config, store, load_panel(config), records, heard, ways, cast)
        return report(store) | {"unknown_fields": int(seen.tally.total(UNKNOWN_FIELD_CALLS))}
    finally:
        store.close()


def report(store: Store) -> dict[str, Any]:
    """The ledger, and the mean of every metric by model over all closed panes."""
    packed = defaultdict[str, list[bytes]](list)
    with store.reading() as tx:
        ledger = account(tx)
        for *names, blob in reads.all_hours(tx):
            packed["/".join(names)].append(blob)
    totals = ((key, Row.from_bytes(merged(blobs))) for key, blobs in sorted(packed.items()))
    models = {
        key: {
            "calls": row.calls.total(),
            "means": {
                name: s.mean()
                for name, s in sorted(row.summaries.items())
                if s.n and not part_of(name)[1]
            },
        }
        for key, row in totals
    }
    return {"ledger": ledger, "models": models}


def account(tx: Transaction) -> dict[str, Any]:
    """What became of everything that was received, and whether it sums."""
    ledger = reads.ledger(tx)
    return {"received": ledger.received, **ledger.terms, "sums": ledger.sums}


def score(config: Config, file: str, refused: Counter[str]) -> Iterator[dict[str, Any]]:
    """The scores of every call in a file, in order; `refused` counts what is none, by why."""
    found = _calls(config, file, refused)
    panel = load_panel(config)
    while calls := list(itertools.islice(found, _SCORE_BATCH)):
        yield from _scored(config, panel.score(calls), calls)


def learn_baseline(config: Config, file: str, to: Path, refused: Counter[str]) -> dict[str, int]:
    """Write what novelty is measured against; how many centres each kind of text has.

    Raises BadConfig when the file holds too few calls.
    """
    scorer = Novelty(replace(options_of(config, "novelty"), baseline=None))
    found = scorer.learn(list(_calls(config, file, refused)))
    if not found:
        raise BadConfig(file, f"holds fewer than {FEWEST_TEXTS} prompts and answers")
    scorer.save(found, to)
    return {kind: len(one.centres) for kind, one in found.items()}


def make_int8(config: Config, file: str, to: Path, refused: Counter[str]) -> list[Tried]:
    """Make int8 twins of the models and write those whose gate passes on this file's calls.

    Raises BadConfig when the file holds too few calls.
    """
    return list(quantise_models(config, _calls(config, file, refused), to))


def _calls(config: Config, file: str, refused: Counter[str]) -> Iterator[Call]:
    for value in read_records(file, config.inbox.format):
        for item in parse(value, config.inbox.format, config, time.time()):
            call = item.call if isinstance(item, Half) else item
            if isinstance(call, Call):
                yield call
            elif isinstance(call, Reject):
                refused[f"{call.reason} {call.detail}".strip()] += 1


def _scored(config: Config, given: dict[str, Any], calls: list[Call]) -> Iterator[dict[str, Any]]:
    record = record_columns(calls)
    scored = [score_column(metric, row) for metric, row in given.items()]
    columns = [*record, *breach_columns([*record, *scored], config.slo)]
    for i, call in enumerate(calls):
        scores: dict[str, Any] = {}
        for column in columns:
            value = float(column.values[i])
            there = value == value
            scores[column.metric] = {
                "value": value if there else None,
                "status": "ok" if there else "unscored",
                "why": None if there else column.reasons[column.why[i]],
            }
        for metric, row in given.items():
            one = row[i]
            scores[metric] = {"value": one.value, "status": one.status, "why": one.why}
        yield {"id": call.id, "scores": scores}


@dataclass(frozen=True, slots=True)
class Sent:
    """How many records were sent, and the age of the oldest if the topic will not keep it."""

    records: int
    topic: str
    expired_age_s: float | None


def send(config: Config, file: str, topic: str | None, heard: Callable[[int], None]) -> Sent:
    """Send a file's records; raises StoreDown when some were not acknowledged.

    Raises BadConfig for a topic that the broker does not have and does not make.
    """
    chosen = topic or first_topic(config.kafka)
    sender, oldest = Sender(config.kafka), time.time()
    try:
        sender.open()
        if not sender.reach(chosen):
            key = "--topic" if topic else f"kafka.topics.{chosen}"
            raise BadConfig(key, f"the broker has no topic {chosen}; `vedette topics --create`")
        for arrival, value in arrivals(read_records(file, config.inbox.format), config):
            sender.send(chosen, value, key=key_of(value), arrival=arrival)
            heard(1)
            oldest = min(oldest, arrival)
        if failed := sender.flush():
            raise StoreDown(f"broker: {len(failed)} records were not taken ({failed[0]})")
        kept_s, age_s = retention_s(config.kafka, chosen), time.time() - oldest
        lost = kept_s is not None and age_s > kept_s
        return Sent(sender.sent, chosen, age_s if lost else None)
    finally:
        sender.close()


def check(config: Config) -> list[dict[str, Any]]:
    """Try every part that `vedette run` needs, beside one that runs: not its ports."""
    rows = [_tried("scorers", lambda: ", ".join(load_panel(config).versions) or "none")]
    rows.append(_tried("store", lambda: _store_state(config)))
    rows.append(_tried("broker", lambda: _topic_state(config)))
    rows.append(_tried("alerts", lambda: f"{len(ways_of(config))} receivers"))
    return rows


def _tried(what: str, action: Any) -> dict[str, Any]:
    try:
        return {"what": what, "ok": True, "detail": action()}
    except (BadConfig, StoreDown) as error:
        return {"what": what, "ok": False, "detail": str(error)}


def _store_state(config: Config) -> str:
    open_writer(config).close()
    return "reachable, tables are there"


def _topic_state(config: Config) -> str:
    states = topic_states(config)
    if missing := [f"{state.key} ({state.name})" for state in states if not state.partitions]:
        raise BadConfig(", ".join(missing), "no such topic; `vedette topics --create`")
    return ", ".join(f"{state.name} ({state.partitions})" for state in states)


def catalog_row(metric: Metric) -> dict[str, Any]:
    """A metric as `vedette catalog --json` prints it."""
    names = ("name", "dimension", "text", "kind", "unit", "range", "good", "threshold", "cost")
    return {name: getattr(metric, name) for name in (*names, "help")}


def topics(
    config: Config, create: bool, partitions: int, replication: int, restart: str | None
) -> list[dict[str, Any]]:
    """The configured topics; makes or restarts them when asked."""
    if restart is not None:
        with closing(open_writer(config)) as store, store.transaction() as tx:
            moved = positions.restart_topic(tx, restart)
        if not moved:
            raise BadConfig("topics --restart", f"{restart} was never read")
    if create:
        create_topics(config, partitions, replication)
    states = topic_states(config)
    return [{"name": s.name, "role": s.role, "partitions": s.partitions} for s in states]


def dead_letters(config: Config, limit: int) -> list[dict[str, Any]]:
    """The newest dead letters, without their bytes."""
    with closing(open_reader(config)) as store, store.reading() as tx:
        return letters.heads(tx, limit)


def forget(config: Config, unit: str) -> dict[str, int]:
    """Delete what is stored of a subject."""
    stored = fields.unit(unit, fields.Reading(config, time.time()))
    if not stored:
        raise BadConfig("--unit", "names nobody")
    with closing(open_writer(config)) as store, store.transaction() as tx:
        return subjects.forget(tx, stored, unit)
