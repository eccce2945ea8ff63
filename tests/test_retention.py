"""What is kept ends: the store of a month is as large as that of half a month."""

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import LargeBinary, String, Table, Text, func, insert, select, text

import agent.store.migrations  # noqa: F401 - all tables are known then
from agent.config import Config, load_config
from agent.errors import BadConfig
from agent.monitor import Monitor
from agent.score import Panel
from agent.scoring import Options
from agent.scoring.repetition import Repetition
from agent.store import Store, closing, judgements, retention
from agent.store.tables import META
from consumers.inbox import Inbox
from consumers.simulate import DAY_S, HOUR_S, Scenario, simulate
from consumers.worker import Worker
from tests.conftest import Clock
from tests.road import Quiet

# One row for each thing that somebody configured, or for what is being worked on; or made by a
# person and deleted by the next who does the same, or with another command: the page says which.
BOUNDED = {
    *("offsets", "attempts", "closing", "leases", "paired", "watches", "baselines", "panels"),
    *("runs", "stops", "breakers", "migrations", "halves", "open_panes", "inbox"),
    "ended_sessions",
    *("evaluations", "evaluation_answers", "evaluation_outcomes", "evaluation_spending"),
}
KEEP = {"seen_days": 2, "calls_days": 6, "text_days": 1, "dead_letter_days": 4}
KEEP |= {"finding_days": 5, "audit_days": 7}
SHADOW = {"candidates": {"next": {"url": "https://models.example/v1", "model": "n", "rate": 0.2,
                                  "budget": {"calls": 10}}}}  # fmt: skip
MONTH: dict[str, Any] = {
    "store": KEEP, "panes": {"minute_hours": 24, "hour_days": 9}, "segments": ["tenant"],
    "drift": {"examples": {"days": 3}}, "shadow": SHADOW, "models": False,
    "inbox": {"source": "live"},
}  # fmt: skip


def aged() -> Iterator[Table]:
    """Every table that grows with time."""
    return (table for table in META.sorted_tables if table.name not in BOUNDED)


def row_of(table: Table, number: int, now: float) -> dict[str, Any]:
    """A row that somebody left at a time."""
    known: dict[str, Any] = {"state": "resolved", "level_s": HOUR_S, "late": 0, "source": "live"}
    known |= {"hour": int(now // HOUR_S) * HOUR_S, "pane": int(now // HOUR_S) * HOUR_S}
    found: dict[str, Any] = {}
    for column in table.columns:
        if column.name == "id" and column.autoincrement is True:
            continue
        if isinstance(column.type, LargeBinary):
            value: Any = number.to_bytes(16)
        elif isinstance(column.type, String | Text):
            value = f"{number}"[: getattr(column.type, "length", None)]
        else:
            value = now
        found[column.name] = known.get(column.name, value)
    return found


def sizes(store: Store) -> dict[str, int]:
    """The rows of every table."""
    with store.reading() as tx:
        return {
            table.name: tx.scalar(select(func.count()).select_from(table)) or 0
            for table in META.sorted_tables
        }


def trim(store: Store, config: Config, now: float) -> None:
    while True:
        with store.transaction() as tx:
            if not retention.prune(tx, config, now):
                return


def test_every_table_that_grows_with_time_ends_with_it(any_store: Store, clock: Clock) -> None:
    config, number = load_config(**MONTH), itertools.count()
    with any_store.transaction() as tx:
        tx.execute(insert(META.tables["closing"]).values(source="live", closed_through=4e9))
    by_day = {}
    for day in range(30):
        for _ in range(3):
            clock.advance(DAY_S / 3)
            with any_store.transaction() as tx:
                for table in aged():
                    tx.execute(insert(table).values(row_of(table, next(number), clock.now)))
        trim(any_store, config, clock.now)
        by_day[day + 1] = sizes(any_store)
    assert by_day[30] == by_day[15]
    assert all(3 <= by_day[30][table.name] <= 3 * 10 for table in aged())


def test_what_is_not_over_stays(any_store: Store, clock: Clock) -> None:
    findings = META.tables["findings"]
    with any_store.transaction() as tx:
        for number, state in enumerate(("firing", "pending", "could not tell")):
            row = row_of(findings, number, clock.now) | {"state": state}
            tx.execute(insert(findings).values(row))
    trim(any_store, load_config(**MONTH), clock.now + 300 * DAY_S)
    with any_store.reading() as tx:
        assert set(tx.scalars(select(findings.c.state))) == {"firing", "pending"}


def test_hours_end_a_bounded_number_at_once_and_history_is_kept_as_long(
    any_store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_ROWS_AT_ONCE", 4)
    panes, config = META.tables["panes"], load_config(**MONTH)
    with any_store.transaction() as tx:
        tx.execute(insert(META.tables["closing"]).values(source="live", closed_through=4e9))
        for hour in range(10):
            row = row_of(panes, hour, clock.now + hour * HOUR_S)
            tx.execute(insert(panes).values(row))
            # Of a year ago, but it was read in only now.
            tx.execute(insert(panes).values(row | {"pane": hour, "closed_at": clock.now}))
    later, left = clock.now + 9 * DAY_S - 1, []
    for after in (0.0, *4 * [5 * HOUR_S]):
        with any_store.transaction() as tx:
            more = retention.prune(tx, config, later + after)
        left.append((sizes(any_store)["panes"], more))
    assert left == [(20, False), (15, True), (10, True), (5, True), (5, False)]


def test_a_backlog_of_what_several_judged_is_gone_on_with(
    any_store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_ROWS_AT_ONCE", 2)
    keys = [bytes([number]) * 16 for number in range(6)]
    with any_store.transaction() as tx:
        for metric in ("judge_a", "judge_b"):
            judgements.keep(tx, [judgements.Judgement(key, metric, 1.0) for key in keys], 0.0)
    left, more = [], True
    while more:
        with any_store.transaction() as tx:
            more = retention.prune(tx, load_config(), clock.now)
        left.append(sizes(any_store)["judgements"])
    assert left[-1] == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"panes": {"hour_days": 1}}, "panes.minute_hours"),
        ({"slo": {"fast": {"metric": "latency", "at_most": 1, "target": 0.9, "window_days": 90}},
          "panes": {"hour_days": 60}}, "slo.fast"),
    ],
)  # fmt: skip
def test_hours_are_kept_as_long_as_somebody_reads_them(changes: Any, why: str) -> None:
    with pytest.raises(BadConfig, match=f"panes.hour_days: is shorter than .*{why}"):
        load_config(**changes)


