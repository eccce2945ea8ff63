"""What became of everything that was received, and where each part of the road stands."""

from dataclasses import dataclass, fields
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agent.store import Transaction, audit, experiments, letters, positions, reads, tickets
from agent.store.audit import Deed
from consumers.candidates import CandidateState, candidate_states
from consumers.inbox import TOPIC
from consumers.server.printing import View
from consumers.server.stock import Stock


class Asked(BaseModel):
    """What may be asked of the page."""

    model_config = ConfigDict(extra="ignore")
    letters: int = Field(default=20, ge=1, le=500, description="Dead letters, newest first.")
    deeds: int = Field(default=20, ge=1, le=500, description="Rows of the audit, newest first.")


@dataclass(frozen=True, slots=True)
class Partition:
    """Where one partition stands: what was read, and what waits where this process knows it.

    `read_through` is the newest arrival that was read, `caught_up_at` when nothing was unread.
    """

    topic: str
    partition: int
    source: str
    next: int
    waiting: int | None
    read_through: float | None
    caught_up_at: float | None
    received: int
    late: int
    lost: int
    conflicts: int


@dataclass(frozen=True, slots=True)
class Source:
    """How far the panes of a source are closed, and its pairs made; epoch seconds."""

    source: str
    closed_through: float
    paired_through: float


@dataclass(frozen=True, slots=True)
class Reason:
    """Dead letters of one reason."""

    reason: str
    letters: int
    replayed: int
    newest: float


@dataclass(frozen=True, slots=True)
class Letter:
    """One record that was set aside."""

    id: int
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    arrival: float
    replayed_at: float | None


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the road in this process: batches, their seconds, of one of them in the mean,
    and what 95 % stayed within."""

    stage: str
    batches: int
    seconds: float
    mean_s: float
    within_s: float


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The ledger as ends that sum to what was received; `gap` is what is missing in the sum.

    `records` were read, and `calls` found in them; `versions` of each metric over all panels,
    `deeds` are the newest of the audit, and `watched` says whether there are baselines.
    """

    now: float
    records: int
    calls: int
    received: int
    ends: dict[str, int]
    gap: int
    sources: tuple[Source, ...]
    partitions: tuple[Partition, ...]
    reasons: tuple[Reason, ...]
    letters: tuple[Letter, ...]
    candidates: tuple[CandidateState, ...]
    versions: dict[str, tuple[str, ...]]
    stages: tuple[Stage, ...]
    deeds: tuple[Deed, ...]
    watched: bool


def read(stock: Stock, tx: Transaction, asked: Asked) -> Pipeline:
    """The page's numbers."""
    ledger, paired, now = reads.ledger(tx), tickets.paired_times(tx), stock.clock()
    return Pipeline(
        now, ledger.counts["received"], ledger.counts["found"],
        ledger.received, ledger.terms, ledger.gap,
        tuple(
            Source(name, through, paired.get(name, through))
            for name, through in sorted(reads.closed_times(tx).items())
        ),
        tuple(_partition(tx, row) for row in reads.partitions(tx)),
        tuple(Reason(*row) for row in letters.by_reason(tx)),
        tuple(_letter(row) for row in letters.heads(tx, asked.letters)),
        tuple(candidate_states(tx, stock.config, now)),
        _versions(tx),
        _stages(stock),
        tuple(audit.newest(tx, asked.deeds)), stock.config.drift is not None,
    )  # fmt: skip


def _partition(tx: Transaction, row: dict[str, Any]) -> Partition:
    waiting = None
    if row["topic"] == TOPIC and row["next"] >= 0:
        waiting = positions.inbox_end(tx, row["next"]) - row["next"]
    names = ("topic", "partition", "source", "next", "read_through", "caught_up_at", "received",
             "late", "lost", "conflicts")  # fmt: skip
    return Partition(waiting=waiting, **{name: row[name] for name in names})


def _letter(row: dict[str, Any]) -> Letter:
    return Letter(**{field.name: row[field.name] for field in fields(Letter)})


def _stages(stock: Stock) -> tuple[Stage, ...]:
    """What took longest first."""
    found = [
        Stage(name, batches, seconds, seconds / batches, within_s)
        for name, (batches, seconds, within_s) in stock.stages().items()
        if batches
    ]
    return tuple(sorted(found, key=lambda one: (-one.seconds, one.stage)))


def _versions(tx: Transaction) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for panel in experiments.all_panels(tx).values():
        for metric, version in panel.items():
            found.setdefault(metric, set()).add(version)
    return {metric: tuple(sorted(held)) for metric, held in sorted(found.items())}


PIPELINE = View(
    "pipeline", "Pipeline", "Where every record and call went, lag, and dead letters.",
    Asked, Pipeline, read,
)  # fmt: skip
