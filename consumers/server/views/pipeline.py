"""What became of everything that was received, and where each partition stands."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from agent.store import Transaction, reads
from consumers.server.desk import Desk
from consumers.server.pages import View


class Asked(BaseModel):
    """What may be asked of the page."""

    model_config = ConfigDict(extra="ignore")
    letters: int = Field(default=50, ge=1, le=500, description="Dead letters, newest first.")


@dataclass(frozen=True, slots=True)
class Partition:
    """Where one partition stands."""

    topic: str
    partition: int
    source: str
    next: int
    read_through: float | None
    received: int


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
class Pipeline:
    """The ledger as ends that sum to what was received, partitions and dead letters."""

    received: int
    ends: dict[str, int]
    gap: int
    closed_through: dict[str, float]
    partitions: tuple[Partition, ...]
    letters: tuple[Letter, ...]


def read(desk: Desk, tx: Transaction, asked: Asked) -> Pipeline:
    """The page's numbers."""
    ledger = reads.ledger(tx)
    return Pipeline(
        ledger.received, ledger.terms, ledger.gap, reads.closed_times(tx),
        tuple(
            Partition(row["topic"], row["partition"], row["source"], row["next"],
                      row["read_through"], row["received"])
            for row in reads.partitions(tx)
        ),
        tuple(
            Letter(row["id"], row["topic"], row["partition"], row["offset"], row["reason"],
                   row["detail"], row["arrival"], row["replayed_at"])
            for row in reads.letters(tx, asked.letters)
        ),
    )  # fmt: skip


PIPELINE = View(
    "pipeline", "Pipeline", "Where every record and call went, lag, and dead letters.",
    Asked, Pipeline, read,
)  # fmt: skip