class Month:
    """A worker on the simulator's days, whose clock is moved on by the hour."""

    def __init__(self, store: Store, calls: int) -> None:
        self.store, self.calls, self.clock = store, calls, Clock(time.time() // DAY_S * DAY_S)
        self.config = load_config(**MONTH)
        self._inbox = Inbox(store, 500, self.clock)
        panel = Panel([(Repetition(Options()), 1.0)])
        monitor = Monitor(self.config, store, panel, self.clock)
        self._worker = Worker(
            self.config, store, self._inbox, monitor, Quiet(), "month", self.clock
        )

    def day(self, number: int) -> None:
        """A day's calls, closed, rolled up and trimmed hour by hour."""
        records = simulate(Scenario(self.clock.now, self.calls, number))
        at = 0
        for _ in range(24):
            self.clock.advance(HOUR_S)
            end = next((i for i in range(at, len(records)) if records[i].arrival > self.clock.now),
                       len(records))  # fmt: skip
            self._inbox.append([(one.arrival, one.value) for one in records[at:end]])
            at = end
            while self._worker.step(0.0):
                pass
            self._close()

    def _close(self) -> None:
        moved: float | None = 0.0
        while moved is not None:
            with self.store.transaction() as tx:
                moved = closing.close_panes(tx, "live", self.config, self.clock.now)
        trim(self.store, self.config, self.clock.now)

    def bytes(self) -> int:
        """What the database takes, once what was deleted may be used again."""
        with self.store.reading() as tx:
            if self.store.sqlite:
                pages = tx.execute(text("SELECT page_count * page_size FROM pragma_page_count(),"
                                        " pragma_page_size()"))  # fmt: skip
            else:
                pages = tx.execute(text("SELECT pg_database_size(current_database())"))
            return int(pages.scalar_one())


@pytest.mark.prove
@pytest.mark.timeout(3000)
def test_the_store_of_a_month_is_that_of_half_a_month(any_store: Store) -> None:
    month, rows, size = Month(any_store, 300), {}, {}
    for day in range(1, 31):
        month.day(day)
        vacuum(any_store)
        rows[day], size[day] = sizes(any_store), month.bytes()
    assert rows[30]["calls"] > 6 * 280
    for name, n in rows[30].items():
        assert n == pytest.approx(rows[15][name], rel=0.1, abs=60), name
    assert size[30] < 1.1 * size[15]


def vacuum(store: Store) -> None:
    """What autovacuum does by itself where a day is not over in seconds."""
    if not store.sqlite:
        with store._engine.connect() as connection:  # outside of any transaction
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM"))


def test_the_page_names_every_table() -> None:
    page = (Path(__file__).parents[1] / "docs/operations/retention.md").read_text()
    assert set(META.tables) <= set(re.findall(r"`(\w+)`", page))
